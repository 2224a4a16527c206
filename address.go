package amtp

import (
	"fmt"
	"strings"
)

// Bounds of an address (RFC 5321 §4.5.3.1, RFC 1035 §2.3.4).
const (
	maxLocalPart = 64
	maxDomain    = 253
	maxLabel     = 63
)

// Domain is a DNS name in lower-case A-label form, without a trailing dot.
type Domain string

// Address is one agent's address, local-part@domain. The zero value is no
// address. Values made by [ParseAddress] are valid. AMTP §1.
type Address struct {
	local  string // with the case in which it was written
	domain Domain
}

// ParseAddress reads a bare address. Display names, quotes, comments, address
// literals and characters outside ASCII are refused: a domain is written in
// A-label form. The domain is brought to lower case, the local part keeps its
// case but does not differ by it.
func ParseAddress(s string) (Address, error) {
	at := strings.IndexByte(s, '@')
	if at < 0 || strings.IndexByte(s[at+1:], '@') >= 0 {
		return Address{}, fmt.Errorf("%s is not an address: write name@domain", quoteShort(s))
	}
	local, host := s[:at], s[at+1:]
	if err := checkLocal(local); err != nil {
		return Address{}, fmt.Errorf("%s is not an address: %w", quoteShort(s), err)
	}
	domain, err := ParseDomain(host)
	if err != nil {
		return Address{}, fmt.Errorf("%s is not an address: %w", quoteShort(s), err)
	}
	return Address{local: local, domain: domain}, nil
}

// ParseDomain reads a domain name in any case, with or without a trailing dot.
// Address literals and names whose last label is a number are refused.
func ParseDomain(s string) (Domain, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return "", fmt.Errorf("the domain is empty")
	}
	if len(s) > maxDomain {
		return "", fmt.Errorf("the domain is longer than %d characters", maxDomain)
	}
	for i := range len(s) {
		if s[i] >= 0x80 { // before ToLower, which turns the Kelvin sign into k
			return "", fmt.Errorf("the domain has a character outside ASCII; write it in A-label form")
		}
	}
	s = strings.ToLower(s)
	rest, last := s, ""
	for more := true; more; {
		last, rest, more = strings.Cut(rest, ".")
		if err := checkLabel(last); err != nil {
			return "", err
		}
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("the domain is an IP address or ends in a number")
	}
	return Domain(s), nil
}

// checkLabel checks one lower-case label of a domain.
func checkLabel(l string) error {
	switch {
	case l == "":
		return fmt.Errorf("the domain has an empty label")
	case len(l) > maxLabel:
		return fmt.Errorf("a label of the domain is longer than %d characters", maxLabel)
	case l[0] == '-' || l[len(l)-1] == '-':
		return fmt.Errorf("a label of the domain begins or ends with a hyphen")
	case strings.HasPrefix(l, "xn--") && !validPunycode(l[len("xn--"):]):
		return fmt.Errorf("the label %q is not valid punycode", l)
	}
	for i := range len(l) {
		if c := l[i]; !isAlnum(c) && c != '-' && c != '_' {
			return fmt.Errorf("the domain has a character other than letters, digits and hyphens")
		}
	}
	return nil
}

// checkLocal checks a local part: a dot-atom of RFC 5322 in ASCII.
func checkLocal(l string) error {
	switch {
	case l == "":
		return fmt.Errorf("the part before @ is empty")
	case len(l) > maxLocalPart:
		return fmt.Errorf("the part before @ is longer than %d characters", maxLocalPart)
	case l[0] == '.' || l[len(l)-1] == '.' || strings.Contains(l, ".."):
		return fmt.Errorf("the part before @ has a dot at an end or two together")
	}
	for i := range len(l) {
		if c := l[i]; !isAlnum(c) && strings.IndexByte(".!#$%&'*+-/=?^_`{|}~", c) < 0 {
			return fmt.Errorf("the part before @ has a character that is not allowed there")
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// validPunycode decodes the part of a label behind "xn--" (RFC 3492 §6.2) and
// reports whether it stands for Unicode text.
func validPunycode(s string) bool {
	const base, tmin, tmax, skew, damp = 36, 1, 26, 38, 700
	n, i, bias, length := 128, 0, 72, 0
	if d := strings.LastIndexByte(s, '-'); d >= 0 {
		length, s = d, s[d+1:]
	}
	if s == "" {
		return false
	}
	for first := true; s != ""; first = false {
		before, weight := i, 1
		for k := base; ; k += base {
			if s == "" {
				return false
			}
			digit := strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789", s[0])
			if s = s[1:]; digit < 0 {
				return false
			}
			if i += digit * weight; i > 1<<30 {
				return false
			}
			t := min(max(k-bias, tmin), tmax)
			if digit < t {
				break
			}
			if weight *= base - t; weight > 1<<30 {
				return false
			}
		}
		length++
		delta := i - before
		if first {
			delta /= damp
		} else {
			delta /= 2
		}
		delta += delta / length
		k := 0
		for delta > (base-tmin)*tmax/2 {
			delta /= base - tmin
			k += base
		}
		bias = k + (base-tmin+1)*delta/(delta+skew)
		if n += i / length; n > 0x10ffff {
			return false
		}
		i = i%length + 1
	}
	return true
}

// Local returns the part before @ as it was written.
func (a Address) Local() string { return a.local }

// Domain returns the part behind @.
func (a Address) Domain() Domain { return a.domain }

// IsZero reports whether a is no address.
func (a Address) IsZero() bool { return a.domain == "" }

// String returns local-part@domain, or "" for the zero value.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	return a.local + "@" + string(a.domain)
}

// Key returns the form under which equal addresses are equal strings.
func (a Address) Key() string { return strings.ToLower(a.String()) }

// Equal reports whether a and b are the same mailbox.
func (a Address) Equal(b Address) bool {
	return a.domain == b.domain && strings.EqualFold(a.local, b.local)
}

// MarshalText writes the address as it is shown.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an address; empty text is the zero value.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parsed, err := ParseAddress(string(text))
	*a = parsed
	return err
}

// CheckName reports why s cannot be the name of an agent: 1 to 64 letters,
// digits, dots, hyphens and underscores, with a letter or digit at both ends.
func CheckName(s string) error {
	const rule = "use letters, numbers, hyphens, underscores, dots (1-64 chars); it cannot start or end with -, _, or ."
	if s == "" || len(s) > maxLocalPart || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) || strings.Contains(s, "..") {
		return fmt.Errorf("%s is not a name for an agent: %s", quoteShort(s), rule)
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("%s is not a name for an agent: %s", quoteShort(s), rule)
		}
	}
	return nil
}

// quoteShort quotes text of a stranger for an error: bounded, printable.
func quoteShort(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%+q…", strings.ToValidUTF8(s[:80], "?"))
	}
	return fmt.Sprintf("%+q", s)
}
