// Package openapi is the document that describes the HTTP API. It is OpenAPI 3.1,
// written by hand in openapi.yaml and served as JSON. Tests check the routes, and every
// answer that they get, against it.
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

// JSON returns the document as JSON, with its members in the order of the source, and
// its ETag. The caller must not change the bytes.
func JSON() (doc []byte, etag string) { return document() }

var document = sync.OnceValues(func() ([]byte, string) {
	var root yaml.Node
	if err := yaml.Load(source, &root); err != nil {
		panic(err) // the document is part of the program, and tests read it
	}
	var b bytes.Buffer
	write(&b, &root)
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), `"` + hex.EncodeToString(sum[:16]) + `"`
})

// write writes a node as JSON.
func write(b *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.DocumentNode:
		write(b, n.Content[0])
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i < len(n.Content); i += 2 {
			separate(b, i)
			writeString(b, n.Content[i].Value)
			b.WriteByte(':')
			write(b, n.Content[i+1])
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			separate(b, i)
			write(b, item)
		}
		b.WriteByte(']')
	case yaml.ScalarNode:
		writeScalar(b, n)
	default:
		panic(fmt.Sprintf("openapi.yaml: line %d has no JSON form", n.Line))
	}
}

func separate(b *bytes.Buffer, before int) {
	if before > 0 {
		b.WriteByte(',')
	}
}

// writeScalar writes a number, a JSON literal or a string. A time is a string.
func writeScalar(b *bytes.Buffer, n *yaml.Node) {
	switch n.ShortTag() {
	case "!!int", "!!bool":
		b.WriteString(n.Value)
	case "!!null":
		b.WriteString("null")
	default:
		writeString(b, n.Value)
	}
}

func writeString(b *bytes.Buffer, s string) {
	quoted, _ := json.Marshal(s) // a string cannot fail
	b.Write(quoted)
}
