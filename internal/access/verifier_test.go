package access_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// known has the DNS records of a domain, and the error when they are read.
type known struct {
	signs    bool
	signsErr error
	key      amtp.KeyRecord
	keyErr   error
}

func (p *known) Signs(context.Context, string, amtp.Domain) (bool, error) {
	return p.signs, p.signsErr
}

func (p *known) Key(context.Context, string, amtp.Domain, string) (amtp.KeyRecord, error) {
	return p.key, p.keyErr
}

// nobody is a Memory in which every domain last signed at the time signed; the zero
// time is never.
type nobody struct{ signed time.Time }

func (n nobody) SenderDomain(_ context.Context, d amtp.Domain) (gateway.SenderDomain, error) {
	return gateway.SenderDomain{Domain: d, FirstSeen: n.signed, LastSeen: n.signed, FirstSigned: n.signed,
		LastSigned: n.signed}, nil
}
func (nobody) NoteSenderDomain(context.Context, amtp.Domain, bool, time.Time) error { return nil }

var errDNS = errors.New("DNS is silent")

// bodies has a correctly signed message of far.example, and others.
func bodies(t *testing.T, now time.Time) (good, forged, unsigned string, key amtp.KeyRecord) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := amtp.NewSigner("k1", private)
	if err != nil {
		t.Fatal(err)
	}
	unsigned = fmt.Sprintf(
		`{"version":"1.0","message_id":"m1","idempotency_key":"k","timestamp":"%s","sender":"ann@far.example","recipients":["bob@ours.example"],"subject":"a"}`,
		now.UTC().Format(time.RFC3339),
	)
	signed, err := signer.Sign([]byte(unsigned))
	if err != nil {
		t.Fatal(err)
	}
	good = string(signed)
	return good, strings.Replace(good, `"subject":"a"`, `"subject":"b"`, 1), unsigned, signer.KeyRecord()
}

// TestCaller has each kind of message, from a domain that signs, one that does not, and
// one whose records cannot be read, under each policy. AMTP §9.
func TestCaller(t *testing.T) {
	now := time.Now()
	good, forged, unsigned, key := bodies(t, now)
	missing := &amtp.SignatureError{Reason: amtp.ReasonKeyMissing, Cause: amtp.ErrNoRecord}
	spent := fmt.Errorf("%w: for now", access.ErrBudget)
	const (
		verified = "verified"
		policy   = "taken under the policy"
	)
	required, invalid, key503, later := string(amtp.CodeSignatureRequired), string(amtp.CodeSignatureInvalid),
		string(amtp.CodeSignatureKeyUnavailable), string(amtp.CodeTemporaryFailure)
	for _, c := range []struct {
		what, body string
		keyErr     error
		// the decisions: under accept and flag, from a domain that does not sign and
		// from one whose records cannot be read; and where proof is needed
		free, unsure, held string
	}{
		{"signed", good, nil, verified, verified, verified},
		{"unsigned", unsigned, nil, policy, later, required},
		{"forged", forged, nil, policy, key503, invalid},
		{"without a key in DNS", good, missing, policy, key503, key503},
		{"DNS is silent", good, errDNS, policy, key503, key503},
		{"too many look-ups", good, spent, key503, key503, key503},
	} {
		for _, p := range []gateway.Policy{gateway.PolicyAccept, gateway.PolicyFlag, gateway.PolicyReject} {
			for _, domain := range []string{"signs", "signed", "does not", "unsure"} {
				records, memory := &known{signs: domain == "signs", key: key, keyErr: c.keyErr}, nobody{}
				want := c.held
				switch domain {
				case "unsure":
					if records.signsErr = errDNS; p != gateway.PolicyReject {
						want = c.unsure
					}
				case "does not":
					if p != gateway.PolicyReject {
						want = c.free
					}
				case "signed":
					memory.signed = now.Add(-29 * 24 * time.Hour)
				}
				m, refused := amtp.ParseMessage([]byte(c.body))
				if refused != nil {
					t.Fatal(refused)
				}
				peers := access.NewDomainVerifier(records, memory, p, slog.New(slog.DiscardHandler))
				caller, err := peers.Caller(t.Context(), m, "192.0.2.1", now)
				if refused = nil; err != nil {
					refused = gateway.Refusal(err)
				}
				got := policy
				switch {
				case refused != nil:
					got = string(refused.Code)
				case caller.Class() == gateway.ClassDomain:
					got = verified
				}
				if got != want || refused == nil && got == policy && caller.Found.Policy != p ||
					got == verified && caller.Found.Policy != "" {
					t.Errorf("%s, from a domain that %s, under %s: %s, %+v; want %s", c.what, domain, p, got,
						caller.Found, want)
				}
				if refused != nil && (refused.Details["result"] == nil || refused.Details["reason"] == nil ||
					(refused.RetryAfter > 0) != (got == key503 || got == later)) {
					t.Errorf("%s, from a domain that %s, under %s: details %v, wait %v", c.what, domain, p,
						refused.Details, refused.RetryAfter)
				}
			}
		}
	}
}

