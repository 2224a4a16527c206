package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// JSON writes v to w as one line of JSON in which no character is invisible, see
// escapeInvisible.
func JSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, escapeInvisible(b.String()))
	return err
}

// escapeInvisible replaces the invisible characters of a JSON document by escapes. They can
// stand in its strings only, so the document means the same.
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

// CleanJSON writes v as JSON on one line, cleaned as [Clean] does; "{}" if v cannot be JSON.
func CleanJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return Clean(string(b))
}
