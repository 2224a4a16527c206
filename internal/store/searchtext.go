package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds of the words of one message.
const (
	maxSearchText  = 64 << 10 // bytes of its texts, from the beginning
	maxSearchWords = 16_000   // PostgreSQL numbers the words of a text up to 16,383
	// maxSearchSame is how often the same word counts in a phrase. PostgreSQL knows at most
	// 256 places of a word.
	maxSearchSame = 255
)

// SearchDocument is a message as both indexes have it.
type SearchDocument struct {
	Message int64
	Owners  []int64 // the agents here who sent or received it
	Schema  string
	// Words are in their order. NoWord is between two texts, which form no phrase together,
	// and in place of a word that is too frequent.
	Words []string
}

// NoWord is a place without a word. No query has it.
const NoWord = ""

// NewSearchDocument makes the document of a message from its body. A body that cannot be
// read has no words.
func NewSearchDocument(message int64, owners []int64, body []byte) SearchDocument {
	d := SearchDocument{Message: message, Owners: owners}
	m, refused := amtp.ParseMessage(body)
	if refused != nil {
		return d
	}
	d.Schema = m.Schema
	d.Words = SearchText(m)
	return d
}

// SearchText returns the words by which a message is found: those of its subject, its
// schema, the addresses of its sender and recipients, the names of its attachments, and all
// strings and numbers in its payload. An encrypted payload has none. AMTP §9.
func SearchText(m *amtp.Message) []string {
	var c wordCollector
	for text := range messageTexts(m) {
		if !c.add(text) {
			break
		}
	}
	return c.words
}

// messageTexts goes through the texts of a message, those that every reader sees first.
func messageTexts(m *amtp.Message) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		heads := []string{m.Subject, m.Schema, m.Sender.String()}
		for _, a := range m.Recipients {
			heads = append(heads, a.String())
		}
		for i := range m.Attachments {
			heads = append(heads, m.Attachments[i].Filename)
		}
		for _, text := range heads {
			if !yield(text) {
				return
			}
		}
		payloadTexts(m.Payload, yield)
	}
}

// payloadTexts goes through the strings and numbers in a payload, without the names of
// members. It ends after maxSearchText values.
func payloadTexts(payload []byte, yield func(string) bool) {
	if len(payload) == 0 || isEncrypted(payload) {
		return
	}
	values := json.NewDecoder(bytes.NewReader(payload))
	values.UseNumber()
	var nest []nesting
	for range maxSearchText {
		token, err := values.Token()
		if err != nil {
			return
		}
		text, is := "", false
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				nest = append(nest, nesting{object: v == '{', name: true})
				continue
			}
			nest = nest[:len(nest)-1]
		case string:
			text, is = v, true
		case json.Number:
			text, is = v.String(), true
		}
		if len(nest) > 0 {
			top := &nest[len(nest)-1]
			isName := top.object && top.name
			if top.name = top.object && !top.name; isName {
				continue
			}
		}
		if is && !yield(text) {
			return
		}
	}
}

// nesting is an object or an array that is being read.
type nesting struct {
	object bool
	name   bool // the next token of the object is the name of a member
}

// isEncrypted reports whether only the recipients can read the payload. AMTP §9.
func isEncrypted(payload []byte) bool {
	if payload[0] != '{' || !bytes.Contains(payload, []byte(`"encrypted"`)) {
		return false
	}
	var p struct {
		Encrypted any `json:"encrypted"`
	}
	return json.Unmarshal(payload, &p) == nil && p.Encrypted == true
}

// wordCollector collects the words of texts up to the bounds.
type wordCollector struct {
	words []string
	same  map[string]int
	bytes int
}

// add adds a text, and reports whether there is room for another.
func (c *wordCollector) add(text string) (more bool) {
	if c.same == nil {
		c.same = make(map[string]int)
	}
	room := maxSearchText - c.bytes
	if len(text) > room {
		text = strings.ToValidUTF8(text[:room], "")
	}
	c.bytes += len(text) + 1
	for word := range gateway.Words(text) {
		if len(c.words) >= maxSearchWords {
			return false
		}
		if c.same[word]++; c.same[word] > maxSearchSame {
			word = NoWord
		}
		c.words = append(c.words, word)
	}
	if n := len(c.words); n > 0 && c.words[n-1] != NoWord {
		c.words = append(c.words, NoWord)
	}
	return c.bytes < maxSearchText
}

// OwnerMark begins the word by which the messages of an agent are found, and SchemaMark the
// word of a schema. No word of a text contains them.
const (
	OwnerMark  = "@"
	SchemaMark = "%"
)

// SchemaWord returns the word of a schema, or of the beginning of one.
func SchemaWord(schema string) string { return SchemaMark + hex.EncodeToString([]byte(schema)) }

// SchemaTerm returns the term of a schema or of a pattern of schemas.
func SchemaTerm(pattern string) gateway.Term {
	prefix, wild := strings.CutSuffix(pattern, "*")
	return gateway.Term{Words: []string{SchemaWord(prefix)}, Prefix: wild}
}

// NewFound returns a message that a search found. It takes the body out of the record.
func NewFound(r gateway.Record, q gateway.Query) gateway.Found {
	f := gateway.Found{Record: r, Size: len(r.Body)}
	if m, refused := amtp.ParseMessage(r.Body); refused == nil {
		f.Schema, f.Snippet = m.Schema, Snippet(m, q)
	}
	f.Body = nil
	return f
}

// Bounds of a snippet, in bytes.
const (
	snippetBefore = 40
	maxSnippet    = 160
)

// Snippet returns the beginning of the payload of a message, or the part of its texts where
// the first word of the query is. It may contain any character that the sender wrote.
func Snippet(m *amtp.Message, q gateway.Query) string {
	left := maxSearchText
	snippet := ""
	payloadTexts(m.Payload, func(text string) bool {
		if len(text) > left {
			text = strings.ToValidUTF8(text[:left], "")
		}
		left -= len(text) + 1
		at, found := place(text, q)
		if found || snippet == "" {
			snippet = cut(text, at)
		}
		return !found && left > 0
	})
	return snippet
}

// place returns where the first word of the query is in a text.
func place(text string, q gateway.Query) (at int, found bool) {
	for at < len(text) {
		part := text[at:]
		end := strings.IndexFunc(part, unicode.IsSpace)
		if end < 0 {
			end = len(part)
		}
		for word := range gateway.Words(part[:end]) {
			if q.Has(word) {
				return at, true
			}
		}
		_, size := utf8.DecodeRuneInString(part[end:])
		at += end + size
	}
	return 0, false
}

// cut returns the part of a text around a place.
func cut(text string, at int) string {
	from := max(0, at-snippetBefore)
	for from > 0 && from < at && !utf8.RuneStart(text[from]) {
		from++
	}
	if from > 0 {
		if space := strings.IndexByte(text[from:at], ' '); space >= 0 {
			from += space + 1
		}
	}
	to := min(len(text), from+maxSnippet)
	for to < len(text) && to > from && !utf8.RuneStart(text[to]) {
		to--
	}
	part := text[from:to]
	if from > 0 {
		part = "…" + part
	}
	if to < len(text) {
		part += "…"
	}
	return part
}
