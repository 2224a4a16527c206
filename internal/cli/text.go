package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text of a stranger safe to print on one line: line breaks,
// control characters, characters that change the direction or are invisible,
// and broken UTF-8 are written as escapes.
func clean(s string) string {
	return escape(s, false)
}

// cleanBlock is clean for text of several lines: line feeds and tabs stay.
func cleanBlock(s string) string {
	return escape(s, true)
}

func escape(s string, block bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case block && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !visible(r):
			fmt.Fprintf(&b, escapeOf(r), r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// visible reports whether a reader sees r, or needs it to read what is around
// it: joiners of scripts and emoji stay.
func visible(r rune) bool {
	switch r {
	case '\u200c', '\u200d', '\ufe0e', '\ufe0f':
		return true
	}
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

func escapeOf(r rune) string {
	if r > 0xffff {
		return `\U%08x`
	}
	return `\u%04x`
}

// printf writes a result.
func (p *program) printf(format string, args ...any) {
	fmt.Fprintf(p.stdout, format, args...)
}

// notef tells the user something beside the result.
func (p *program) notef(format string, args ...any) {
	fmt.Fprintf(p.stderr, format, args...)
}

// printJSON writes v as one line of JSON in which characters that a terminal
// would obey are escaped.
func (p *program) printJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := p.stdout.Write(b.Bytes())
	return err
}
