// Package strictjson is the only decoder of bytes that came from a network.
//
// It accepts exactly one JSON document in valid UTF-8 whose object names are unique at
// every depth. It refuses documents on whose meaning two programs may disagree, or that
// cost a reader too much work: duplicate names, lone surrogates, trailing data, deep
// nesting, very long numbers. Names are case-sensitive. Values are never changed: a
// caller receives slices of the bytes that arrived.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of one document. They are far above what messages use and low enough
// that a hostile document costs milliseconds.
const (
	MaxDepth    = 64      // objects and arrays inside one another
	MaxMembers  = 10_000  // members of one object
	MaxTokens   = 200_000 // names, values and closing brackets in the whole document
	MaxNumber   = 64      // characters of one number literal
	MaxExponent = 400     // decimal exponent of one number literal
)

// Error says why a document was refused and where.
type Error struct {
	Offset int64  // bytes from the start of the document
	Reason string // a sentence without the offset
}

func (e *Error) Error() string {
	return e.Reason + " (at byte " + strconv.FormatInt(e.Offset, 10) + ")"
}

// Member is one name and its value, with the bytes of the document.
type Member struct {
	Name  string // decoded
	Value []byte // verbatim, without surrounding white space; aliases the document
}

// Fold returns the form of a name for readers that ignore case. Such readers differ in
// how they fold. encoding/json takes the long s for an s and the Kelvin sign for a k;
// others take the dotless i for an i, or a ligature for its letters. A name that any of
// them takes for an ASCII name has the fold of that name. All comparisons of names that
// have a meaning for a gateway use it.
func Fold(name string) string {
	if IsASCII(name) {
		return strings.ToLower(name)
	}
	return strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, ligatures.Replace(name))
}

// ligatures are the characters whose case folds to several ASCII letters: Unicode's
// CaseFolding.txt, status F.
var ligatures = strings.NewReplacer("\u00df", "ss", "\u1e9e", "ss", "\ufb00", "ff", "\ufb01", "fi", "\ufb02", "fl",
	"\ufb03", "ffi", "\ufb04", "ffl", "\ufb05", "st", "\ufb06", "st")

// IsASCII reports whether a text has only characters of ASCII.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Object checks doc, which must be one JSON object, and returns its members in their
// order. The values alias doc.
func Object(doc []byte) ([]Member, error) {
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	return s.object(doc)
}

// Value checks that doc is one JSON value of any kind.
func Value(doc []byte) error {
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	s.reset(doc)
	if err := s.value(); err != nil {
		return err
	}
	return s.end()
}

// Decode checks doc as Object does and stores its members into the struct that
// v points to. Names match json tags with their case; unknown members are
// ignored; a member of the wrong type is an *Error.
func Decode(doc []byte, v any) error {
	if _, err := Object(doc); err != nil {
		return err
	}
	return decode(doc, v)
}

// DecodeValue checks doc as Value does and stores it into v.
func DecodeValue(doc []byte, v any) error {
	if err := Value(doc); err != nil {
		return err
	}
	return decode(doc, v)
}

func decode(doc []byte, v any) error {
	err := json.Unmarshal(doc, v)
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		reason := fmt.Sprintf("member %s has the wrong type: it is %s", pointer(semantic.JSONPointer),
			kindName(semantic.JSONKind))
		return &Error{Offset: semantic.ByteOffset, Reason: reason}
	}
	if err != nil {
		return syntax(err, 0)
	}
	return nil
}

func pointer(p jsontext.Pointer) string {
	if p == "" {
		return "(the document)"
	}
	return strconv.Quote(string(p)[1:])
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "another type"
}

var scanners = sync.Pool{New: func() any {
	return &scanner{dec: jsontext.NewDecoder(new(bytes.Buffer))}
}}

// scanner reads one document token by token and counts.
type scanner struct {
	dec    *jsontext.Decoder
	buf    bytes.Buffer
	tokens int
}

func (s *scanner) reset(doc []byte) {
	// The decoder reads a *bytes.Buffer in place and never writes to it.
	s.buf = *bytes.NewBuffer(doc)
	s.dec.Reset(&s.buf)
	s.tokens = 0
}

