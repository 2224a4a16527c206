// Package plaintext reads texts that people wrote with editors, web forms and secret
// stores, as the people meant them, and writes sizes for people.
//
// The promise: characters that such a program adds around a text, and characters that
// nobody sees, never become a part of a key, a name or a file that is read here. A change
// inside a text is named, so that an error can report it.
package plaintext

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// mark is the byte order mark with which editors begin a file.
const mark = "\ufeff"

// Content returns the content of a text file without a byte order mark, and in UTF-8 if
// the mark says that it is UTF-16. Other content stays as it is.
func Content(b []byte) []byte {
	switch {
	case bytes.HasPrefix(b, []byte(mark)):
		return b[len(mark):]
	case len(b) >= 2 && len(b)%2 == 0 && b[0] == 0xff && b[1] == 0xfe:
		return wide(b[2:], func(pair []byte) uint16 { return uint16(pair[0]) | uint16(pair[1])<<8 })
	case len(b) >= 2 && len(b)%2 == 0 && b[0] == 0xfe && b[1] == 0xff:
		return wide(b[2:], func(pair []byte) uint16 { return uint16(pair[1]) | uint16(pair[0])<<8 })
	}
	return b
}

// wide returns UTF-16 as UTF-8.
func wide(b []byte, unit func(pair []byte) uint16) []byte {
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, unit(b))
	}
	return []byte(string(utf16.Decode(units)))
}

// Word returns a text that is one word on one line, such as a key, a URL or a name. It
// removes line ends, spaces, a byte order mark and invisible characters around it, and
// quotation marks that enclose it.
func Word(s string) string {
	s = strings.TrimFunc(s, unseen)
	for _, q := range []string{`"`, `'`} {
		if len(s) >= 2 && strings.HasPrefix(s, q) && strings.HasSuffix(s, q) {
			return strings.TrimFunc(s[1:len(s)-1], unseen)
		}
	}
	return s
}

// unseen reports whether the character is invisible at the edge of a text.
func unseen(r rune) bool {
	// among these the mark and the zero widths
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf)
}

// Odd names the first character of a key that a key must not have, "" if there is none. A
// key is sent in a header and has only visible ASCII characters. Odd never shows the key.
func Odd(key string) string {
	for i, r := range key {
		switch {
		case r == '\n' || r == '\r':
			return "a line break"
		case r == ' ' || r == '\t':
			return "a space"
		case r == '"' || r == '\'' || r == '\u201c' || r == '\u201d' || r == '\u2018' || r == '\u2019':
			return "a quotation mark"
		case r == '\\':
			return "a backslash"
		case r == utf8.RuneError && !strings.HasPrefix(key[i:], "\ufffd"):
			return "a byte that is not UTF-8"
		case r < ' ' || r > '~':
			return fmt.Sprintf("the character %U", r)
		}
	}
	return ""
}
