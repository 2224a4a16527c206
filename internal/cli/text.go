package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/amtp-go/amtp"
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
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point)
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

// sayf writes a result, or beside it when stdout is for JSON.
func (p *program) sayf(format string, args ...any) {
	if p.json {
		p.notef(format, args...)
		return
	}
	p.printf(format, args...)
}

// printTable writes rows with their columns below one another, cleaned, the
// first as their heads.
func (p *program) printTable(rows [][]string) {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, clean(cell))
		}
		fmt.Fprint(w, "\n")
	}
	w.Flush()
}

// labelled writes lines of a label and a value, cleaned, and nothing for an
// empty one.
func (p *program) labelled(width int) func(label, value string) {
	return func(label, value string) {
		if value != "" {
			p.printf("  %-*s %s\n", width, label, clean(value))
		}
	}
}

// printJSON writes v as one line of JSON in which no character is invisible:
// those are escaped, which does not change what the JSON means.
func (p *program) printJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(p.stdout, escapeInvisible(b.String()))
	return err
}

// escapeInvisible replaces in JSON what can stand in strings only.
func escapeInvisible(doc string) string {
	if !strings.ContainsFunc(doc, func(r rune) bool { return r != '\n' && !visible(r) }) {
		return doc
	}
	var b strings.Builder
	for _, r := range doc {
		if r == '\n' || visible(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// plural writes a number with its noun: 1 message, 2 messages.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// counted is plural of a number at which the gateway may have stopped counting.
func counted(n int, capped bool, noun string) string {
	if capped {
		return strconv.Itoa(n) + "+ " + noun + "s"
	}
	return plural(n, noun)
}

// recipientLine writes what became of a message for one recipient.
func recipientLine(r amtp.RecipientStatus) string {
	var b strings.Builder
	b.WriteString(addressText(r.Address) + ": " + clean(string(r.Status)))
	if r.DeliveryMode != "" {
		b.WriteString(" (" + clean(r.DeliveryMode) + ")")
	}
	if r.Acknowledged {
		b.WriteString(" [ACK]")
	}
	if r.Read && !r.Acknowledged { // who is done with it has read it
		b.WriteString(" [READ]")
	}
	if r.Refused {
		b.WriteString(" [REFUSED]")
	}
	if r.ErrorMessage != "" {
		b.WriteString(" error: " + clean(r.ErrorMessage))
	}
	return b.String()
}
