package render

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/amtp-go/amtp"
)

// PayloadText returns the text of a payload that is a text: a JSON string, or {"text": …}.
func PayloadText(payload json.RawMessage) (text string, is bool) {
	if json.Unmarshal(payload, &text) == nil {
		return text, string(payload) != "null"
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || len(members) != 1 || len(members["text"]) == 0 ||
		members["text"][0] != '"' {
		return "", false
	}
	return text, json.Unmarshal(members["text"], &text) == nil
}

// payloadLine writes a payload on one line: a string without its quotes, other JSON
// compact, and "" for no payload.
func payloadLine(payload json.RawMessage) string {
	if len(payload) == 0 || string(payload) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(payload, &s) == nil {
		return Clean(s)
	}
	var b bytes.Buffer
	if json.Compact(&b, payload) != nil {
		return Clean(string(payload))
	}
	return Clean(b.String())
}

// Preview writes the beginning of a payload on one line, at most [PreviewLength]
// characters, and reports whether it was cut.
func Preview(payload json.RawMessage) (line string, cut bool) {
	if text, is := PayloadText(payload); is {
		return OneLine(text, PreviewLength)
	}
	return OneLine(payloadLine(payload), PreviewLength)
}

// Content writes the whole content that the sender wrote, with a line break at its end. Text
// keeps its lines; other control characters are escaped.
func Content(r amtp.Received) string {
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			b.WriteString(label + ": " + Clean(text) + "\n")
		}
	}
	line("Subject", r.Subject)
	line("Schema", r.Schema)
	line("Headers", payloadLine(r.Headers))
	for _, a := range r.Attachments {
		line("Attachment", a.Filename+" "+a.URL+" "+a.Hash)
	}
	body := payloadBlock(r.Payload)
	if b.Len() > 0 && body != "" {
		b.WriteString("\n")
	}
	b.WriteString(body)
	if body != "" && !strings.HasSuffix(body, "\n") {
		b.WriteString("\n")
	}
	return b.String()
}

// payloadBlock writes a payload on as many lines as it has: a text as it is, {"text": …}
// as that text, other JSON indented.
func payloadBlock(payload json.RawMessage) string {
	if len(payload) == 0 || string(payload) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(payload, &s) == nil {
		return CleanBlock(s)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) == nil && len(members) == 1 && json.Unmarshal(members["text"], &s) == nil {
		return CleanBlock(s)
	}
	var b bytes.Buffer
	if json.Indent(&b, payload, "", "  ") != nil {
		return Clean(string(payload))
	}
	return CleanBlock(b.String())
}