// TestSignedInAnotherTime: when the clock is wrong, a message of a domain that signs is
// too old or too young. It is not accepted as a stranger's, because it may be a retry.
func TestSignedInAnotherTime(t *testing.T) {
	now := time.Now()
	good, _, _, key := bodies(t, now)
	m, refused := amtp.ParseMessage([]byte(good))
	if refused != nil {
		t.Fatal(refused)
	}
	for _, off := range []time.Duration{400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		for _, signed := range []bool{true, false} {
			memory := nobody{}
			if signed {
				memory.signed = now.Add(-time.Hour)
			}
			peers := access.NewDomainVerifier(
				&known{key: key},
				memory,
				gateway.PolicyFlag,
				slog.New(slog.DiscardHandler),
			)
			_, refused := peers.Caller(t.Context(), m, "192.0.2.1", now.Add(off))
			if (refused != nil) != signed || refused != nil && gateway.CodeOf(refused) != amtp.CodeSignatureInvalid {
				t.Errorf("with a clock that is off by %v, from a domain that signed: %t: %v", off, signed, refused)
			}
		}
	}
}

// TestWhoHangsUp: when the caller ends the request, the message is refused as one to
// try again. It is not accepted as one whose key cannot be obtained.
func TestWhoHangsUp(t *testing.T) {
	now := time.Now()
	good, _, _, _ := bodies(t, now)
	m, refused := amtp.ParseMessage([]byte(good))
	if refused != nil {
		t.Fatal(refused)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	peers := access.NewDomainVerifier(&known{keyErr: context.Canceled}, nobody{}, gateway.PolicyFlag,
		slog.New(slog.DiscardHandler))
	if _, refused := peers.Caller(ctx, m, "192.0.2.1", now); refused == nil ||
		gateway.CodeOf(refused) != amtp.CodeSignatureKeyUnavailable {
		t.Errorf("got %v, want SIGNATURE_KEY_UNAVAILABLE", refused)
	}
}

// TestStrangersDoNotFillTheLog: every flagged message is counted, and few of them are
// logged: one an hour for each domain, and 60 in all.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	peers := access.NewDomainVerifier(&known{}, nobody{}, gateway.PolicyFlag, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Now()
	take := func(d string, again bool) {
		t.Helper()
		caller := gateway.Principal{Domain: amtp.Domain(d), Found: gateway.Finding{
			Authentication: amtp.Authentication{Result: amtp.AuthNone, Reason: string(amtp.ReasonUnsigned)},
			Policy:         gateway.PolicyFlag}}
		if err := peers.Taken(t.Context(), caller, again, now); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(want int, counted int64) {
		t.Helper()
		if got := strings.Count(log.String(), "level=WARN"); got != want || peers.Flagged().Unsigned != counted {
			t.Errorf("%d lines and %d counted, want %d and %d", got, peers.Flagged().Unsigned, want, counted)
		}
	}
	for range 100 {
		take("one.example", false)
	}
	take("one.example", true)
	lines(1, 100)
	for i := range 1000 {
		take(fmt.Sprintf("d%d.example", i), false)
	}
	lines(60, 1100)
	now = now.Add(time.Hour)
	take("one.example", false)
	lines(61, 1101)
}

// once is a Memory of one domain.
type once struct {
	nobody
	peer gateway.SenderDomain
}

func (o once) SenderDomain(context.Context, amtp.Domain) (gateway.SenderDomain, error) {
	return o.peer, nil
}

// TestNewlySigns: a domain may repeat messages that it sent before it signed, for as
// long as their keys are kept. The same holds for a domain that is not noted, since a
// process may have ended before it noted it.
func TestNewlySigns(t *testing.T) {
	now := time.Now()
	good, _, _, key := bodies(t, now)
	for what, c := range map[string]struct {
		seen, signed time.Time
		want         bool
	}{
		"nothing is known":            {want: true},
		"it wrote and has not signed": {seen: now, want: true},
		"it signed from the first":    {seen: now, signed: now, want: true},
		"it began to sign a minute later": {seen: now.Add(-time.Hour),
			signed: now.Add(-59 * time.Minute), want: true},
		"the clock went back before it signed": {seen: now, signed: now.Add(-4 * time.Minute), want: true},
		"it signs for long":                    {seen: now.Add(-1000 * time.Hour), signed: now.Add(-999 * time.Hour)},
	} {
		memory := once{peer: gateway.SenderDomain{Domain: "far.example", FirstSeen: c.seen, LastSeen: c.seen,
			FirstSigned: c.signed, LastSigned: c.signed}}
		peers := access.NewDomainVerifier(&known{key: key}, memory, gateway.PolicyFlag, slog.New(slog.DiscardHandler))
		m, refused := amtp.ParseMessage([]byte(good))
		if refused != nil {
			t.Fatal(refused)
		}
		p, err := peers.Caller(t.Context(), m, "192.0.2.1", now)
		if err != nil || p.NewlySigns != c.want {
			t.Errorf("%s: newly signs %v, %v; want %v", what, p.NewlySigns, err, c.want)
		}
	}
}
