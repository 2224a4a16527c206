package discovery

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxAliases is the largest number of names in a chain of aliases.
const maxAliases = 8

// step is the content of one message from a server.
type step struct {
	Answer
	alias string // the name to ask for next, "" if this is the answer
}

// echoes reports whether r answers q. The id alone is not enough, because it can be
// guessed. A server that did not understand the question does not always repeat it.
func echoes(q, r *dns.Msg) bool {
	if !r.Response || r.Id != q.Id || r.Opcode != q.Opcode {
		return false
	}
	if len(r.Question) != 1 {
		return len(r.Question) == 0 && r.Rcode == dns.RcodeFormatError
	}
	asked, said := q.Question[0], r.Question[0]
	return strings.EqualFold(asked.Name, said.Name) && asked.Qtype == said.Qtype && asked.Qclass == said.Qclass
}

// read reads a server's answer to the question for the TXT records at name. An error
// means that the server did not answer the question.
func read(name string, m *dns.Msg) (step, error) {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return step{}, fmt.Errorf("the server answers %s", rcode(m.Rcode))
	}
	at, ttl, err := follow(name, m.Answer)
	if err != nil {
		return step{}, err
	}
	a := Answer{Status: Exists, TTL: ttl}
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); ok && sameName(txt.Hdr.Name, at) && txt.Hdr.Class == dns.ClassINET {
			a.Records = append(a.Records, join(txt.Txt))
			a.TTL = min(a.TTL, seconds(txt.Hdr.Ttl))
		}
	}
	soa, referral := authority(m.Ns)
	switch {
	case len(a.Records) > 0:
		return step{Answer: a}, nil
	case m.Rcode == dns.RcodeNameError:
		return step{Answer: Answer{Status: NoName, TTL: min(ttl, soa)}}, nil
	case referral:
		return step{}, errors.New("the server refers to others instead of asking them")
	case soa == 0 && !sameName(at, name):
		return step{Answer: Answer{TTL: ttl}, alias: at}, nil
	}
	return step{Answer: Answer{Status: NoData, TTL: min(ttl, soa)}}, nil
}

// follow goes from alias to alias as far as the answer has them. It returns the last name
// and for how long the aliases are valid.
func follow(name string, answer []dns.RR) (at string, ttl time.Duration, err error) {
	at, ttl = name, mostTTL
	for range maxAliases {
		alias := find(at, answer)
		if alias == nil {
			return at, ttl, nil
		}
		if alias.Target == "" {
			return "", 0, errors.New("an alias names nothing")
		}
		at, ttl = alias.Target, min(ttl, seconds(alias.Hdr.Ttl))
	}
	return "", 0, fmt.Errorf("more than %d aliases lead on from here", maxAliases-1)
}

func find(name string, answer []dns.RR) *dns.CNAME {
	for _, rr := range answer {
		if alias, ok := rr.(*dns.CNAME); ok && sameName(alias.Hdr.Name, name) && alias.Hdr.Class == dns.ClassINET {
			return alias
		}
	}
	return nil
}

// authority returns for how long the absence of a record is valid (RFC 2308 §5), 0 if
// the server does not say. referral reports whether it refers to other servers instead.
func authority(ns []dns.RR) (ttl time.Duration, referral bool) {
	for _, rr := range ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			return min(seconds(rr.Hdr.Ttl), seconds(rr.Minttl)), false
		case *dns.NS:
			referral = true
		}
	}
	return 0, referral
}

// seconds reads a TTL. One with the highest bit set counts as zero (RFC 2181 §8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func sameName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }

func rcode(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("with the code %d", code)
}

// join joins the strings of a record. The library has them in the form of a zone file,
// with backslashes.
func join(parts []string) string {
	var b strings.Builder
	for _, s := range parts {
		for i := 0; i < len(s); i++ {
			if s[i] != '\\' || i+1 == len(s) {
				b.WriteByte(s[i])
				continue
			}
			if i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]) {
				b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
				i += 3
				continue
			}
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
