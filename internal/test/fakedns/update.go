package fakedns

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Key is a key with which a client signs. RFC 8945.
type Key struct {
	Name   string
	Secret string // in base64
}

// accepts accepts questions and updates. The library alone would accept no updates.
func accepts(h dns.Header) dns.MsgAcceptAction {
	if h.Bits&(1<<15) != 0 { // an answer
		return dns.MsgIgnore
	}
	switch opcode := int(h.Bits>>11) & 0xF; {
	case opcode != dns.OpcodeQuery && opcode != dns.OpcodeUpdate:
		return dns.MsgRejectNotImplemented
	case h.Qdcount != 1:
		return dns.MsgReject
	}
	return dns.MsgAccept
}

// update changes TXT records as an update says, and returns the answer to it, nil for
// none. signed is nil if the signature is right. The mode of the zone applies, and the
// zone must have a SOA record. RFC 2136 §3.
func (d *Server) update(q *dns.Msg, signed error) *dns.Msg {
	d.mu.Lock()
	defer d.mu.Unlock()
	zone := key(q.Question[0].Name)
	m := new(dns.Msg).SetReply(q)
	mode := d.modes[zone]
	switch {
	case mode == Silent:
		return nil
	case mode == Failing:
		m.Rcode = dns.RcodeServerFailure
	case mode == Refusing, q.IsTsig() == nil:
		m.Rcode = dns.RcodeRefused
	case d.names[zone] == nil, d.names[zone].soa == nil:
		m.Rcode = dns.RcodeNotAuth
	}
	if m.Rcode != dns.RcodeSuccess || signed != nil {
		return m
	}
	for _, rr := range q.Ns {
		if txt, ok := rr.(*dns.TXT); !ok || !dns.IsSubDomain(zone, rr.Header().Name) {
			m.Rcode = dns.RcodeNotZone
		} else {
			d.apply(txt)
		}
	}
	return m
}

// apply inserts or removes one record.
func (d *Server) apply(txt *dns.TXT) {
	name := key(txt.Hdr.Name)
	r := d.names[name]
	if r == nil {
		r = &records{}
		d.names[name] = r
	}
	same := func(other dns.RR) bool { return slices.Equal(other.(*dns.TXT).Txt, txt.Txt) }
	r.txt = slices.DeleteFunc(slices.Clone(r.txt), same)
	if txt.Hdr.Class == dns.ClassINET {
		r.txt = append(r.txt, &dns.TXT{Hdr: header(name, dns.TypeTXT, time.Duration(txt.Hdr.Ttl)*time.Second),
			Txt: txt.Txt})
	} else if len(r.txt)+len(r.cname)+len(r.soa)+len(r.rounds) == 0 {
		delete(d.names, name)
	}
}

// sign signs an answer to a signed message, as the server signs it: with the client's key,
// or with the reason for which it does not believe the client.
func sign(m, q *dns.Msg, signed error) {
	t := q.IsTsig()
	if t == nil {
		return
	}
	if signed != nil {
		m.Rcode = dns.RcodeNotAuth
	}
	m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, time.Now().Unix())
	switch answer := m.IsTsig(); {
	case errors.Is(signed, dns.ErrSecret):
		answer.Error = dns.RcodeBadKey
	case errors.Is(signed, dns.ErrTime):
		answer.Error = dns.RcodeBadTime
	case signed != nil:
		answer.Error = dns.RcodeBadSig
	}
}

// Texts returns the texts that are published at name.
func (d *Server) Texts(name string) (texts []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.names[key(name)]; r != nil {
		for _, rr := range r.txt {
			texts = append(texts, strings.Join(rr.(*dns.TXT).Txt, ""))
		}
	}
	return texts
}
