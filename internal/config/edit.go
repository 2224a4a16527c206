package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Change is a key that gets another value in a configuration file.
type Change struct {
	Section string // "server", "peers"; "" for a key that stands in none
	Key     string // within it; the entries of a table have dots in theirs
	Value   string // "" removes the key
}

// Edited returns a configuration file with the changes. Everything else stays,
// with its comments and its order; a section that was not there is added at the
// end. When nothing changes the content is returned as it is, to the byte. The
// values are not judged: have [Load] do that with [Sources.Content] before the
// file is written.
func Edited(content []byte, changes []Change) ([]byte, error) {
	var docs []yaml.Node
	if err := yaml.Load(content, &docs, yaml.WithAllDocuments()); err != nil {
		line, why := explainYAML(err)
		return nil, fmt.Errorf("line %d: the file is not YAML: %s", line, why)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if len(docs) > 1 {
		return nil, errors.New("the file has a second document")
	}
	if len(docs) == 1 && len(docs[0].Content) == 1 && docs[0].Content[0].Tag != "!!null" {
		root = docs[0].Content[0]
	}
	changed := false
	for _, c := range changes {
		did, err := c.apply(root)
		if err != nil {
			return nil, err
		}
		changed = changed || did
	}
	if !changed {
		return content, nil
	}
	out, err := yaml.Dump(root)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 || root != docs[0].Content[0] { // comments only, which no node holds
		out = append(withBreak(content), out...)
	}
	return out, nil
}

// withBreak ends text with a line break, unless there is none.
func withBreak(text []byte) []byte {
	text = bytes.TrimRight(text, " \t\r\n")
	if len(text) == 0 {
		return nil
	}
	return append(text, '\n')
}

// apply makes the change in the mapping of the file, and reports whether it was
// one.
func (c Change) apply(root *yaml.Node) (bool, error) {
	if root.Kind != yaml.MappingNode {
		return false, errors.New("the file is not one of lines of the form key: value")
	}
	section := root
	if c.Section != "" {
		i := keyIn(root, c.Section)
		if i < 0 && c.Value == "" {
			return false, nil
		}
		if i < 0 {
			i = len(root.Content)
			addPair(root, &yaml.Node{Kind: yaml.ScalarNode, Value: c.Section}, &yaml.Node{Kind: yaml.MappingNode})
		}
		if section = root.Content[i+1]; section.Kind == yaml.ScalarNode && section.Tag == "!!null" {
			section = &yaml.Node{Kind: yaml.MappingNode}
			root.Content[i+1] = section
		}
		if section.Kind != yaml.MappingNode {
			return false, fmt.Errorf("line %d: %s is written as one value, not as lines of the form key: value; change it by hand", section.Line, c.Section)
		}
	}
	did := c.set(section)
	if i := keyIn(root, c.Section); c.Section != "" && len(section.Content) == 0 {
		root.Content = slices.Delete(root.Content, i, i+2)
	}
	return did, nil
}

// set gives the key of a section its value.
func (c Change) set(section *yaml.Node) bool {
	i := keyIn(section, c.Key)
	switch {
	case i < 0 && c.Value == "":
		return false
	case i < 0:
		addPair(section, &yaml.Node{Kind: yaml.ScalarNode, Value: c.Key}, textNode(c.Value))
		return true
	case c.Value == "":
		section.Content = slices.Delete(section.Content, i, i+2)
		return true
	}
	old := section.Content[i+1]
	if old.Kind == yaml.ScalarNode && old.Value == c.Value && old.Tag != "!!null" {
		return false
	}
	fresh := textNode(c.Value)
	fresh.LineComment, fresh.FootComment = old.LineComment, old.FootComment
	section.Content[i+1] = fresh
	return true
}

// keyIn returns the place of a key in a mapping, -1 when it is not there.
func keyIn(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// textNode is a value with quotes where it would look like something else. Words
// and numbers of settings are read as text, so that they need none.
func textNode(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if strings.ContainsAny(value, ":#{}[],&*!|>'\"%@`") || strings.TrimSpace(value) != value {
		n.SetString(value)
	}
	return n
}
