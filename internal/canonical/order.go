package canonical

import (
	"bytes"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// order returns a checked document without white space, with its strings escaped and the
// members of its objects in the order of RFC 8785 §3.2.2.2 and §3.2.3. Numbers stay as
// they are written. Every byte is read twice and written once, at any depth; only names
// are compared more often, as sorting needs it.
func order(doc []byte) []byte {
	w := orderer{doc: doc}
	w.look()
	if w.plain && len(w.sorted) == 0 {
		return doc
	}
	w.out = make([]byte, 0, len(doc))
	w.write(0, len(doc))
	return w.out
}

// orderer orders one document.
type orderer struct {
	doc    []byte
	plain  bool             // there is no white space, and no escape
	sorted map[int][]member // the members of each object whose members move, by its beginning
	ends   map[int]int      // the ends of those objects, by their beginnings
	out    []byte
}

// member is a member of an object: where its name and its value are in the document.
type member struct {
	key                  []byte // the name as it is compared, see key
	name, colon, at, end int
}

// look finds the members of every object, and sorts them if they are not in order.
func (w *orderer) look() {
	var open []int       // the beginnings of objects and arrays that have not ended
	var bases []int      // for each of them, how many members were pending before it
	var pending []member // the members of objects that have not ended
	w.plain = true
	last := byte(0) // the token before, if it is one of {[,:
	for i := 0; i < len(w.doc); i++ {
		switch c := w.doc[i]; c {
		case '"':
			end, rewrite := text(w.doc, i)
			w.plain = w.plain && !rewrite
			if in := len(open) - 1; in >= 0 && w.doc[open[in]] == '{' && last != ':' {
				pending = append(pending, member{key: w.key(w.doc[i+1 : end-1]), name: i, colon: end})
			}
			i, last = end-1, c
		case '{', '[':
			open, bases, last = append(open, i), append(bases, len(pending)), c
		case '}', ']':
			begin, base := open[len(open)-1], bases[len(bases)-1]
			open, bases = open[:len(open)-1], bases[:len(bases)-1]
			if c == '}' {
				closeMember(pending[base:], i)
				w.sort(begin, i+1, pending[base:])
				pending = pending[:base]
			}
			last = c
		case ',':
			if in := len(open) - 1; w.doc[open[in]] == '{' {
				closeMember(pending, i)
			}
			last = c
		case ':':
			pending[len(pending)-1].at, last = i+1, c
		case ' ', '\t', '\n', '\r':
			i, w.plain = afterSpace(w.doc, i)-1, false
		default:
			last = c
		}
	}
}

// afterSpace returns the end of the white space that begins at at.
func afterSpace(doc []byte, at int) int {
	for at < len(doc) && (doc[at] == ' ' || doc[at] == '\n' || doc[at] == '\t' || doc[at] == '\r') {
		at++
	}
	return at
}

// text returns the end of the string that begins at at, and whether it has to be
// rewritten because it has an escape sequence that is not canonical.
func text(doc []byte, at int) (end int, rewrite bool) {
	end = at + 1 + bytes.IndexByte(doc[at+1:], '"')
	first := bytes.IndexByte(doc[at:end], '\\')
	if first < 0 {
		return end + 1, false
	}
	for i := at + first; ; {
		switch doc[i] {
		case '"':
			return i + 1, rewrite
		case '\\':
			rewrite = rewrite || doc[i+1] == 'u' || doc[i+1] == '/'
			i += 2
		default:
			i++
		}
	}
}

// closeMember notes where the value of the last member ends.
func closeMember(pending []member, end int) {
	if len(pending) > 0 {
		pending[len(pending)-1].end = end
	}
}

// sort records the sorted members of an object, unless they are in order already.
func (w *orderer) sort(begin, end int, members []member) {
	compare := func(a, b member) int { return bytes.Compare(a.key, b.key) }
	if slices.IsSortedFunc(members, compare) {
		return
	}
	if w.sorted == nil {
		w.sorted, w.ends = make(map[int][]member), make(map[int]int)
	}
	members = slices.Clone(members)
	slices.SortFunc(members, compare)
	w.sorted[begin], w.ends[begin] = members, end
}

// key returns the name between its quotes, in a form whose bytes compare like UTF-16 code
// units. In UTF-8 only one range has another order: the characters from U+E000 to U+FFFF come
// before those beyond U+FFFF. In UTF-16 they come after the surrogates of those.
func (w *orderer) key(literal []byte) []byte {
	escaped := bytes.IndexByte(literal, '\\') >= 0
	if !escaped && bytes.IndexByte(literal, 0xEE) < 0 && bytes.IndexByte(literal, 0xEF) < 0 {
		return literal
	}
	var key []byte
	if escaped {
		key = unescape(make([]byte, 0, len(literal)), literal)
	} else {
		key = bytes.Clone(literal)
	}
	for i, b := range key {
		if b == 0xEE || b == 0xEF { // no byte of UTF-8 is one of 0xF5 and 0xF6
			key[i] = b - 0xEE + 0xF5
		}
	}
	return key
}

// write writes the part of the document between two places.
func (w *orderer) write(from, to int) {
	copied := from // up to which everything is written
	flush := func(at int) { w.out = append(w.out, w.doc[copied:at]...) }
	for i := from; i < to; i++ {
		switch w.doc[i] {
		case '"':
			end, rewrite := text(w.doc, i)
			if rewrite {
				flush(i)
				w.out = appendText(w.out, w.doc[i:end])
				copied = end
			}
			i = end - 1
		case ' ', '\t', '\n', '\r':
			flush(i)
			copied = afterSpace(w.doc, i)
			i = copied - 1
		case '{':
			members, moves := w.sorted[i]
			if !moves {
				continue
			}
			flush(i + 1)
			for n, m := range members {
				if n > 0 {
					w.out = append(w.out, ',')
				}
				w.write(m.name, m.colon)
				w.out = append(w.out, ':')
				w.write(m.at, m.end)
			}
			copied = w.ends[i] - 1
			i = copied - 1 // at the bracket that ends it
		}
	}
	flush(to)
}

// unescape writes the characters between the quotes of a checked string.
func unescape(out, literal []byte) []byte {
	for copied, i := 0, 0; ; {
		n := bytes.IndexByte(literal[i:], '\\')
		if n < 0 {
			return append(out, literal[copied:]...)
		}
		r, size := escapeAt(literal[i+n:])
		out = utf8.AppendRune(append(out, literal[copied:i+n]...), r)
		i += n + size
		copied = i
	}
}

// appendText writes a string with canonical escape sequences. Those of two characters are
// canonical, except that of a slash.
func appendText(out, literal []byte) []byte {
	copied := 0
	for i := 0; i < len(literal); {
		switch {
		case literal[i] != '\\':
			i++
		case literal[i+1] == 'u' || literal[i+1] == '/':
			r, size := escapeAt(literal[i:])
			out = appendEscaped(append(out, literal[copied:i]...), r)
			i += size
			copied = i
		default:
			i += 2
		}
	}
	return append(out, literal[copied:]...)
}

// escapeAt reads the escape sequence, or the two of a surrogate pair, at the beginning.
func escapeAt(s []byte) (r rune, size int) {
	switch s[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hex4(s[2:])
		if utf16.IsSurrogate(r) {
			return utf16.DecodeRune(r, hex4(s[8:])), 12
		}
		return r, 6
	}
	return rune(s[1]), 2
}

func hex4(s []byte) (r rune) {
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			r = r<<4 | rune(c-'0')
		default:
			r = r<<4 | rune(c|0x20-'a'+10)
		}
	}
	return r
}

// appendEscaped writes a character in its form in a string. RFC 8785 §3.2.2.2
func appendEscaped(out []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	switch {
	case r == '"' || r == '\\':
		return append(out, '\\', byte(r))
	case r >= ' ':
		return utf8.AppendRune(out, r)
	}
	if short := "........btn.fr.................."[r]; short != '.' {
		return append(out, '\\', short)
	}
	return append(out, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
}
