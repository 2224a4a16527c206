package openapi

import (
	"bytes"

	"go.yaml.in/yaml/v4"
)

// Convert returns a part of the document as JSON.
func Convert(source []byte) []byte {
	var root yaml.Node
	if err := yaml.Load(source, &root); err != nil {
		panic(err)
	}
	var b bytes.Buffer
	write(&b, &root)
	return b.Bytes()
}
