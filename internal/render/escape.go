// Package render writes the output of an AMTP program: a stranger's text made harmless,
// messages between fences, tables, times and numbers.
//
// The package promises: no text of a stranger moves the cursor, hides characters or forges
// a line. Every content of a message is between two lines with a word that its sender could
// not know. The result of a function depends on its arguments only. A function prints only
// if it gets a writer. The command line uses them, and any other program that shows
// messages to a person or to a model may use them.
package render

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes a stranger's text safe to print on one line. It writes as escapes: line
// breaks, control characters, characters that are invisible or change the direction of
// the text, and broken UTF-8.
func Clean(s string) string {
	return escape(s, false)
}

// CleanBlock is [Clean] for text of several lines: line feeds and tabs stay.
func CleanBlock(s string) string {
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

// visible reports whether a reader sees r, or needs it to read the characters around
// it: joiners of scripts and emoji count as visible.
func visible(r rune) bool {
	switch r {
	case '\u200c', '\u200d', '\ufe0e', '\ufe0f':
		return true
	}
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point)
}

func escapeOf(r rune) string {
	if r > 0xffff {
		return `\U%08x`
	}
	return `\u%04x`
}
