package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ACMEOptions say which certificates are wanted, and from which authority.
type ACMEOptions struct {
	Hosts     []string // names in lower case, at least one
	Directory string   // URL of the authority's directory
	Email     string   // the authority may write to it; "" for none
	// HTTP makes the authority ask by HTTP-01, and not by TLS-ALPN-01. Challenges of
	// the ACME answers HTTP-01, and Certificate answers TLS-ALPN-01.
	HTTP bool
	DNS  *DNS01 // the authority looks by DNS-01; nil if it does not

	Client  *http.Client // to the authority
	Version string       // of this program
	Store   Store
	Seal    gateway.Seal
	Now     func() time.Time
	Log     *slog.Logger
}

// Store is the part of a gateway.Store that certificates need.
type Store interface {
	gateway.Documents
	gateway.Leases
}

// ACME obtains certificates, one for each host. It renews one when a third of its
// time is left, or when the authority suggests it (RFC 9773). Gateways on one store
// share them: one of them asks the authority, the others use the answer.
//
// The library certmagic generates keys, makes requests, locks a host, stores the
// result and reads suggestions. ACME decides when.
type ACME struct {
	o          ACMEOptions
	storage    *storage
	challenges *challenges
	issuer     *issuer
	certmagic  *zap.Logger

	wake  chan struct{} // has room for one
	turn  chan struct{} // has room for one attempt at a time
	mu    sync.Mutex
	inUse map[string]*tls.Certificate // by host
	hints map[string]acme.RenewalInfo // by host: of the certificate in use
	notes map[string]note             // by host
	asked map[string]time.Time        // by host: for a suggestion
}

// NewACME builds an ACME. It does not call the authority; it uses the stored
// certificates at once.
func NewACME(ctx context.Context, o ACMEOptions) (*ACME, error) {
	s := &storage{store: o.Store, seal: o.Seal, now: o.Now, log: o.Log,
		locks: locks{leases: o.Store, now: o.Now, log: o.Log}}
	c := &challenges{storage: s, hosts: o.Hosts, tells: acme.ChallengeTypeTLSALPN01}
	solver := acmez.Solver(c)
	switch {
	case o.DNS != nil:
		c.tells, solver = acme.ChallengeTypeDNS01, newRecords(c, *o.DNS)
	case o.HTTP:
		c.tells = acme.ChallengeTypeHTTP01
	}
	a := &ACME{
		o: o, storage: s, challenges: c,
		issuer: &issuer{client: o.Client, directory: o.Directory, email: o.Email, version: o.Version, storage: s,
			solvers: map[string]acmez.Solver{c.tells: solver}},
		certmagic: zap.New(core{log: o.Log}),
		wake:      make(chan struct{}, 1), turn: make(chan struct{}, 1),
		inUse: map[string]*tls.Certificate{}, hints: map[string]acme.RenewalInfo{}, notes: map[string]note{},
		asked: map[string]time.Time{},
	}
	for _, host := range o.Hosts {
		if _, _, err := a.load(ctx, host); err != nil {
			return nil, fmt.Errorf("read the stored certificate of %s: %w", host, err)
		}
	}
	return a, nil
}

// Challenges answers HTTP-01. It belongs on port 80 of the hosts.
func (a *ACME) Challenges() http.Handler { return a.challenges }

// Protocols are the protocols that the listener must speak for the authority.
func (a *ACME) Protocols() []string {
	if a.challenges.tells != acme.ChallengeTypeTLSALPN01 {
		return nil
	}
	return []string{acmez.ACMETLS1Protocol}
}

// Certificate returns the certificate for the host that a caller names, or the
// certificate of the first host.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if a.challenges.asks(hello) {
		return a.challenges.certificate(hello)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.inUse[strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))]; c != nil {
		return c, nil
	}
	if c := a.inUse[a.o.Hosts[0]]; c != nil {
		return c, nil
	}
	return nil, ErrNone
}

// Run obtains missing certificates and renews due ones, until ctx ends.
func (a *ACME) Run(ctx context.Context) error {
	for {
		next := lookAtStore
		for _, host := range a.o.Hosts {
			wait := time.Duration(0)
			if _, err := a.keep(ctx, host, patiently); err != nil { // it is in the log and in List
				wait = silentFirst // also when the store does not take the note of it
			}
			next = min(next, max(wait, a.until(host)))
		}
		timer := time.NewTimer(max(next, breath))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-a.wake:
			timer.Stop()
		}
	}
}

// lookAtStore is the longest time until a certificate that another gateway got is
// noticed. breath is the least time between two rounds.
const (
	lookAtStore = 10 * time.Minute
	breath      = time.Second
)

// until is the time until a host needs something.
func (a *ACME) until(host string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.next(host).Sub(a.o.Now()))
}

// next is when the gateway tries to get another certificate for a host.
func (a *ACME) next(host string) time.Time {
	due, paused := a.due(host), a.paused(host)
	if paused.After(due) {
		return paused
	}
	return due
}

