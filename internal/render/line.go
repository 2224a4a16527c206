package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// PreviewLength is the number of characters of a text in a list.
const PreviewLength = 200

// OneLine writes a stranger's text on one line: cleaned, with every run of blanks as one
// blank, and cut after most characters. So blanks cannot push words to the place at which
// a terminal breaks the line. It reports whether text was cut off.
func OneLine(s string, most int) (line string, cut bool) {
	var b strings.Builder
	blank := false
	n := 0
	for i, r := range s {
		if unicode.IsSpace(r) || r == '\u2800' { // the blank of Braille
			blank = n > 0
			continue
		}
		if n += 1; blank {
			n++
			b.WriteByte(' ')
			blank = false
		}
		if n > most {
			return Clean(strings.TrimRight(b.String(), " ")), true
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size]) // bytes that are not a character stay; Clean escapes them
	}
	return Clean(b.String()), false
}

// Fit cuts a line to a number of columns and marks the cut with an ellipsis. A character
// that may be two columns wide counts as two.
func Fit(line string, columns int) string {
	used := 0
	for i, r := range line {
		wide := 1
		if r >= 0x1100 {
			wide = 2
		}
		if used+wide > columns-1 && (used+wide > columns || len(line) > i+len(string(r))) {
			return line[:i] + "…"
		}
		used += wide
	}
	return line
}
