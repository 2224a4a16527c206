package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// inLines makes the change in the lines of a file and leaves all others as they are. It
// returns false for a file in a form that it cannot edit, for example one line with
// braces. It does not check whether the result has the intended meaning.
func (c Change) inLines(content []byte) ([]byte, bool) {
	_, root, err := parsed(content)
	if err != nil || root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 {
		return nil, false
	}
	f := lineEdit{lines: strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")}
	margin := strings.Repeat(" ", max(root.Column-1, 0))
	if c.Section == "" {
		return f.done(f.change(root, c.Key, c.Value, margin))
	}
	i := keyIn(root, c.Section)
	if i < 0 {
		f.add(margin+c.Section+":", margin+"  "+pairLine(c.Key, c.Value))
		return f.done(c.Value != "")
	}
	key, section := root.Content[i], root.Content[i+1]
	switch {
	case section.Kind == yaml.ScalarNode && section.Tag == "!!null" && section.Value == "" && c.Value != "":
		f.insert(key.Line, margin+"  "+pairLine(c.Key, c.Value))
		return f.done(true)
	case section.Kind != yaml.MappingNode || section.Style&yaml.FlowStyle != 0 || len(section.Content) == 0:
		return nil, false
	}
	ok := f.change(section, c.Key, c.Value, strings.Repeat(" ", section.Column-1))
	if ok && c.Value == "" && len(section.Content) == 2 { // the last key of the section is removed
		f.remove(key.Line, key.Line, margin)
	}
	return f.done(ok)
}

// lineEdit is a file that is changed line by line.
type lineEdit struct{ lines []string }

func (f *lineEdit) done(ok bool) ([]byte, bool) {
	return []byte(strings.Join(f.lines, "\n") + "\n"), ok
}

// change sets, adds or removes a key of a mapping that is written on lines of its own.
func (f *lineEdit) change(mapping *yaml.Node, key, value, margin string) bool {
	i := keyIn(mapping, key)
	switch {
	case i < 0 && value == "":
		return false
	case i < 0 && len(mapping.Content) == 0:
		f.add(margin + pairLine(key, value))
		return true
	case i < 0:
		f.insert(lastLine(mapping), margin+pairLine(key, value))
		return true
	case value == "":
		f.remove(mapping.Content[i].Line, max(mapping.Content[i].Line, lastLine(mapping.Content[i+1])), margin)
		return true
	}
	return f.replace(mapping.Content[i+1], value)
}

// add appends lines, in place of empty lines at the end.
func (f *lineEdit) add(lines ...string) {
	end := len(f.lines)
	for end > 0 && strings.TrimSpace(f.lines[end-1]) == "" {
		end--
	}
	f.lines = append(f.lines[:end], lines...)
}

// insert puts a line after the line of that number, which counts from one.
func (f *lineEdit) insert(behind int, line string) {
	f.lines = slices.Insert(f.lines, min(behind, len(f.lines)), line)
}

// remove removes lines. Their comments get lines of their own.
func (f *lineEdit) remove(first, last int, margin string) {
	last = min(last, len(f.lines))
	var comments []string
	for _, line := range f.lines[first-1 : last] {
		if m := comment.FindStringSubmatch(line); m != nil {
			comments = append(comments, margin+m[1])
		}
	}
	f.lines = slices.Replace(f.lines, first-1, last, comments...)
}

// replace writes another value in place of one that stands on one line.
func (f *lineEdit) replace(old *yaml.Node, value string) bool {
	if old.Kind != yaml.ScalarNode || old.Line < 1 || old.Line > len(f.lines) ||
		old.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return false
	}
	line := []rune(f.lines[old.Line-1])
	if old.Column < 1 || old.Column-1 > len(line) {
		return false
	}
	before, rest := string(line[:old.Column-1]), string(line[old.Column-1:])
	end := wordEnd(rest, old.Style)
	if old.Tag == "!!null" && old.Value == "" {
		before, end = strings.TrimRight(before, " ")+" ", 0
	}
	if end < 0 {
		return false
	}
	_, word, _ := strings.Cut(pairLine("k", value), ": ")
	f.lines[old.Line-1] = before + word + rest[end:]
	return true
}

// wordEnd returns the end of the word at the beginning of a text, -1 when the word does
// not end.
func wordEnd(s string, style yaml.Style) int {
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(s); i++ {
			if s[i] == '\\' {
				i++
			} else if s[i] == '"' {
				return i + 1
			}
		}
		return -1
	case style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(s); i++ {
			if s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'' {
				i++
			} else if s[i] == '\'' {
				return i + 1
			}
		}
		return -1
	}
	if at := comment.FindStringIndex(s); at != nil {
		s = s[:at[0]]
	}
	return len(strings.TrimRight(s, " \t"))
}

// lastLine returns the number of the last line on which a node, or a node inside it,
// begins.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// pairLine writes a key and its value as one line.
func pairLine(key, value string) string {
	pair := &yaml.Node{Kind: yaml.MappingNode}
	addPair(pair, textNode(key), textNode(value))
	b, err := yaml.Dump(pair)
	if err != nil {
		return "" // the caller finds that the result lacks the change
	}
	return strings.TrimRight(string(b), "\n")
}