// paused is when the pause after a failure ends. A pause that is longer than every
// possible one is ignored: a clock that was ahead set it.
func (a *ACME) paused(host string) time.Time {
	until := a.notes[host].Next
	if until.After(a.o.Now().Add(longestPause)) {
		return time.Time{}
	}
	return until
}

// ratio is the part of its time that a certificate has left when it is renewed.
const ratio = 1.0 / 3

// renewal is when a certificate is renewed if the authority suggests nothing.
func renewal(leaf *x509.Certificate) time.Time {
	left := time.Duration(float64(leaf.NotAfter.Sub(leaf.NotBefore)) * ratio)
	return leaf.NotAfter.Add(-left)
}

// due is when the certificate of a host is renewed: at the suggested time, and no
// later than without a suggestion. A time before the certificate's own beginning is
// ignored. RFC 9773 §4.2.
func (a *ACME) due(host string) time.Time {
	c := a.inUse[host]
	if c == nil {
		return time.Time{}
	}
	due, at := renewal(c.Leaf), a.hints[host].SelectedTime
	if at.After(c.Leaf.NotBefore) && at.Before(due) {
		return at
	}
	return due
}

// how is the urgency of an attempt.
type how int

const (
	patiently how = iota // when it is due, and the last failure was long enough ago
	promptly             // when it is due
	forcibly             // in any case
)

// Renew tries to get certificates now.
func (a *ACME) Renew(ctx context.Context, force bool) (changed bool, err error) {
	urgency := promptly
	if force {
		urgency = forcibly
	}
	var errs []error
	for _, host := range a.o.Hosts {
		got, err := a.keep(ctx, host, urgency)
		changed = changed || got
		errs = append(errs, err)
	}
	select {
	case a.wake <- struct{}{}: // Run computes its wait again
	default:
	}
	return changed, errors.Join(errs...)
}

// keep uses the stored certificate of a host. It first gets another one when that is
// wanted.
func (a *ACME) keep(ctx context.Context, host string, urgency how) (changed bool, err error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	changed, _, err = a.load(ctx, host)
	if err == nil && urgency == patiently && a.asks(host) {
		err = a.heed(ctx, host)
	}
	if err == nil && a.wanted(host, urgency) {
		var got bool
		got, err = a.obtain(ctx, host, urgency)
		changed = changed || got
	}
	if err != nil {
		a.log(ctx, host, err)
	}
	return changed, err
}

func (a *ACME) leaf(host string) *x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.inUse[host]; c != nil {
		return c.Leaf
	}
	return nil
}

// wanted reports whether the authority is to be asked for a certificate now.
func (a *ACME) wanted(host string, urgency how) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.o.Now()
	switch urgency {
	case forcibly:
		return true
	case promptly:
		return !at.Before(a.due(host))
	}
	return !at.Before(a.next(host))
}

// asks reports whether the authority is to be asked for a new suggestion now. That is
// at the time that the authority named, and no more often than the gateway checks the
// store.
func (a *ACME) asks(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.o.Now()
	if at.Sub(a.asked[host]).Abs() < lookAtStore || !a.hints[host].NeedsRefresh() || at.Before(a.paused(host)) {
		return false
	}
	a.asked[host] = at
	return true
}

// log writes a failure and its meaning to the log.
func (a *ACME) log(ctx context.Context, host string, err error) {
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	c, next := a.inUse[host], a.next(host)
	a.mu.Unlock()
	if c == nil {
		a.o.Log.Error("there is no certificate: callers from other machines are refused until there is one", "host",
			host, "cause", err, "next_try", next)
		return
	}
	a.o.Log.Error("the certificate was not renewed; it stays in use",
		"host", host, "cause", err, "until", c.Leaf.NotAfter,
		"next_try", next)
}

// load uses the stored certificate of a host if there is one that can be used,
// and reports whether it is another than before.
func (a *ACME) load(ctx context.Context, host string) (changed, usable bool, err error) {
	at := a.site(host)
	n, err := a.recall(ctx, host)
	if err != nil {
		return false, false, err
	}
	var files [3][]byte // the last is missing where no library stored it
	for i, name := range []string{at.chain, at.key, at.facts} {
		if files[i], err = a.storage.Load(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, false, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes[host] = n
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err != nil {
		return false, false, nil
	}
	a.hints[host] = suggestion(files[2], pair.Leaf)
	before := a.inUse[host]
	if before != nil && before.Leaf.Equal(pair.Leaf) {
		return false, true, nil
	}
	a.inUse[host] = &pair
	return true, true, nil
}

// List describes the certificate of each host.
func (a *ACME) List() admin.CertificateList {
	list := admin.CertificateList{Source: admin.CertificateACME, From: a.o.Directory, Challenge: a.challenges.tells}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, host := range a.o.Hosts {
		var leaf *x509.Certificate
		if c := a.inUse[host]; c != nil {
			leaf = c.Leaf
		}
		c := describe(leaf, a.o.Now())
		if leaf == nil {
			c.Hosts = []string{host}
		}
		n := a.notes[host]
		c.Error, c.ErrorAt, c.Next = n.Error, amtp.Time{Time: n.Failed}, amtp.Time{Time: a.next(host)}
		list.Certificates = append(list.Certificates, c)
	}
	return list
}
