package config

import (
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v4"
)

// YAML returns the configuration as a file that Load reads. The meaning of each key is
// above it, and the place of its value after it. Secrets are redacted: write such a key
// again before the file is used.
func (c Config) YAML() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": root}
	for _, s := range c.settings() {
		name := ""
		if section, _, ok := strings.Cut(s.path, "."); ok {
			name = section
		}
		if sections[name] == nil {
			sections[name] = &yaml.Node{Kind: yaml.MappingNode}
			addPair(root, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, sections[name])
		}
		key, val := s.yaml()
		val.LineComment = "from " + c.origin(s.path)
		addPair(sections[name], key, val)
	}
	return yaml.Dump(root)
}

func addPair(section, key, val *yaml.Node) {
	section.Content = append(section.Content, key, val)
}

// yaml returns the key with its meaning and the value as nodes of a file.
func (s setting) yaml() (key, val *yaml.Node) {
	name := s.path[strings.LastIndex(s.path, ".")+1:]
	key = &yaml.Node{Kind: yaml.ScalarNode, Value: name, HeadComment: s.meaning}
	val = &yaml.Node{Kind: yaml.ScalarNode, Value: s.value.text()}
	if _, isText := s.value.plain().(string); isText {
		val.SetString(s.value.text()) // with quotes where YAML would read it as something else
	}
	return key, val
}

// JSON returns the configuration as an object: "file" is the file that was read, and
// "settings" has for each key its value and the place of that value. Secrets are
// redacted.
func (c Config) JSON() ([]byte, error) {
	type shown struct {
		Value any    `json:"value"`
		From  string `json:"from"`
	}
	settings := map[string]shown{}
	for _, s := range c.settings() {
		settings[s.path] = shown{s.value.plain(), c.origin(s.path)}
	}
	return json.Marshal(struct {
		File     string           `json:"file"`
		Settings map[string]shown `json:"settings"`
	}{c.file, settings})
}
