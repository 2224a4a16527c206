// Package hostile makes inputs that cost a reader as much as possible, and checks that the
// cost of reading grows linearly with the input. Unproven input may cost a gateway no
// more: a reader that scans the whole input for each thing that it finds takes hours
// where another one takes a second.
package hostile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Shape is a family of inputs, one for each size in bytes.
type Shape struct {
	Name string
	Make func(n int) []byte
}

// pieces are the pieces that texts repeat: separators, brackets, escapes, and the
// characters for which parsers of addresses, domains, tags, URLs, base64, times and
// numbers look.
var pieces = []string{
	"a", "A", "0", "9", ".", "-", "_", "+", "@", ";", "=", ",", " ", "\t", "\n", "\"", "'", "\\", "/", ":", "%", "[",
	"(", "{", "<", "&", "?", "#", "~", "*",
	"é", "ſ", "\u212a", "\ufb33", "😀", "\x00", "\xff", "a.", ".a", "a@", "a@b.", "xn--a.", "a=b;", "a=;", "=a;", "a=b,",
	"p=A;", "v=amtp1;", "v=amtpkey1;",
	"%41", "%zz", "\\\"", "\\u0041", "AAAA", "A=", "a:b", "https://a", "https://a,", "a/../", "1.", "1e", "-1", "2026-",
	"00:", "i1", "key_", "Bearer ", "W/\"a\",",
	"a b", "a, ", "\r\n ", "v=amtp1;gateway=https://a.example;auth=sig;", "a&b=", "limit=1&", ";;", "==",
	"\"\"", "[]", "{}",
}

// Texts returns shapes that repeat one piece after each of the beginnings, by which a reader
// recognises its own form.
func Texts(beginnings ...string) []Shape {
	var list []Shape
	for _, begin := range append([]string{""}, beginnings...) {
		for _, piece := range pieces {
			list = append(list, Shape{fmt.Sprintf("%q and then %q", begin, piece), func(n int) []byte {
				return []byte(begin + strings.Repeat(piece, max(n-len(begin), 0)/len(piece)))
			}})
		}
	}
	return list
}

// many returns n bytes of items, one made for each number, separated by commas.
func many(n int, open, end string, item func(i int) string) string {
	var b strings.Builder
	b.WriteString(open)
	for i := 0; b.Len() < n; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item(i))
	}
	b.WriteString(end)
	return b.String()
}

func list(item string) func(n int) string {
	return func(n int) string { return many(n, "[", "]", func(int) string { return item }) }
}

func object(member func(i int) string) func(n int) string {
	return func(n int) string { return many(n, "{", "}", member) }
}

// nested returns values inside one another, as deep as strictjson allows. Every object has
// its members in the wrong order, and the largest is the innermost.
func nested(n int) string {
	const deep = 55
	return strings.Repeat(`{"b":1,"a":`, deep) + `"` + strings.Repeat("x", n) + `"` + strings.Repeat("}", deep)
}

// backwards returns numbers that decrease.
func backwards(i int) int { return 99_999_999 - i }

// Values returns shapes of JSON values.
func Values() []Shape {
	letters := strings.Repeat("n", 1000)
	var shapes []Shape
	for name, make := range map[string]func(n int) string{
		"ones": list("1"), "tiny numbers": list("5e-324"), "numbers of 17 digits": list("0.30000000000000004"),
		"numbers half way": list("9007199254740993"),
		"long numbers":     list("0." + strings.Repeat("0", 50) + "12345"), "large exponents": list("1.5e300"),
		"zeros":       list("0.0e-399"),
		"empty lists": list("[]"), "empty objects": list("{}"), "empty texts": list(`""`),
		"texts": list(`"a@b.example"`), "true": list("true"),
		"nesting": list(strings.Repeat("[", 60) + strings.Repeat("]", 60)), "nested objects": nested,
		"escapes":     func(n int) string { return `"` + strings.Repeat(`\u0041`, n/6) + `"` },
		"pairs":       func(n int) string { return `"` + strings.Repeat(`\ud83d\ude00`, n/12) + `"` },
		"quotes":      func(n int) string { return `"` + strings.Repeat(`\"`, n/2) + `"` },
		"backslashes": func(n int) string { return `"` + strings.Repeat(`\\`, n/2) + `"` },
		"text":        func(n int) string { return `"` + strings.Repeat("a", n) + `"` },
		"foreign":     func(n int) string { return `"` + strings.Repeat("é", n/2) + `"` },
		"space":       func(n int) string { return "[" + strings.Repeat(" ", n) + "]" },
		"names":       object(func(i int) string { return fmt.Sprintf(`"%08d":1`, i) }),
		"backwards":   object(func(i int) string { return fmt.Sprintf(`"%08d":1`, backwards(i)) }),
		"long names": object(func(i int) string {
			return fmt.Sprintf(`"%s%08d":1`, letters, backwards(i))
		}),
		"long names that are escaped": object(func(i int) string {
			return fmt.Sprintf(`"\u006e%s%08d":1`, letters, backwards(i))
		}),
		"names beyond": object(func(i int) string {
			return fmt.Sprintf(`"%s%08d":1`, strings.Repeat("\ufb33😀", 8), backwards(i))
		}),
		"escaped names": object(func(i int) string { return fmt.Sprintf(`"\u00e9%08d":"\u00e9"`, backwards(i)) }),
		"objects":       list(`{"b":1,"a":2}`),
		"cut":           func(n int) string { return many(n, "[", "", func(int) string { return `{"a":[` }) },
		"one name twice": func(n int) string {
			return many(n, "{", `,"00000000":1}`, func(i int) string { return fmt.Sprintf(`"%08d":1`, i) })
		},
	} {
		shapes = append(shapes, Shape{name, func(n int) []byte { return []byte(make(n)) }})
	}
	return shapes
}

