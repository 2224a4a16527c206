// Package openapi is the document that describes the HTTP API: OpenAPI 3.1, kept
// by hand in openapi.yaml and served as JSON. Tests hold the routes, and every
// answer they see, against it.
package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed openapi.yaml
var source []byte

// Source returns the document as it was written.
func Source() []byte { return source }

var document = sync.OnceValues(func() ([]byte, string) {
	b, err := convert(source)
	if err != nil {
		panic(err) // the source is part of the program, and a test converts it
	}
	sum := sha256.Sum256(b)
	return b, `"` + hex.EncodeToString(sum[:16]) + `"`
})

// JSON returns the document as JSON, its members in the order of the source, and
// an ETag of it. Nobody may change the bytes.
func JSON() (doc []byte, etag string) { return document() }

func convert(source []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Load(source, &root); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := write(&b, &root); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// write writes a node as JSON.
func write(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.DocumentNode:
		return write(b, n.Content[0])
	case yaml.MappingNode:
		return writeAll(b, n, '{', '}')
	case yaml.SequenceNode:
		return writeAll(b, n, '[', ']')
	case yaml.ScalarNode:
		return writeScalar(b, n)
	}
	return fmt.Errorf("line %d: only mappings, sequences and scalars have a JSON form", n.Line)
}

func writeAll(b *bytes.Buffer, n *yaml.Node, open, end byte) error {
	b.WriteByte(open)
	for i, part := range n.Content {
		key := n.Kind == yaml.MappingNode && i%2 == 0
		switch {
		case n.Kind == yaml.MappingNode && !key:
			b.WriteByte(':')
		case i > 0:
			b.WriteByte(',')
		}
		var err error
		if key {
			err = writeString(b, part.Value)
		} else {
			err = write(b, part)
		}
		if err != nil {
			return err
		}
	}
	b.WriteByte(end)
	return nil
}

func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!int", "!!bool":
		b.WriteString(n.Value)
		return nil
	case "!!null":
		b.WriteString("null")
		return nil
	}
	return writeString(b, n.Value)
}

func writeString(b *bytes.Buffer, s string) error {
	quoted, err := json.Marshal(s)
	b.Write(quoted)
	return err
}
