package certificate

import (
	"context"
	"crypto/rand"
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

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ACMEOptions say which certificates are wanted, and from whom.
type ACMEOptions struct {
	Hosts     []string // names in lower case, at least one
	Directory string   // URL of the authority's directory
	Email     string   // where the authority may write to, "" for nowhere
	// HTTP has the authority look by HTTP-01, which the Challenges of the ACME
	// must answer, and not by TLS-ALPN-01, which its Certificate answers.
	HTTP bool

	Client  *http.Client // to the authority
	Version string       // of this program
	Store   Store
	Seal    gateway.Seal
	Now     func() time.Time
	Log     *slog.Logger
}

// Store is what of a gateway.Store certificates need.
type Store interface {
	gateway.Secrets
	gateway.Leases
}

// ACME obtains certificates, one for each host, and renews them when a third of
// their time is left. Gateways on one store share them: one of them asks the
// authority, the others use what it got.
type ACME struct {
	o          ACMEOptions
	storage    *storage
	challenges *challenges
	issuer     *issuer

	wake  chan struct{} // has room for one
	turn  chan struct{} // has room for who looks after a host: one at a time
	mu    sync.Mutex
	inUse map[string]*tls.Certificate // by host
	notes map[string]note             // by host
}

// NewACME builds it. It asks nobody; the certificates that are stored are used
// at once.
func NewACME(ctx context.Context, o ACMEOptions) (*ACME, error) {
	s := &storage{store: o.Store, seal: o.Seal, now: o.Now, log: o.Log, locks: locks{leases: o.Store, now: o.Now}}
	c := &challenges{storage: s, hosts: o.Hosts, tells: acme.ChallengeTypeTLSALPN01}
	if o.HTTP {
		c.tells = acme.ChallengeTypeHTTP01
	}
	a := &ACME{
		o: o, storage: s, challenges: c,
		issuer: &issuer{client: o.Client, directory: o.Directory, email: o.Email, version: o.Version, storage: s,
			challenges: c},
		wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		inUse: map[string]*tls.Certificate{}, notes: map[string]note{},
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

// Protocols are those that the listener must speak for the authority's sake.
func (a *ACME) Protocols() []string {
	if a.o.HTTP {
		return nil
	}
	return []string{acmez.ACMETLS1Protocol}
}

// Certificate returns the one for the host that a caller names, or that of the
// first host.
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

// attemptTime bounds one attempt for one host.
const attemptTime = 5 * time.Minute

// Run obtains what is missing and renews what is due, again and again.
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

// lookAtStore is the longest that a certificate which another gateway got is not
// noticed, and breath the least that lies between two rounds.
const (
	lookAtStore = 10 * time.Minute
	breath      = time.Second
)

// until is how long there is nothing to do for a host.
func (a *ACME) until(host string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.next(host).Sub(a.o.Now()))
}

// next is when the gateway tries to get another certificate for a host.
func (a *ACME) next(host string) time.Time {
	var due time.Time
	if c := a.inUse[host]; c != nil {
		due = renewal(c.Leaf)
	}
	n := a.notes[host]
	if late := a.o.Now().Add(longestPause); n.Next.After(late) {
		return due // it was noted by a clock that was ahead
	}
	if n.Next.After(due) {
		return n.Next
	}
	return due
}

// ratio is the part of its time that a certificate has left when it is renewed.
const ratio = 1.0 / 3

// renewal is when a certificate is renewed.
func renewal(leaf *x509.Certificate) time.Time {
	left := time.Duration(float64(leaf.NotAfter.Sub(leaf.NotBefore)) * ratio)
	return leaf.NotAfter.Add(-left)
}

// how says how much an attempt is wanted.
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
	case a.wake <- struct{}{}: // Run counts anew
	default:
	}
	return changed, errors.Join(errs...)
}

// keep uses the stored certificate of a host, and gets another one first when
// that is wanted.
func (a *ACME) keep(ctx context.Context, host string, urgency how) (changed bool, err error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	changed, _, err = a.load(ctx, host)
	if err == nil && a.wanted(host, urgency) {
		var got bool
		got, err = a.attempt(ctx, host, urgency)
		changed = changed || got
	}
	if err != nil {
		a.log(ctx, host, err)
	}
	return changed, err
}

