package render

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plural writes a number with its noun: 1 message, 2 messages.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Counted is [Plural] for a number at which the gateway may have stopped counting: 1000+
// messages when capped.
func Counted(n int, capped bool, noun string) string {
	if capped {
		return strconv.Itoa(n) + "+ " + noun + "s"
	}
	return Plural(n, noun)
}

// Sentence writes the text of an error as a sentence: with a capital letter and a full stop.
// The name of a file or a program at its beginning stays as it is.
func Sentence(err error) string {
	s := err.Error()
	if word, _, _ := strings.Cut(s, " "); strings.ContainsAny(word, `/\._:0123456789`) {
		return strings.TrimSuffix(s, ".") + "."
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(s[size:], ".") + "."
}

// ShellWord writes one argument as a shell takes it.
func ShellWord(w string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("@._:/=+-", r)
	}
	if w != "" && strings.IndexFunc(w, func(r rune) bool { return !plain(r) }) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
