package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/amtp-go/amtp/internal/plaintext"
)

// Change gives a key in a configuration file another value.
type Change struct {
	Section string // "server", "peers"; "" for a key outside of every section
	Key     string // within the section; the entries of a table have dots in theirs
	Value   string // "" removes the key
}

// Edited returns a configuration file with the changes. Everything else stays, with
// every comment, its order and its line ends. A new section is added at the end. When
// nothing changes, the content is returned byte for byte. A change that would lose a
// comment is an error. The values are not checked: have [Load] do that with
// [Sources.Content] before the file is written.
func Edited(content []byte, changes []Change) ([]byte, error) {
	text := plaintext.Content(content)
	windows := bytes.Contains(text, []byte("\r\n"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // the parser counts comments by line feeds
	changed := false
	for _, c := range changes {
		next, did, err := c.in(text)
		if err != nil {
			return nil, err
		}
		text, changed = next, changed || did
	}
	if !changed {
		return content, nil
	}
	if windows {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	return text, nil
}

// in makes the change in a file, and reports whether it changed anything. It edits the
// lines where they are. It writes the whole file anew only if the edited lines do not
// have the intended meaning.
func (c Change) in(content []byte) ([]byte, bool, error) {
	doc, root, err := parsed(content)
	if err != nil {
		return nil, false, err
	}
	lines, known := c.inLines(content)
	did, err := c.apply(root)
	if err != nil || !did {
		return content, false, err
	}
	if _, got, err := parsed(lines); known && err == nil && alike(got, root) && lost(content, lines) == "" {
		return lines, true, nil
	}
	out, err := yaml.Dump(doc)
	if err != nil {
		return nil, false, err
	}
	if remark := lost(content, out); remark != "" {
		return nil, false, fmt.Errorf("the comment %s would be lost; change %s by hand", brief(remark),
			strings.TrimPrefix(c.Section+"."+c.Key, "."))
	}
	return out, true, nil
}

// parsed returns the document of a file and its mapping, which is empty when the file
// has nothing but comments.
func parsed(content []byte) (doc, root *yaml.Node, err error) {
	var docs []yaml.Node
	if err := yaml.Load(content, &docs, yaml.WithAllDocuments()); err != nil {
		line, why := explainYAML(err)
		return nil, nil, fmt.Errorf("line %d: the file is not YAML: %s", line, why)
	}
	if len(docs) > 1 {
		return nil, nil, errors.New("the file has a second document")
	}
	if len(docs) == 1 && len(docs[0].Content) == 1 && docs[0].Content[0].Tag != "!!null" {
		return &docs[0], docs[0].Content[0], nil
	}
	root = &yaml.Node{Kind: yaml.MappingNode}
	return root, root, nil
}

// alike reports whether two nodes have the same meaning, however they are written.
func alike(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, alike)
}

// comment matches a comment, as far as one line alone can tell. It also matches text in
// quotes that looks like a comment; that text is then kept as well.
var comment = regexp.MustCompile(`(?m)(?:^|[ \t])(#.*?)[ \t]*$`)

// lost returns a comment that is in the file before and not in the file after, "" for
// none.
func lost(before, after []byte) string {
	there := map[string]int{}
	for _, m := range comment.FindAllSubmatch(after, -1) {
		there[string(m[1])]++
	}
	for _, m := range comment.FindAllSubmatch(before, -1) {
		if there[string(m[1])]--; there[string(m[1])] < 0 {
			return string(m[1])
		}
	}
	return ""
}

// apply makes the change in the mapping of the file, and reports whether it changed
// anything.
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
			return false,
				fmt.Errorf("line %d: %s is written as one value, not as lines of the form key: value; change it by hand",
					section.Line, c.Section)
		}
	}
	did := c.set(section)
	if i := keyIn(root, c.Section); c.Section != "" && len(section.Content) == 0 {
		root.Content = slices.Delete(root.Content, i, i+2)
	}
	return did, nil
}

// set gives the key of a section its value, and reports whether that changed anything.
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

// keyIn returns the index of a key in a mapping, -1 when it is not there.
func keyIn(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// textNode returns a value, with quotes where YAML would read it as something else.
// Settings read words and numbers as text, so those need no quotes.
func textNode(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if strings.ContainsAny(value, ":#{}[],&*!|>'\"%@`") || strings.TrimSpace(value) != value {
		n.SetString(value)
	}
	return n
}