// attempt gets another certificate for a host, and uses it.
func (a *ACME) attempt(ctx context.Context, host string, urgency how) (changed bool, err error) {
	before := a.leaf(host)
	limited, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	err = a.alone(limited, host, urgency)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	after := a.leaf(host)
	if changed = after != nil && !after.Equal(before); changed {
		a.o.Log.Info("a certificate is in use that was not before", "host", host, "until", after.NotAfter, "authority",
			a.o.Directory)
	}
	return changed, err
}

// alone gets another certificate into the storage while no other gateway does,
// unless another has done so meanwhile, or was refused one. How that ended is
// noted before another's turn comes.
func (a *ACME) alone(ctx context.Context, host string, urgency how) (err error) {
	lock := "keep/" + host
	if err := a.storage.Lock(ctx, lock); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.storage.Unlock(context.WithoutCancel(ctx), lock)) }()
	_, usable, err := a.load(ctx, host)
	if err != nil || !a.wanted(host, urgency) {
		return err
	}
	if !usable { // half of a change that was cut off, or sealed with a key that is lost
		if err := a.storage.Delete(ctx, siteOf(a.issuer.name(), host).dir); err != nil {
			return err
		}
	}
	err = a.obtain(ctx, host)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the gateway stops, or who asked went away: nobody's failure
	}
	if err == nil {
		err = a.obtained(ctx, host)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", host, plain(err))
	}
	return errors.Join(err, a.remember(ctx, host, err))
}

// obtained uses what the authority gave. It must be in the store, and must not be
// due already: the authority would be asked again at once.
func (a *ACME) obtained(ctx context.Context, host string) error {
	_, usable, err := a.load(ctx, host)
	switch {
	case err != nil:
		return err
	case !usable:
		return errors.New("what was obtained is not in the store")
	case a.wanted(host, promptly):
		return untimely{errors.New("the certificate that the authority gave is to be renewed already; is a clock wrong?")}
	}
	return nil
}

func (a *ACME) leaf(host string) *x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.inUse[host]; c != nil {
		return c.Leaf
	}
	return nil
}

// wanted reports whether the authority is to be asked about a host now.
func (a *ACME) wanted(host string, urgency how) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, at := a.inUse[host], a.o.Now()
	switch urgency {
	case forcibly:
		return true
	case promptly:
		return c == nil || !at.Before(renewal(c.Leaf))
	}
	return !at.Before(a.next(host))
}

// log tells of a failure, and what it means.
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
	a.o.Log.Error("the certificate was not renewed; it goes on", "host", host, "cause", err, "until", c.Leaf.NotAfter,
		"next_try", next)
}

// obtain gets a certificate for a new key from the authority into the storage,
// where it takes the place of the one before with its key, in one step.
func (a *ACME) obtain(ctx context.Context, host string) error {
	key, encoded, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, key)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	chain, err := a.issuer.issue(ctx, csr)
	if err != nil {
		return err
	}
	at := siteOf(a.issuer.name(), host)
	return a.storage.Replace(ctx, at.dir, map[string][]byte{at.chain: chain, at.key: encoded})
}

// load uses the stored certificate of a host if there is one that can be used,
// and reports whether it is another than before.
func (a *ACME) load(ctx context.Context, host string) (changed, usable bool, err error) {
	at := siteOf(a.issuer.name(), host)
	n, err := a.recall(ctx, host)
	if err != nil {
		return false, false, err
	}
	chain, err := a.storage.Load(ctx, at.chain)
	var key []byte
	if err == nil {
		key, err = a.storage.Load(ctx, at.key)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes[host] = n
	if err != nil {
		return false, false, nil
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return false, false, nil
	}
	before := a.inUse[host]
	if before != nil && before.Leaf.Equal(pair.Leaf) {
		return false, true, nil
	}
	a.inUse[host] = &pair
	return true, true, nil
}

// List tells of the certificate of each host.
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
