package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/amtp-go/amtp/internal/openapi"
)

// tree is a node of the document. Its members keep the order of the source.
type tree struct {
	root *yaml.Node
	at   *yaml.Node // nil for a node that does not exist
}

func read(t *testing.T) tree {
	t.Helper()
	return parse(t, string(openapi.Source()))
}

// parse reads a document, or a part of one.
func parse(t *testing.T, source string) tree {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Load([]byte(source), &doc); err != nil {
		t.Fatal(err)
	}
	return tree{doc.Content[0], doc.Content[0]}
}

// get follows names, and the references on the way.
func (n tree) get(names ...string) tree {
	for _, name := range names {
		found := tree{n.root, nil}
		for key, value := range n.members() {
			if key == name {
				found = value
			}
		}
		n = found.resolved()
	}
	return n
}

// members are the members of an object, with references unresolved.
func (n tree) members() iter.Seq2[string, tree] {
	return func(yield func(string, tree) bool) {
		if n.at == nil || n.at.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.at.Content); i += 2 {
			if !yield(n.at.Content[i].Value, tree{n.root, n.at.Content[i+1]}) {
				return
			}
		}
	}
}

// items are the elements of a list.
func (n tree) items() (list []tree) {
	if n.at != nil && n.at.Kind == yaml.SequenceNode {
		for _, item := range n.at.Content {
			list = append(list, tree{n.root, item})
		}
	}
	return list
}

// ref returns the component that a reference names, such as schemas/Address; "" for
// another node.
func (n tree) ref() string {
	for key, value := range n.members() {
		if key == "$ref" {
			return strings.TrimPrefix(value.at.Value, "#/components/")
		}
	}
	return ""
}

func (n tree) resolved() tree {
	ref := n.ref()
	if ref == "" {
		return n
	}
	kind, name, _ := strings.Cut(ref, "/")
	return tree{n.root, n.root}.get("components", kind, name)
}

// own returns a text of the node itself, even if the node is beside a reference.
func (n tree) own(name string) string {
	for key, value := range n.members() {
		if key == name {
			return value.text()
		}
	}
	return ""
}

func (n tree) exists() bool { return n.at != nil }

func (n tree) text() string {
	if n.at == nil {
		return ""
	}
	return strings.TrimSpace(n.at.Value)
}

// texts returns the scalars of a list.
func (n tree) texts() (list []string) {
	for _, item := range n.items() {
		list = append(list, item.text())
	}
	return list
}

// json writes the node as JSON over several lines.
func (n tree) json(t *testing.T) string {
	t.Helper()
	source, err := yaml.Dump(n.at)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, openapi.Convert(source), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// schemas yields all schemas of the document, also nested ones, each with its place.
func (n tree) schemas() iter.Seq2[string, tree] {
	return func(yield func(string, tree) bool) { n.walk("", false, yield) }
}

// walk yields the schemas below a node. Examples contain none.
func (n tree) walk(at string, schema bool, yield func(string, tree) bool) bool {
	if schema && !yield(at, n) {
		return false
	}
	for name, inner := range n.members() {
		path := at + "/" + name
		switch {
		case name == "example" && !schema:
			continue
		case schema && name == "properties", !schema && name == "schemas":
			for property, value := range inner.members() {
				if !value.walk(path+"/"+property, true, yield) {
					return false
				}
			}
			continue
		}
		inside := schema && (name == "items" || name == "additionalProperties") && inner.at.Kind == yaml.MappingNode
		if !inner.walk(path, inside || !schema && name == "schema", yield) {
			return false
		}
	}
	for i, item := range n.items() {
		part := strings.HasSuffix(at, "/allOf") || strings.HasSuffix(at, "/oneOf")
		if !item.walk(fmt.Sprintf("%s/%d", at, i), part, yield) {
			return false
		}
	}
	return true
}

// operation is one operation with its path.
type operation struct {
	tree
	method, pattern string
	item            tree
}

func (n tree) operations() (list []operation) {
	for pattern, item := range n.get("paths").members() {
		for method, op := range item.members() {
			if method != "parameters" {
				list = append(list, operation{op, strings.ToUpper(method), pattern, item})
			}
		}
	}
	return list
}

// parameters returns the parameters of the path and of the operation.
func (o operation) parameters() (list []tree) {
	for _, p := range append(o.item.get("parameters").items(), o.get("parameters").items()...) {
		list = append(list, p.resolved())
	}
	return list
}
