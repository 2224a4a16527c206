package strictjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Split returns the members of a document that Object has accepted before, as Object does.
// It only finds where they end, so that a stored document is not checked again each time
// it is read. For any other document it returns some members or an *Error, and never
// reads beyond the document.
func Split(doc []byte) ([]Member, error) {
	s := splitter{doc: doc}
	if s.next() != '{' {
		return nil, s.broken()
	}
	s.at++
	members := make([]Member, 0, 12)
	for c := s.next(); c != '}'; c = s.next() {
		if len(members) > 0 {
			if c != ',' {
				return nil, s.broken()
			}
			s.at++
		}
		m, err := s.member()
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

// splitter walks through a document.
type splitter struct {
	doc []byte
	at  int
}

func (s *splitter) broken() error {
	return &Error{Offset: int64(s.at), Reason: "the JSON is malformed"}
}

// next moves to the next byte that is not white space and returns it, 0 at the
// end.
func (s *splitter) next() byte {
	for ; s.at < len(s.doc); s.at++ {
		switch c := s.doc[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *splitter) member() (m Member, err error) {
	if s.next() != '"' {
		return m, s.broken()
	}
	start := s.at
	s.text()
	name := s.doc[start:s.at]
	if s.next() != ':' {
		return m, s.broken()
	}
	if bytes.IndexByte(name, '\\') < 0 {
		m.Name = string(name[1 : len(name)-1])
	} else if unquoted, err := jsontext.AppendUnquote(nil, name); err == nil {
		m.Name = string(unquoted)
	} else {
		return m, s.broken()
	}
	s.at++
	s.next()
	start = s.at
	s.value()
	if m.Value = s.doc[start:s.at]; len(m.Value) == 0 {
		return m, s.broken()
	}
	return m, nil
}

// text moves to the end of the string that begins here.
func (s *splitter) text() { s.at = AfterString(s.doc, s.at) }

// AfterString returns the end of the string that begins at at in a checked document. For
// any other document it is some later place, at most the document's end.
func AfterString(doc []byte, at int) int {
	n := bytes.IndexByte(doc[at+1:], '"')
	if n < 0 {
		return len(doc)
	}
	end := at + 1 + n
	first := bytes.IndexByte(doc[at:end], '\\')
	if first < 0 {
		return end + 1
	}
	for i := at + first; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(doc)
}

// value moves to the end of the value that begins here.
func (s *splitter) value() {
	for depth := 0; s.at < len(s.doc); {
		switch s.doc[s.at] {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.at++
			continue
		case '}', ']':
			if depth == 0 {
				return // this bracket ends the object or array around the value
			}
			depth--
			s.at++
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return
			}
			s.at++
			continue
		default:
			s.at++
			continue
		}
		if depth == 0 {
			return
		}
	}
}
