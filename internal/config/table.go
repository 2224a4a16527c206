package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/amtp-go/amtp"
)

// Table holds values of TXT records. The record of _amtp.{domain} is under the bare
// domain, that of a key under {selector}._amtpkey.{domain}. Each is valid, except that
// a gateway may lack TLS.
type Table map[amtp.Domain]string

// keyMark is in the name of every key record, between selector and domain.
const keyMark = "._amtpkey."

// table binds a field of records, which are a JSON object, or keys and values of the
// file.
func table(p *Table) value {
	v := bind(p, "JSON object of names and the values of TXT records", parseTable, formatTable)
	v.compose = composeTable
	return v
}

func composeTable(n *yaml.Node) (string, error) {
	if n.Kind != yaml.MappingNode {
		return "", errors.New("expected lines of the form domain: record")
	}
	var b strings.Builder
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, txt := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || txt.Kind != yaml.ScalarNode || txt.Tag == "!!null" {
			return "", errors.New("expected lines of the form domain: record")
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoteJSON(name.Value) + ":" + quoteJSON(txt.Value))
	}
	return "{" + b.String() + "}", nil
}

// quoteJSON writes text as a JSON string.
func quoteJSON(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return strconv.Quote(s) // cannot happen: every text has a form in JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// parseTable reads an object whose values are all text.
func parseTable(s string) (Table, error) {
	if s == "" {
		return nil, nil
	}
	const form = `an object such as {"other.example": "v=amtp1;gateway=https://gw.other.example"}`
	d := json.NewDecoder(strings.NewReader(s))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%s is not JSON of %s", brief(s), form)
	}
	all := Table{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%s is not JSON of %s", brief(s), form)
		}
		txt, err := d.Token()
		text, ok := txt.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("the value of %s is not text: write %s", brief(fmt.Sprint(name)), form)
		}
		if err := all.add(fmt.Sprint(name), text); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%s is not JSON of %s", brief(s), form)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the JSON of %s", form)
	}
	return all, nil
}

// add adds a record that is valid, with or without TLS.
func (t Table) add(name, txt string) error {
	d, err := parseDomain(name)
	if err != nil {
		return err
	}
	if _, twice := t[d]; twice {
		return fmt.Errorf("%s is there twice", brief(name))
	}
	if strings.Contains(string(d), keyMark) {
		_, err = amtp.ParseKeyRecord(txt)
	} else {
		_, err = amtp.ParseCapabilities(txt, true)
	}
	if err != nil {
		return fmt.Errorf("the record of %s cannot be used: %w", brief(name), err)
	}
	t[d] = txt
	return nil
}

func formatTable(t Table) string {
	if len(t) == 0 {
		return ""
	}
	var b strings.Builder
	for i, name := range t.names() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoteJSON(string(name)) + ":" + quoteJSON(t[name]))
	}
	return "{" + b.String() + "}"
}

// names returns the names in order.
func (t Table) names() []amtp.Domain {
	return slices.Sorted(maps.Keys(t))
}
