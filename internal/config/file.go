package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fromFile reads the file that --config names, or else the one in the data directory,
// if there is one.
func (l *loader) fromFile() {
	name, named := l.flags.given(configFlag)
	place := "--" + configFlag
	if !named {
		dir := l.namedDataDir()
		if dir == "" {
			return
		}
		name = filepath.Join(dir, FileName)
		place = name
	}
	content, err := os.ReadFile(name)
	if l.content != nil {
		content, err = l.content, nil
	}
	if errors.Is(err, fs.ErrNotExist) && !named {
		return
	}
	if err != nil {
		l.problem(place, "the file "+brief(name)+" cannot be read: "+reason(err))
		return
	}
	l.cfg.file = name
	f := fileReader{loader: l, name: name, seen: map[string]bool{}}
	f.read(content)
	if !named {
		l.checkHome(name)
	}
}

// checkHome refuses a file in one data directory that names another one: the gateway
// would read its data there and its file here. A user who can write to the directory
// must not be able to permit that to others.
func (l *loader) checkHome(name string) {
	if place := l.cfg.origins["data_dir_open"]; strings.HasPrefix(place, name+":") {
		l.problem(place,
			"data_dir_open: a file in the data directory cannot say this; set AMTP_DATA_DIR_OPEN, or name the file with --config")
	}
	place, ok := l.cfg.origins["data_dir"]
	if ok && filepath.Clean(l.cfg.DataDir) != filepath.Dir(name) {
		l.problem(place, "data_dir: this file lies in another data directory; move it there, or name it with --config")
	}
}

// fileReader reads one file.
type fileReader struct {
	*loader
	name string
	seen map[string]bool // paths of the keys read so far
}

func (f *fileReader) read(content []byte) {
	var docs []yaml.Node
	if err := yaml.Load(content, &docs, yaml.WithAllDocuments()); err != nil {
		line, why := explainYAML(err)
		f.refuse(line, "the file is not YAML: "+why)
		return
	}
	if len(docs) > 1 {
		f.refuse(docs[1].Line, "the file has a second document")
	}
	for _, doc := range docs[:min(1, len(docs))] {
		for _, root := range doc.Content {
			f.section(root, "")
		}
	}
}

// section takes the keys of one mapping: of the whole file if prefix is empty, else of
// the section with that prefix, such as "server.". An empty value means no keys.
func (f *fileReader) section(n *yaml.Node, prefix string) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.refuse(n.Line, "expected lines of the form key: value, known here: "+strings.Join(f.keys(prefix), ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f.key(n.Content[i], n.Content[i+1], prefix)
	}
}

func (f *fileReader) key(key, val *yaml.Node, prefix string) {
	known := f.keys(prefix)
	if key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value) {
		f.refuse(key.Line, fmt.Sprintf("unknown key %s; known here: %s", brief(prefix+key.Value),
			strings.Join(known, ", ")))
		return
	}
	path := prefix + key.Value
	if f.seen[path] {
		f.refuse(key.Line, path+" is in the file twice")
		return
	}
	f.seen[path] = true
	i := slices.IndexFunc(f.settings, func(s setting) bool { return s.path == path })
	if i < 0 {
		f.section(val, path+".")
		return
	}
	f.value(f.settings[i], val)
}

func (f *fileReader) value(s setting, n *yaml.Node) {
	switch {
	case n.Kind != yaml.ScalarNode && s.value.compose != nil:
		text, err := s.value.compose(n)
		if err != nil {
			f.refuse(n.Line, s.path+": "+err.Error())
			return
		}
		f.set(s, f.place(n.Line), text)
	case n.Kind != yaml.ScalarNode:
		f.refuse(n.Line, s.path+": expected one value ("+s.value.form+")")
	case n.Tag == "!!null":
		f.refuse(n.Line, s.path+": has no value; delete the line to keep the default")
	default:
		f.set(s, f.place(n.Line), n.Value)
		if s.value.form == secretForm && n.Value != "" && othersMayRead(f.name) {
			f.warn(f.place(n.Line), s.path+": every user of this machine may read it in this file")
		}
	}
}

// keys returns the keys that may follow prefix: names of settings and, if prefix is
// empty, of sections.
func (f *fileReader) keys(prefix string) []string {
	var keys []string
	for _, s := range f.settings {
		if rest, ok := strings.CutPrefix(s.path, prefix); ok {
			key, _, _ := strings.Cut(rest, ".")
			keys = append(keys, key)
		}
	}
	return slices.Compact(keys)
}

func (f *fileReader) refuse(line int, text string) { f.problem(f.place(line), text) }

func (f *fileReader) place(line int) string {
	if line < 1 {
		return f.name
	}
	return fmt.Sprintf("%s:%d", f.name, line)
}

// explainYAML returns the line of a parser's error, 0 if it has none, and its reason.
func explainYAML(err error) (line int, why string) {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return 0, err.Error()
	}
	if at.Mark.Line > 0 {
		return at.Mark.Line, at.Message
	}
	return at.ContextMark.Line, at.Message
}

// reason returns what went wrong with a file, without the file's name.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}
