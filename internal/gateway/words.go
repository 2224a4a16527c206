package gateway

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxWord is the most bytes of a word that count: two longer words that begin alike are the
// same word.
const MaxWord = 64

// Words goes through the words of a text, in the form in which a search compares them: in
// small letters, without accents, each with MaxWord bytes at the most. A word is letters and
// digits. A character of a script that is written without spaces is a word of its own.
func Words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !plain(text) {
			text = norm.NFKD.String(text)
		}
		w := wordMaker{yield: yield, more: true}
		for _, r := range text {
			if w.take(r); !w.more {
				return
			}
		}
		w.end()
	}
}

// wordMaker collects the letters of a word.
type wordMaker struct {
	word  []byte
	yield func(string) bool
	more  bool
}

// take takes the next character of a text in the form NFKD, in which each accent is a
// character of its own.
func (w *wordMaker) take(r rune) {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9', 'A' <= r && r <= 'Z':
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		if len(w.word)+utf8.UTFMax <= MaxWord {
			w.word = append(w.word, byte(r))
		}
	case r < utf8.RuneSelf:
		w.end()
	case accents[0] <= r && r <= accents[1]:
	case unicode.In(r, unspaced...):
		w.end()
		w.word = utf8.AppendRune(w.word, r)
		w.end()
	case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
		if len(w.word)+utf8.UTFMax <= MaxWord {
			w.word = utf8.AppendRune(w.word, folded(r))
		}
	default:
		w.end()
	}
}

// end ends the word.
func (w *wordMaker) end() {
	if len(w.word) > 0 && w.more {
		w.more = w.yield(string(w.word))
	}
	w.word = w.word[:0]
}

// accents are the first and the last of the marks that letters of Latin, Greek and Cyrillic
// carry.
var accents = [2]rune{0x300, 0x36f}

// unspaced are scripts that are written without spaces between words.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao,
	unicode.Khmer, unicode.Myanmar}

// folded returns a letter in the form in which its large and small forms are equal.
func folded(r rune) rune {
	if r = unicode.ToLower(r); r == 'ς' { // sigma at the end of a word
		return 'σ'
	}
	return r
}

// plain reports whether a text is in the form NFKD because it is ASCII.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Bounds of a query.
const (
	MaxQuery      = 256 // bytes
	MaxQueryWords = 16

	// MinPrefix is the fewest letters before a *, and MaxPrefixes the most beginnings of
	// words. One of few letters has very many words, and the index would read them all.
	MinPrefix   = 2
	MaxPrefixes = 2
)

// Query is what a message has to contain: each of the terms.
type Query []Term

// Term is words that follow one another. With Prefix the last of them is the beginning of a
// word.
type Term struct {
	Words  []string
	Prefix bool
}

// Errors of a query.
var (
	errNoWord   = errors.New("a search needs a word: at least one letter or digit")
	errTooLong  = fmt.Errorf("a search has at most %d bytes", MaxQuery)
	errTooMany  = fmt.Errorf("a search has at most %d words", MaxQueryWords)
	errShort    = fmt.Errorf("a * needs at least %d letters before it", MinPrefix)
	errPrefixes = fmt.Errorf("a search has at most %d words with a *", MaxPrefixes)
	errNotPlain = errors.New("a search is UTF-8 without control characters")
)

// ParseQuery reads the text of a search. All its words have to be in a message. Words in
// quotation marks have to follow one another. A * after a word makes it the beginning of a
// word, in which MinPrefix letters are given, for MaxPrefixes words at most. No other
// character has a meaning: what is neither letter nor digit separates words.
func ParseQuery(text string) (Query, error) {
	switch {
	case len(text) > MaxQuery:
		return nil, errTooLong
	case !Storable(text):
		return nil, errNotPlain
	}
	var q Query
	words, prefixes := 0, 0
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var term Term
		term, text = nextTerm(text)
		if words += len(term.Words); words > MaxQueryWords {
			return nil, errTooMany
		}
		if len(term.Words) == 0 {
			continue
		}
		if term.Prefix {
			if utf8.RuneCountInString(term.Words[len(term.Words)-1]) < MinPrefix {
				return nil, errShort
			}
			if prefixes++; prefixes > MaxPrefixes {
				return nil, errPrefixes
			}
		}
		q = append(q, term)
	}
	if len(q) == 0 {
		return nil, errNoWord
	}
	return q, nil
}

// nextTerm takes the first term off a text that begins with no space.
func nextTerm(text string) (t Term, rest string) {
	part := ""
	if quoted, is := strings.CutPrefix(text, `"`); is {
		part, rest, _ = strings.Cut(quoted, `"`)
		rest, t.Prefix = strings.CutPrefix(rest, "*")
	} else {
		end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' })
		if end < 0 {
			end = len(text)
		}
		part, rest = text[:end], text[end:]
		t.Prefix = strings.HasSuffix(part, "*")
	}
	for word := range Words(part) {
		t.Words = append(t.Words, word)
	}
	if n := len(t.Words); n > 0 && t.Prefix {
		// A word of a script without spaces is one character, so no other word begins with it.
		first, _ := utf8.DecodeRuneInString(t.Words[n-1])
		t.Prefix = !unicode.In(first, unspaced...)
	}
	return t, rest
}

// Has reports whether a word is one of the query's.
func (q Query) Has(word string) bool {
	for _, t := range q {
		for i, w := range t.Words {
			if w == word || t.Prefix && i == len(t.Words)-1 && strings.HasPrefix(word, w) {
				return true
			}
		}
	}
	return false
}
