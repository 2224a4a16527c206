package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// The number of significant digits that binary64 keeps. It keeps every decimal with
// surelyExact digits. A decimal with more than mayBeExact digits is never the shortest
// decimal of its binary64.
const (
	surelyExact = 15
	mayBeExact  = 17
)

// The powers of ten between which binary64 has its full precision. It keeps a decimal with
// surelyExact digits, d.ddd times ten to such a power.
const (
	leastFull = -307
	mostFull  = 307
)

// maxTiny is how many numbers of one document may lie below the range of full precision.
// Each costs tens of microseconds to read, and no ordinary document has more.
const maxTiny = 1000

var errTiny = errors.New("there are more than 1000 numbers so close to zero that binary64 loses digits")

// Numbers judges the numbers of one document, which may be given in parts. The
// zero value has judged none.
type Numbers struct{ tiny int }

// decimal is a number literal, taken apart: 0.digits × 10^point. Zero has no
// digits.
type decimal struct {
	negative bool
	digits   []byte // without zeros at either end
	point    int
}

// maxPoint bounds the exponent that is read. A number beyond it is not a binary64, however
// many zeros the literal has.
const maxPoint = 1 << 30

// take takes a JSON number apart, in one pass over its bytes. Digits on both sides of a
// point are joined in scratch. ok is false if the literal is no number.
func take(literal, scratch []byte) (d decimal, ok bool) {
	rest := literal
	if len(rest) > 0 && rest[0] == '-' {
		d.negative, rest = true, rest[1:]
	}
	whole, rest := leading(rest)
	var fraction []byte
	if len(rest) > 0 && rest[0] == '.' {
		if fraction, rest = leading(rest[1:]); len(fraction) == 0 {
			return d, false
		}
	}
	exponent, ok := readExponent(rest)
	if len(whole) == 0 || !ok {
		return d, false
	}
	d.digits, d.point = whole, len(whole)+exponent
	if fraction = bytes.TrimRight(fraction, "0"); len(fraction) > 0 {
		d.digits = append(append(scratch, whole...), fraction...)
	}
	all := len(d.digits)
	d.digits = bytes.TrimLeft(d.digits, "0")
	d.point -= all - len(d.digits)
	d.digits = bytes.TrimRight(d.digits, "0")
	return d, true
}

// leading splits the digits at the beginning of b from the rest.
func leading(b []byte) (digits, rest []byte) {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return b[:n], b[n:]
}

// readExponent reads e±digits or nothing. Beyond maxPoint it stays there.
func readExponent(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, true
	}
	if b[0]|0x20 != 'e' {
		return 0, false
	}
	b = b[1:]
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	digits, rest := leading(b)
	if len(digits) == 0 || len(rest) > 0 {
		return 0, false
	}
	n := 0
	for _, c := range digits {
		n = min(n*10+int(c-'0'), maxPoint)
	}
	if negative {
		n = -n
	}
	return n, true
}

// exact reports whether the decimal is the shortest one of a binary64, which means that
// binary64 keeps its digits.
func (n *Numbers) exact(d decimal) (bool, error) {
	power := d.point - 1
	switch {
	case len(d.digits) == 0:
		return true, nil
	case len(d.digits) > mayBeExact || power < -324 || power > 308:
		return false, nil
	case len(d.digits) <= surelyExact && leastFull <= power && power <= mostFull:
		return true, nil
	}
	if power < leastFull {
		if n.tiny++; n.tiny > maxTiny {
			return false, errTiny
		}
	}
	var buf [48]byte
	literal := append(buf[:0], d.digits...)
	literal = strconv.AppendInt(append(literal, 'e'), int64(d.point-len(d.digits)), 10)
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil {
		return false, nil
	}
	var joined [32]byte
	shortest, ok := take(strconv.AppendFloat(buf[:0], f, 'e', -1, 64), joined[:0])
	return ok && bytes.Equal(shortest.digits, d.digits) && shortest.point == d.point, nil
}

// append writes an exact decimal in the form of RFC 8785 §3.2.2.3, which is that of
// ECMAScript.
func (d decimal) append(b []byte) []byte {
	if len(d.digits) == 0 {
		return append(b, '0') // -0 too
	}
	if d.negative {
		b = append(b, '-')
	}
	switch n := len(d.digits); {
	case n <= d.point && d.point <= 21:
		b = append(b, d.digits...)
		return zeros(b, d.point-n)
	case 0 < d.point && d.point <= 21:
		b = append(b, d.digits[:d.point]...)
		return append(append(b, '.'), d.digits[d.point:]...)
	case -6 < d.point && d.point <= 0:
		b = zeros(append(b, "0."...), -d.point)
		return append(b, d.digits...)
	}
	b = append(b, d.digits[0])
	if len(d.digits) > 1 {
		b = append(append(b, '.'), d.digits[1:]...)
	}
	b = append(b, 'e')
	if d.point > 0 {
		b = append(b, '+')
	}
	return strconv.AppendInt(b, int64(d.point-1), 10)
}

func zeros(b []byte, n int) []byte {
	for range n {
		b = append(b, '0')
	}
	return b
}

// inexact is the error for a number that binary64 does not represent exactly.
func inexact(literal []byte) error {
	const shown = 64
	if len(literal) > shown {
		literal = append(literal[:shown:shown], "…"...)
	}
	return fmt.Errorf("the number %s cannot be written in canonical form without changing it", literal)
}
