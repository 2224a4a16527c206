package certificate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"
)

// DNS01 says where the gateway answers DNS-01: at a name server that accepts updates
// which are signed with a key. RFC 2136, RFC 8945.
type DNS01 struct {
	Server    string // host:port
	Zone      string // in which the records are; "" to ask the server
	Alias     string // the name of the records, if _acme-challenge.{host} is an alias of it
	KeyName   string
	Algorithm string // such as hmac-sha256
	Secret    string // of the key, in base64

	// Lookup returns the addresses of the host of Server, if that is a name.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// TXT returns the texts at a name, as others see them. A name without texts is no
	// error.
	TXT func(ctx context.Context, name string) ([]string, error)
}

// updateTime bounds one exchange with the name server. recordTTL is how long others may
// remember a record.
const (
	updateTime = 10 * time.Second
	recordTTL  = 60
)

// The gateway looks for a new record after the first of these times, then after double
// the time, and so on up to the second. After the third it gives up.
const (
	lookFirst = 2 * time.Second
	lookMost  = 16 * time.Second
	lookTime  = 2 * time.Minute
)

// records are the answers to DNS-01. The library's own solver asks name servers outside
// dns.resolvers, and the module for such name servers believes an answer without a
// signature: docs/decisions/043. It is an acmez.Solver.
type records struct {
	*challenges
	o               DNS01
	first, lookTime time.Duration
}

func newRecords(c *challenges, o DNS01) *records {
	return &records{challenges: c, o: o, first: lookFirst, lookTime: lookTime}
}

// Present publishes the record for a question, and waits until others see it. The
// question is stored first. So the record of a gateway that was killed is removed by the
// next attempt.
func (r *records) Present(ctx context.Context, question acme.Challenge) error {
	if err := r.ours(question); err != nil {
		return err
	}
	host := question.Identifier.Value
	if former, err := r.open(ctx, host); err == nil && former.Token != question.Token {
		if err := r.CleanUp(ctx, former); err != nil {
			return err
		}
	}
	if err := r.challenges.Present(ctx, question); err != nil {
		return err
	}
	if err := r.update(ctx, question, (*dns.Msg).Insert); err != nil {
		return err
	}
	return r.await(ctx, question.DNS01TXTRecordName(), question.DNS01KeyAuthorization())
}

// CleanUp removes the record, even after a cancelled attempt. If the name server does not
// remove it, the next attempt tries again.
func (r *records) CleanUp(ctx context.Context, question acme.Challenge) error {
	if err := r.ours(question); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.update(ctx, question, (*dns.Msg).Remove); err != nil {
		r.storage.log.Warn("the DNS record for the authority was not removed; the next attempt removes it", "name",
			r.name(question), "cause", err)
		return err
	}
	if open, err := r.open(ctx, question.Identifier.Value); err != nil || open.Token != question.Token {
		return nil // it was never stored
	}
	return r.challenges.CleanUp(ctx, question)
}

// name returns the name of the record for a question, without a final dot.
func (r *records) name(question acme.Challenge) string {
	if r.o.Alias != "" {
		return r.o.Alias
	}
	return question.DNS01TXTRecordName()
}

// update has the name server insert or remove the record for a question.
func (r *records) update(ctx context.Context, question acme.Challenge, change func(*dns.Msg, []dns.RR)) error {
	name := dns.Fqdn(r.name(question))
	zone := dns.Fqdn(r.o.Zone)
	if r.o.Zone == "" {
		var err error
		if zone, err = r.zone(ctx, name); err != nil {
			return err
		}
	}
	m := new(dns.Msg).SetUpdate(zone)
	change(m, []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: recordTTL},
		Txt: []string{question.DNS01KeyAuthorization()},
	}})
	answer, err := r.exchange(ctx, m)
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = refused(answer)
	}
	if err != nil {
		return fmt.Errorf("the name server %s did not change %s in the zone %s: %w", r.o.Server, name, zone, err)
	}
	return nil
}

// zone asks the name server in which of its zones a name is.
func (r *records) zone(ctx context.Context, name string) (string, error) {
	m, err := r.exchange(ctx, new(dns.Msg).SetQuestion(name, dns.TypeSOA))
	if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		err = refused(m)
	}
	if err != nil {
		return "", fmt.Errorf("the name server %s does not say in which zone %s is: %w", r.o.Server, name, err)
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		switch rr := rr.(type) {
		case *dns.CNAME:
			return "", fmt.Errorf("%s is an alias of %s: give that name in acme.dns_alias", name, rr.Target)
		case *dns.SOA:
			if zone := dns.CanonicalName(rr.Hdr.Name); zone != "." && dns.IsSubDomain(zone, name) {
				return zone, nil
			}
		}
	}
	return "", fmt.Errorf("the name server %s does not say in which zone %s is: give it in acme.dns_zone", r.o.Server,
		name)
}

// exchange signs a message, sends it to the name server, and returns the answer. An
// answer without an error must be signed with the same key.
func (r *records) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	key := dns.CanonicalName(r.o.KeyName)
	m.SetTsig(key, dns.Fqdn(r.o.Algorithm), 300, r.storage.now().Unix())
	client := &dns.Client{Net: "tcp", Timeout: updateTime, TsigSecret: map[string]string{key: r.o.Secret}}
	conn, err := r.dial(ctx, client)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer, _, err := client.ExchangeWithConnContext(ctx, m, conn)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("no answer: %w", ctx.Err())
	case answer != nil && answer.Rcode == dns.RcodeNotAuth: // such an answer need not be signed
		return nil, refused(answer)
	case err != nil:
		return nil, err
	case !answer.Response || answer.Opcode != m.Opcode:
		return nil, errors.New("the answer is to another question")
	case answer.IsTsig() == nil && answer.Rcode == dns.RcodeSuccess:
		return nil, errors.New("the answer is not signed")
	}
	return answer, nil
}

// dial connects to the first address of the name server that answers.
func (r *records) dial(ctx context.Context, client *dns.Client) (*dns.Conn, error) {
	host, port, err := net.SplitHostPort(r.o.Server)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, addr)
	} else if addrs, err = r.o.Lookup(ctx, host); err != nil {
		return nil, err
	}
	failed := fmt.Errorf("%s has no address", host)
	for _, addr := range addrs {
		each, cancel := context.WithTimeout(ctx, updateTime/time.Duration(len(addrs)))
		conn, err := client.DialContext(each, net.JoinHostPort(addr.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// refused says how a name server refused a message.
func refused(m *dns.Msg) error {
	if t := m.IsTsig(); t != nil && t.Error != dns.RcodeSuccess {
		return fmt.Errorf("it answers %s to the signature: its name, its algorithm, its secret or a clock is wrong",
			dns.RcodeToString[int(t.Error)])
	}
	return fmt.Errorf("it answers %s", dns.RcodeToString[m.Rcode])
}

// await waits until others see a text at a name.
func (r *records) await(ctx context.Context, name, text string) error {
	limited, cancel := context.WithTimeout(ctx, r.lookTime)
	defer cancel()
	var failed error
	for wait := r.first; ; wait = min(2*wait, lookMost) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failed == nil {
				failed = errors.New("they show no such text")
			}
			return fmt.Errorf("the name server %s took the record of %s, but after %v dns.resolvers do not show it: %w",
				r.o.Server, name, r.lookTime, failed)
		case <-time.After(wait):
		}
		var texts []string
		if texts, failed = r.o.TXT(limited, name); slices.Contains(texts, text) {
			return nil
		}
	}
}