// Within returns the shapes inside a frame: for example as one member of a document.
func Within(shapes []Shape, before, behind string) []Shape {
	out := make([]Shape, len(shapes))
	for i, s := range shapes {
		out[i] = Shape{s.Name + " in " + before, func(n int) []byte {
			return bytes.Join([][]byte{[]byte(before), s.Make(max(n-len(before)-len(behind), 0)), []byte(behind)}, nil)
		}}
	}
	return out
}

// Bounds of Linear. An input that is four times as long may cost a little more than four
// times as much: sorting does, and so does an input that no longer fits the caches. A
// reader that scans the whole input for each byte costs sixteen times as much.
const (
	times     = 4
	mostRatio = 7.
	// trifle is a cost that is too low for work on every pair of bytes of the sizes that
	// are used here.
	trifle = 20 * time.Microsecond
	looks  = 6 // measurements by the wall clock, of which the lowest counts
	counts = 5 // measurements by processor time
	// counted is how much processor time one count takes at least: some systems report it
	// in steps of milliseconds.
	counted = 60 * time.Millisecond
)

// Linear checks that reading four times n bytes of each shape costs at most mostRatio
// times as much as reading n. It first measures by the wall clock, whose lowest measurement
// is right on an idle machine. If that is too high, it measures processor time, several
// times.
func Linear(t *testing.T, shapes []Shape, n int, read func(input []byte)) {
	t.Helper()
	release := ownThread()
	defer release()
	n /= scale
	for _, s := range shapes {
		small, large := s.Make(n), s.Make(times*n)
		if ratio := growth(small, large, read); ratio > mostRatio {
			t.Errorf("%s: %d bytes cost %.1f times as much as %d; want at most %.1f", s.Name, len(large), ratio,
				len(small), mostRatio)
		}
	}
}

// growth returns how many times as much the large input costs, 0 if the cost is a trifle.
func growth(small, large []byte, read func([]byte)) (ratio float64) {
	least := [2]time.Duration{time.Hour, time.Hour}
	for range looks {
		if least[1] = min(least[1], look(large, read)); least[1] < trifle {
			return 0
		}
		least[0] = min(least[0], look(small, read))
		if ratio = float64(least[1]) / float64(max(least[0], 1)); ratio <= mostRatio {
			return ratio
		}
	}
	for range counts {
		if ratio = count(large, read) / count(small, read); ratio <= mostRatio {
			return ratio
		}
	}
	return ratio
}

// look returns how long reading takes once.
func look(input []byte, read func([]byte)) time.Duration {
	before := time.Now()
	read(input)
	return time.Since(before)
}

// count returns the processor time that reading takes, in seconds.
func count(input []byte, read func([]byte)) float64 {
	before, n := spent(), 0
	for spent()-before < counted {
		read(input)
		n++
	}
	return (spent() - before).Seconds() / float64(n)
}

// Bench reports for each shape the cost of ten megabytes in milliseconds of processor time,
// measured with n bytes. At most 100 are allowed.
func Bench(b *testing.B, shapes []Shape, n int, read func(input []byte)) {
	for _, s := range shapes {
		b.Run(s.Name, func(b *testing.B) {
			release := ownThread()
			defer release()
			input := s.Make(n)
			before := spent()
			for b.Loop() {
				read(input)
			}
			each := float64((spent() - before).Microseconds()) / float64(b.N) / 1000
			b.ReportMetric(each*10e6/float64(len(input)), "ms/10MB")
		})
	}
}