func (s *scanner) object(doc []byte) ([]Member, error) {
	s.reset(doc)
	if k := s.dec.PeekKind(); k != '{' {
		if err := s.value(); err != nil {
			return nil, err
		}
		return nil, &Error{Reason: "the document must be a JSON object, it is " + kindName(k)}
	}
	if _, err := s.dec.ReadToken(); err != nil {
		return nil, syntax(err, s.dec.InputOffset())
	}
	members := make([]Member, 0, 12)
	for s.dec.PeekKind() != '}' {
		name, err := s.dec.ReadToken()
		if err != nil {
			return nil, syntax(err, s.dec.InputOffset())
		}
		if len(members) == MaxMembers {
			return nil, s.refuse("an object has more than %d members", MaxMembers)
		}
		m := Member{Name: name.String()}
		after := s.dec.InputOffset()
		if err := s.value(); err != nil {
			return nil, err
		}
		m.Value = trim(doc[after:s.dec.InputOffset()])
		members = append(members, m)
	}
	if _, err := s.dec.ReadToken(); err != nil {
		return nil, syntax(err, s.dec.InputOffset())
	}
	return members, s.end()
}

// trim removes the colon and the white space before a value.
func trim(b []byte) []byte {
	for i, c := range b {
		switch c {
		case ' ', '\t', '\n', '\r', ':':
		default:
			return b[i:]
		}
	}
	return nil
}

// value reads one whole value, however deep.
func (s *scanner) value() error {
	base := s.dec.StackDepth()
	for {
		tok, err := s.dec.ReadToken()
		if err != nil {
			return syntax(err, s.dec.InputOffset())
		}
		switch tok.Kind() {
		case '{', '[':
			if s.dec.StackDepth() > MaxDepth {
				return s.refuse("values are nested more than %d deep", MaxDepth)
			}
		case '0':
			if err := s.number(tok); err != nil {
				return err
			}
		}
		if err := s.count(); err != nil {
			return err
		}
		if s.dec.StackDepth() == base {
			return nil
		}
	}
}

func (s *scanner) count() error {
	if s.tokens++; s.tokens > MaxTokens {
		return s.refuse("the document has more than %d names, values and brackets", MaxTokens)
	}
	if d := s.dec.StackDepth(); d > 0 {
		if kind, n := s.dec.StackIndex(d); kind == '{' && n > 2*MaxMembers {
			return s.refuse("an object has more than %d members", MaxMembers)
		}
	}
	return nil
}

// number bounds the cost of computing with a literal.
func (s *scanner) number(tok jsontext.Token) error {
	lit := tok.String()
	if len(lit) > MaxNumber {
		return s.refuse("a number has more than %d characters", MaxNumber)
	}
	for i := range len(lit) {
		if lit[i]|0x20 != 'e' {
			continue
		}
		if exp, err := strconv.Atoi(lit[i+1:]); err != nil || exp > MaxExponent || exp < -MaxExponent {
			return s.refuse("a number has an exponent beyond %d", MaxExponent)
		}
	}
	return nil
}

// end makes sure that only white space follows the value.
func (s *scanner) end() error {
	_, err := s.dec.ReadToken()
	if err == io.EOF {
		return nil
	}
	return &Error{Offset: s.dec.InputOffset(), Reason: "something follows the JSON document"}
}

func (s *scanner) refuse(format string, args ...any) error {
	return &Error{Offset: s.dec.InputOffset(), Reason: fmt.Sprintf(format, args...)}
}

// syntax turns an error of the token layer into an *Error. The text of the former is not
// used, because it changes between releases and repeats bytes of the document.
func syntax(err error, offset int64) error {
	reason := "the JSON is malformed"
	var se *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason = "the JSON ends in the middle of a value"
	case err == io.EOF:
		reason = "there is no JSON document"
	case errors.As(err, &se):
		offset = se.ByteOffset
		if errors.Is(se.Err, jsontext.ErrDuplicateName) {
			reason = "an object names the member " + strconv.Quote(se.JSONPointer.LastToken()) + " twice"
		}
	}
	return &Error{Offset: offset, Reason: reason}
}
