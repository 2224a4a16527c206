// Package canonical gives one form to JSON values that mean the same.
//
// Form is the form of RFC 8785, which signatures cover. It refuses a document with
// numbers that it would have to change. A second implementation checks it in the tests.
// Fingerprint identifies the content of a message for deduplication; it keeps number
// literals as they were written.
package canonical

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/go-json-experiment/json/jsontext"
)

// Form returns the RFC 8785 form of doc. It is an error if doc is not strict JSON, or if a
// number's literal and its canonical form differ as decimals: 29.99 passes,
// 9007199254740993 does not.
func Form(doc []byte) ([]byte, error) {
	if err := strictjson.Value(doc); err != nil {
		return nil, err
	}
	return form(bytes.Clone(doc))
}

// Members returns the RFC 8785 form of the object that has these members of a checked
// document, without the member that except names. The error is about a number, as in Form.
func Members(members []strictjson.Member, except string) ([]byte, error) {
	object, err := join(members, func(name string) bool { return name == except })
	if err != nil {
		return nil, err
	}
	return form(object)
}

// form returns the canonical form of a checked document, whose bytes it may use. Numbers are
// written first, from their own digits, so that they are read only once.
func form(doc []byte) ([]byte, error) {
	numbered, err := rewriteNumbers(doc)
	if err != nil {
		return nil, err
	}
	return order(numbered), nil
}

// rewriteNumbers returns a checked document in which every number has its canonical form.
// It returns doc itself if that is so already.
func rewriteNumbers(doc []byte) ([]byte, error) {
	var out []byte // nil while nothing has changed
	copied := 0    // bytes of doc that are in out
	var form [32]byte
	err := new(Numbers).each(doc, func(start, end int, d decimal) {
		number := d.append(form[:0])
		if bytes.Equal(number, doc[start:end]) {
			return
		}
		if out == nil {
			out = make([]byte, 0, len(doc)+64)
		}
		out = append(append(out, doc[copied:start]...), number...)
		copied = end
	})
	if err != nil || out == nil {
		return doc, err
	}
	return append(out, doc[copied:]...), nil
}

// ExactNumbers refuses a checked document with a number that binary64 cannot represent
// exactly: one whose literal and canonical form differ as decimals. The work is linear in
// the bytes of doc.
func ExactNumbers(doc []byte) error {
	return new(Numbers).Exact(doc)
}

// Exact is ExactNumbers for one part of the document.
func (n *Numbers) Exact(part []byte) error { return n.each(part, func(int, int, decimal) {}) }

// each calls use for each number of a checked document, with its place. It ends with an
// error at the first number that is not exact.
func (n *Numbers) each(doc []byte, use func(start, end int, d decimal)) error {
	var joined [64]byte // longer literals are rare
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case c == '"':
			i = strictjson.AfterString(doc, i) - 1
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(doc) && isNumberByte(doc[end]) {
				end++
			}
			d, ok := take(doc[i:end], joined[:0])
			if ok {
				var err error
				if ok, err = n.exact(d); err != nil {
					return err
				}
			}
			if !ok {
				return inexact(doc[i:end])
			}
			use(i, end, d)
			i = end - 1
		}
	}
	return nil
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c|0x20 == 'e' || c == '+' || c == '-'
}

// Exact reports whether binary64 keeps the decimal literal: whether the shortest decimal of
// the nearest binary64 is the same decimal.
func Exact(literal string) bool {
	d, ok := take([]byte(literal), nil)
	if !ok {
		return false
	}
	ok, err := new(Numbers).exact(d)
	return ok && err == nil
}

// outside are the members that do not belong to a message's content: its recipients, its
// names, its time and its signature.
var outside = map[string]bool{
	"recipients":      true,
	"message_id":      true,
	"idempotency_key": true,
	"timestamp":       true,
	"signature":       true,
}

// Fingerprint returns SHA-256 over the canonical form of a message's members
// without recipients, message_id, idempotency_key, timestamp and signature, and without
// its headers answer-by and expires, with number literals verbatim. Two messages have the
// same fingerprint if and only if one may be a retry of the other: a sender that says "in
// two hours" says it again in the retry.
func Fingerprint(members []strictjson.Member) ([sha256.Size]byte, error) {
	for i := range members {
		if members[i].Name != "headers" {
			continue
		}
		headers, err := timeless(members[i].Value)
		if err != nil {
			return [sha256.Size]byte{}, err
		}
		members = slices.Clone(members)
		members[i].Value = headers
	}
	object, err := join(members, func(name string) bool { return outside[name] })
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(order(object)), nil
}

// timeless returns the value of headers without those that give a time.
func timeless(value []byte) ([]byte, error) {
	headers, err := strictjson.Object(value)
	if err != nil {
		return value, nil // of another kind, and content like any other
	}
	isTime := func(name string) bool {
		folded := strictjson.Fold(name)
		return folded == "answer-by" || folded == "expires"
	}
	if !slices.ContainsFunc(headers, func(m strictjson.Member) bool { return isTime(m.Name) }) {
		return value, nil
	}
	return join(headers, isTime)
}

// join writes an object of the members that are not left out.
func join(members []strictjson.Member, out func(name string) bool) ([]byte, error) {
	size := 2
	for _, m := range members {
		size += len(m.Name) + len(m.Value) + 4
	}
	object := make([]byte, 0, size)
	object = append(object, '{')
	for _, m := range members {
		if out(m.Name) {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		var err error
		if object, err = jsontext.AppendQuote(object, m.Name); err != nil {
			return nil, err
		}
		object = append(object, ':')
		object = append(object, m.Value...)
	}
	return append(object, '}'), nil
}
