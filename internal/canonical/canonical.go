// Package canonical gives one form to JSON values that mean the same.
//
// Form is RFC 8785, what signatures cover; it refuses a document whose numbers
// it could only write by changing them. A second implementation checks it in the
// tests. Fingerprint identifies the content of
// a message for deduplication; it keeps number literals as they were written.
package canonical

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/go-json-experiment/json/jsontext"
)

// Form returns the RFC 8785 form of doc. It is an error when doc is not strict
// JSON, or when a number's literal and its canonical form differ as decimals:
// 29.99 passes, 9007199254740993 does not.
func Form(doc []byte) ([]byte, error) {
	if err := strictjson.Value(doc); err != nil {
		return nil, err
	}
	return form(bytes.Clone(doc))
}

// Members returns the RFC 8785 form of the object that has these members of a
// checked document, without the one named except. The error is about a number,
// as with Form.
func Members(members []strictjson.Member, except string) ([]byte, error) {
	object, err := join(members, func(name string) bool { return name == except })
	if err != nil {
		return nil, err
	}
	return form(object)
}

// form brings a checked document to its canonical form, in place.
func form(doc jsontext.Value) ([]byte, error) {
	if err := ExactNumbers(doc); err != nil {
		return nil, err
	}
	if err := doc.Canonicalize(); err != nil {
		return nil, err
	}
	return doc, nil
}

// ExactNumbers refuses a checked document with a number that a binary64 cannot
// give back.
func ExactNumbers(doc []byte) error {
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case c == '"':
			i = strictjson.AfterString(doc, i) - 1
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(doc) && isNumberByte(doc[end]) {
				end++
			}
			if !Exact(string(doc[i:end])) {
				return fmt.Errorf("the number %s cannot be written in canonical form without changing it", doc[i:end])
			}
			i = end - 1
		}
	}
	return nil
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c|0x20 == 'e' || c == '+' || c == '-'
}

// Exact reports whether the decimal literal survives a trip through binary64:
// whether the shortest decimal of the nearest binary64 is the same decimal.
func Exact(literal string) bool {
	if isShort(literal) {
		return true
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return false
	}
	want, ok := new(big.Rat).SetString(literal)
	if !ok {
		return false
	}
	got, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && got.Cmp(want) == 0
}

// isShort reports whether the literal is a plain decimal of at most 15 digits.
// Every such decimal survives: binary64 tells all of them apart.
func isShort(literal string) bool {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(literal, "-"), ".")
	digits := len(whole) + len(fraction)
	return whole != "" && digits <= 15 && strings.Trim(whole, "0123456789") == "" && strings.Trim(fraction, "0123456789") == ""
}

// outside are the members that do not belong to a message's content: who it
// goes to, what names it, when it was written and who vouches for it.
var outside = map[string]bool{
	"recipients":      true,
	"message_id":      true,
	"idempotency_key": true,
	"timestamp":       true,
	"signature":       true,
}

// Fingerprint returns SHA-256 over the canonical form of a message's members
// without recipients, message_id, idempotency_key, timestamp and signature,
// with number literals verbatim. Two messages have the same fingerprint if and
// only if a retry of the one may look like the other.
func Fingerprint(members []strictjson.Member) ([sha256.Size]byte, error) {
	object, err := join(members, func(name string) bool { return outside[name] })
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	err = object.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(object), nil
}

// join writes an object of the members that are not left out.
func join(members []strictjson.Member, out func(name string) bool) (jsontext.Value, error) {
	size := 2
	for _, m := range members {
		size += len(m.Name) + len(m.Value) + 4
	}
	object := make(jsontext.Value, 0, size)
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
