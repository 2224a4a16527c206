package certificate

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// attempt is one call of the library for one host. The library holds the lock of the
// host when it reports to the attempt. So the note is stored before another gateway
// has its turn.
type attempt struct {
	acme    *ACME
	host    string
	urgency how
	asking  bool // for a suggestion only

	begun bool  // whether the authority was asked for a certificate
	ended bool  // whether the note of the end is stored
	err   error // why the authority gave nothing that can be used
}

// attemptTime bounds one attempt for one host. askTime bounds one question for a
// suggestion.
const (
	attemptTime = 5 * time.Minute
	askTime     = 30 * time.Second
)

// errNotWanted ends an attempt when another gateway has made one meanwhile.
var errNotWanted = errors.New("no other certificate is wanted now")

// obtain gets a certificate for a new key, and uses it.
func (a *ACME) obtain(ctx context.Context, host string, urgency how) (changed bool, err error) {
	before := a.leaf(host)
	limited, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	try := &attempt{acme: a, host: host, urgency: urgency}
	err = try.call(limited, func(c *certmagic.Config) error {
		return c.RenewCertSync(limited, host, true) // begin decides: it knows the pause and the gateway's clock
	})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil { // perhaps another gateway was first
		_, _, err = a.load(ctx, host)
	}
	after := a.leaf(host)
	if changed = after != nil && !after.Equal(before); changed {
		a.o.Log.Info("a certificate is in use that was not before", "host", host, "until", after.NotAfter, "authority",
			a.o.Directory)
	}
	return changed, err
}

// heed asks the authority when the certificate should be renewed. The answer is stored
// beside the certificate, for all gateways on the store. Without an answer the former
// suggestion stays valid. RFC 9773 §4.
func (a *ACME) heed(ctx context.Context, host string) error {
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := (&attempt{acme: a, host: host, asking: true}).call(limited, func(c *certmagic.Config) error {
		return c.ManageSync(limited, []string{host})
	})
	if ctx.Err() == nil && limited.Err() != nil {
		err = nil
	}
	if err == nil {
		_, _, err = a.load(ctx, host)
	}
	return err
}

// call lets the library do something. The library's cache lives no longer than the
// call: its own rounds know neither the stored pause nor the gateway's clock.
func (t *attempt) call(ctx context.Context, do func(*certmagic.Config) error) error {
	a := t.acme
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           a.certmagic,
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{
		Issuers: []certmagic.Issuer{&issuance{issuer: a.issuer, replaces: t.replaces}},
		Storage: a.storage, Logger: a.certmagic, OnEvent: t.hear, RenewalWindowRatio: ratio,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}, // it would call where a certificate says
	})
	err := do(config)
	switch {
	case t.ended:
		return t.err
	case err == nil, errors.Is(err, errNotWanted):
		return nil
	case ctx.Err() != nil && !t.begun:
		return ctx.Err() // it waited for another gateway
	case t.asking:
		return err
	}
	return t.end(ctx, err)
}

// hear receives the events of the library.
func (t *attempt) hear(ctx context.Context, event string, facts map[string]any) error {
	switch event {
	case "cert_obtaining":
		return t.begin(ctx)
	case "cert_failed":
		cause, _ := facts["error"].(error)
		_ = t.end(ctx, cause) // call returns it
	case "cert_obtained":
		_ = t.end(ctx, t.acme.obtained(ctx, t.host)) // call returns it
	}
	return nil
}

// begin checks the store again, under the lock. Another gateway may have obtained a
// certificate meanwhile, or the authority may have refused it one.
func (t *attempt) begin(ctx context.Context) error {
	if t.asking {
		return errNotWanted
	}
	_, usable, err := t.acme.load(ctx, t.host)
	if err != nil {
		return err
	}
	if !t.acme.wanted(t.host, t.urgency) {
		return errNotWanted
	}
	t.begun = true
	if !usable { // the certificate and the key do not match
		return t.acme.storage.Delete(ctx, t.acme.site(t.host).dir)
	}
	return nil
}

// end stores how the attempt ended; cause is nil after a success.
func (t *attempt) end(ctx context.Context, cause error) error {
	if cause != nil && errors.Is(ctx.Err(), context.Canceled) {
		t.ended, t.err = true, ctx.Err() // the gateway stops, or the caller went away: no failure of the authority
		return t.err
	}
	if cause != nil {
		cause = fmt.Errorf("%s: %w", t.host, plain(cause))
	}
	t.ended, t.err = true, errors.Join(cause, t.acme.remember(ctx, t.host, cause))
	return t.err
}

// replaces returns the certificate that the next one replaces. It is nil when the
// authority makes no suggestions, or the last attempt failed. RFC 9773 §5.
func (t *attempt) replaces() *x509.Certificate {
	a := t.acme
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.inUse[t.host]; c != nil && a.hints[t.host].HasWindow() && a.notes[t.host].Tries == 0 {
		return c.Leaf
	}
	return nil
}

// obtained uses the certificate that the authority gave. It must be in the store, and
// must not be due already: the authority would be asked again at once.
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

// suggestion reads the authority's suggestion from the facts about a certificate. It
// is empty if they are about another certificate, or hold none.
func suggestion(facts []byte, leaf *x509.Certificate) acme.RenewalInfo {
	var stored certmagic.CertificateResource
	var issued acme.Certificate
	if json.Unmarshal(facts, &stored) != nil || json.Unmarshal(stored.IssuerData, &issued) != nil {
		return acme.RenewalInfo{}
	}
	id, err := acme.ARIUniqueIdentifier(leaf)
	if err != nil || issued.RenewalInfo == nil || issued.RenewalInfo.UniqueIdentifier != id {
		return acme.RenewalInfo{}
	}
	return *issued.RenewalInfo
}
