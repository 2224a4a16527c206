package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amtp-go/amtp"
)

// addressText writes an address so that it may be copied to a command line. A local
// part of a stranger may be made to act there: one with other characters than letters,
// digits and . _ + - = behind a letter or digit is quoted, with those characters as
// escapes, and no command takes it in that form. "amtp reply" needs no address.
func addressText(a amtp.Address) string {
	s := a.String()
	local, domain, ok := strings.Cut(s, "@")
	if !ok || plainLocal(local) {
		return clean(s)
	}
	var b strings.Builder
	for i := range len(local) {
		if plainByte(local[i]) && (i > 0 || isAlnum(local[i])) {
			b.WriteByte(local[i])
		} else {
			fmt.Fprintf(&b, `\x%02x`, local[i])
		}
	}
	return `"` + b.String() + `"@` + clean(domain)
}

// addressTexts is addressText for several.
func addressTexts(list []amtp.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = addressText(a)
	}
	return strings.Join(texts, ", ")
}

// senderText is the sender of a message; of an odd one it says how it is answered.
func senderText(a amtp.Address) string {
	text := addressText(a)
	if strings.HasPrefix(text, `"`) {
		text += "  (an odd name; answer with: amtp reply)"
	}
	return text
}

func plainLocal(local string) bool {
	for i := range len(local) {
		if !plainByte(local[i]) || i == 0 && !isAlnum(local[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool { return isAlnum(c) || strings.IndexByte("._+-=", c) >= 0 }

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// idWord writes a message's id as an argument: one that begins with - is no flag.
func idWord(id amtp.MessageID) string {
	word := clean(string(id))
	if strings.HasPrefix(word, "-") {
		return "-- " + word
	}
	return word
}

// previewLength is how many characters of a text a list shows.
const previewLength = 200

// oneLine writes text of a stranger on one line: cleaned, with every run of blanks as
// one, and cut. Blanks cannot push anything to where a terminal breaks the line.
func oneLine(s string, most int) (line string, cut bool) {
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
			return clean(strings.TrimRight(b.String(), " ")), true
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size]) // bytes that are no character stay, for clean
	}
	return clean(b.String()), false
}

// payloadPreview is a payload on one line: a text as it is, other JSON compact.
func payloadPreview(payload json.RawMessage) (line string, cut bool) {
	if text, is := textOf(payload); is {
		return oneLine(text, previewLength)
	}
	return oneLine(payloadLine(payload), previewLength)
}

// fit cuts a line to a number of columns and marks that. A character that may be two
// columns wide counts as two.
func fit(line string, columns int) string {
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
