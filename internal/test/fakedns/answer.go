package fakedns

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxChain bounds a chain of aliases.
const maxChain = 16

// handler answers over UDP or TCP.
func (d *Server) handler(tcp bool) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		if len(q.Question) != 1 {
			return
		}
		var answer *dns.Msg
		if q.Opcode == dns.OpcodeUpdate {
			answer = d.update(q, w.TsigStatus())
		} else {
			answer = d.answer(q, tcp)
		}
		if answer == nil {
			return
		}
		if size := dns.MinMsgSize; !tcp {
			if opt := q.IsEdns0(); opt != nil {
				size = int(opt.UDPSize())
			}
			answer.Truncate(size)
		}
		sign(answer, q, w.TsigStatus())
		// A client that has stopped listening gets no answer.
		_ = w.WriteMsg(answer)
	}
}

// answer counts the question and returns its answer, nil for none.
func (d *Server) answer(q *dns.Msg, tcp bool) *dns.Msg {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := key(q.Question[0].Name)
	d.asked[name]++
	if tcp {
		d.byTCP[name]++
	}
	mode, own := d.modes[name]
	if !own {
		mode = d.modes[""]
	}
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	switch mode {
	case Silent:
		return nil
	case Failing:
		m.Rcode = dns.RcodeServerFailure
		return m
	case Refusing:
		m.Rcode = dns.RcodeRefused
		return m
	case Denying:
		m.Rcode = dns.RcodeNameError
		m.Ns = d.authority(name)
		return m
	case Truncating:
		if m.Truncated = !tcp; m.Truncated {
			return m
		}
	case WithoutEDNS:
		if q.IsEdns0() != nil {
			m.Rcode, m.Question = dns.RcodeFormatError, nil
			return m
		}
	case OtherQuestion:
		m.Question[0].Name = "other." + m.Question[0].Name
	}
	d.fill(m, name, q.Question[0].Qtype)
	return m
}

// fill follows the name to its records and adds them to the answer.
func (d *Server) fill(m *dns.Msg, name string, typ uint16) {
	for range maxChain {
		r := d.names[name]
		if r == nil {
			if !d.exists(name) {
				m.Rcode = dns.RcodeNameError
			}
			break
		}
		if rrs := r.of(name, typ); len(rrs) > 0 {
			m.Answer = append(m.Answer, rrs...)
			return
		}
		if len(r.cname) == 0 {
			break
		}
		m.Answer = append(m.Answer, r.cname...)
		name = key(r.cname[0].(*dns.CNAME).Target)
	}
	m.Ns = d.authority(name)
}

// of returns the records of one type. A question for A moves on to the next round of
// addresses.
func (r *records) of(name string, typ uint16) []dns.RR {
	switch typ {
	case dns.TypeTXT:
		return r.txt
	case dns.TypeCNAME:
		return r.cname
	case dns.TypeSOA:
		return r.soa
	case dns.TypeA, dns.TypeAAAA:
		return r.addresses(name, typ)
	}
	return nil
}

func (r *records) addresses(name string, typ uint16) (rrs []dns.RR) {
	if len(r.rounds) == 0 {
		return nil
	}
	for _, addr := range r.rounds[0] {
		if addr.Is4() == (typ == dns.TypeA) {
			rrs = append(rrs, address(name, typ, addr))
		}
	}
	if typ == dns.TypeA && len(r.rounds) > 1 {
		r.rounds = r.rounds[1:]
	}
	return rrs
}

func address(name string, typ uint16, addr netip.Addr) dns.RR {
	if typ == dns.TypeA {
		return &dns.A{Hdr: header(name, typ, 0), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, typ, 0), AAAA: addr.AsSlice()}
}

// exists reports whether there is anything at name or below it.
func (d *Server) exists(name string) bool {
	for other := range d.names {
		if other == name || strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}

// authority returns the SOA of the zone that name is in. The root's SOA says that absence
// may be remembered for a minute.
func (d *Server) authority(name string) []dns.RR {
	for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
		if r := d.names[name[at:]]; r != nil && len(r.soa) > 0 {
			return r.soa
		}
	}
	return []dns.RR{&dns.SOA{Hdr: header(".", dns.TypeSOA, time.Minute), Ns: "ns.invalid.",
		Mbox: "nobody.invalid.", Minttl: 60}}
}
