// Package fakedns is a name server for tests: it uses real sockets on this machine in place
// of DNS.
package fakedns

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Mode is how a name server treats questions.
type Mode int

// The modes of a [Server].
const (
	Answering     Mode = iota // as the records say
	Failing                   // SERVFAIL
	Refusing                  // REFUSED
	Denying                   // NXDOMAIN, whatever records there are
	Silent                    // no answer at all
	Truncating                // over UDP only the hint to ask over TCP
	WithoutEDNS               // FORMERR for a question with EDNS, as old servers do
	OtherQuestion             // an answer to a different question
)

// Server is a name server on a loopback address, over UDP and TCP. Its records can be
// changed while it runs. It answers for every name. A name without records, and with
// none below it, does not exist.
type Server struct {
	addr    netip.AddrPort
	servers []*dns.Server
	secrets map[string]string // of its keys, by name

	mu    sync.Mutex
	names map[string]*records // by name in lower case with its final dot
	modes map[string]Mode     // "" is for all names without one
	asked map[string]int
	byTCP map[string]int
}

// records are the records of one name.
type records struct {
	txt    []dns.RR
	cname  []dns.RR
	soa    []dns.RR
	rounds [][]netip.Addr // one for each question for A; the last one for all further questions
}

// New starts a name server that runs until the test ends. It accepts updates that are
// signed with one of the keys, and no others.
func New(t testing.TB, keys ...Key) *Server {
	t.Helper()
	d := &Server{names: map[string]*records{}, modes: map[string]Mode{}, asked: map[string]int{},
		byTCP: map[string]int{}, secrets: map[string]string{}}
	for _, k := range keys {
		d.secrets[key(k.Name)] = k.Secret
	}
	if err := d.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range d.servers {
			if err := s.Shutdown(); err != nil {
				t.Errorf("stop the name server: %v", err)
			}
		}
	})
	return d
}

// listen opens the same port for UDP and TCP. It tries again when another process has
// the port for one of them.
func (d *Server) listen() (err error) {
	for range 20 {
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			return err
		}
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", udp.LocalAddr().String()); err != nil {
			udp.Close()
			continue
		}
		d.addr = netip.MustParseAddrPort(udp.LocalAddr().String())
		d.serve(&dns.Server{PacketConn: udp, Handler: d.handler(false)})
		d.serve(&dns.Server{Listener: tcp, Handler: d.handler(true)})
		return nil
	}
	return fmt.Errorf("no port is free for both UDP and TCP: %w", err)
}

// serve starts s and returns when it listens.
func (d *Server) serve(s *dns.Server) {
	started := make(chan struct{})
	s.TsigSecret = d.secrets
	s.MsgAcceptFunc = accepts
	s.NotifyStartedFunc = func() { close(started) }
	go s.ActivateAndServe() // ends with Shutdown
	<-started
	d.servers = append(d.servers, s)
}

// Addr returns where the server listens.
func (d *Server) Addr() netip.AddrPort { return d.addr }

// TXT publishes texts at name and replaces earlier ones.
func (d *Server) TXT(name string, ttl time.Duration, texts ...string) {
	d.change(name, func(r *records) {
		r.txt = nil
		for _, text := range texts {
			r.txt = append(r.txt, &dns.TXT{Hdr: header(name, dns.TypeTXT, ttl), Txt: strs(text)})
		}
	})
}

// CNAME makes name an alias of target; an empty target removes the alias.
func (d *Server) CNAME(name string, ttl time.Duration, target string) {
	d.change(name, func(r *records) {
		r.cname = nil
		if target != "" {
			r.cname = []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME, ttl), Target: dns.Fqdn(target)}}
		}
	})
}

// SOA makes name a zone. An answer without records may be remembered for the shorter of ttl
// and minimum.
func (d *Server) SOA(name string, ttl, minimum time.Duration) {
	d.change(name, func(r *records) {
		r.soa = []dns.RR{&dns.SOA{Hdr: header(name, dns.TypeSOA, ttl), Ns: "ns.invalid.", Mbox: "nobody.invalid.",
			Minttl: uint32(minimum / time.Second)}}
	})
}

// Addrs publishes addresses at name. Each question for A gets the next round, and the
// last round stays.
func (d *Server) Addrs(name string, rounds ...[]netip.Addr) {
	d.change(name, func(r *records) { r.rounds = rounds })
}

// Remove removes all records of name.
func (d *Server) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, key(name))
}

// Behave sets the mode of questions for name; "" means all names without a mode of their
// own.
func (d *Server) Behave(name string, m Mode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.modes[key(name)] = m
}

// Asked returns how many questions for name arrived, of any type.
func (d *Server) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[key(name)]
}

// AskedTCP returns how many of them arrived over TCP.
func (d *Server) AskedTCP(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byTCP[key(name)]
}

func (d *Server) change(name string, do func(*records)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[key(name)] == nil {
		d.names[key(name)] = &records{}
	}
	do(d.names[key(name)])
}

// key returns the form in which the server stores a name.
func key(name string) string {
	if name == "" {
		return ""
	}
	return dns.CanonicalName(name)
}

func header(name string, typ uint16, ttl time.Duration) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: typ, Class: dns.ClassINET, Ttl: uint32(ttl / time.Second)}
}

// strs splits a text into strings of at most 255 bytes, in the form of a zone file,
// which the library stores.
func strs(text string) []string {
	out := []string{}
	for more := true; more; more = text != "" {
		n := min(len(text), 255)
		var b strings.Builder
		for i := range n {
			if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
				fmt.Fprintf(&b, `\%03d`, c)
			} else {
				b.WriteByte(c)
			}
		}
		out, text = append(out, b.String()), text[n:]
	}
	return out
}
