package access

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Records reads what other domains publish. Both answer from memory where they
// can; from is the address on whose account the question is asked, whose
// questions are limited. An error that is no *amtp.SignatureError means that
// nobody can say now, and never that there is nothing.
type Records interface {
	// Signs reports whether the domain publishes that it signs all it sends.
	Signs(ctx context.Context, from string, d amtp.Domain) (bool, error)
	// Key returns the key that the domain publishes under the selector. The
	// error is a *amtp.SignatureError when there certainly is none that counts.
	Key(ctx context.Context, from string, d amtp.Domain, selector string) (amtp.KeyRecord, error)
}

// Memory is what Peers needs of gateway.Store.
type Memory interface {
	Peer(context.Context, amtp.Domain) (gateway.Peer, error)
	NotePeer(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error
	KnownSender(context.Context, amtp.Address) (bool, error)
}

// Policy says what becomes of a message whose domain proves nothing and is not
// known to sign.
type Policy string

// The policies.
const (
	PolicyAccept Policy = "accept" // it is taken as unverified
	PolicyFlag   Policy = "flag"   // it is taken as unverified, with the reason beside it
	PolicyReject Policy = "reject" // it is refused with 401
)

// Peers finds out which domain's gateway calls, by the signature of the message
// that it brings. AMTP §9.
//
// A domain that signs is held to it: what does not verify is refused, and when
// its key cannot be looked up the answer is to come again, never that an
// unsigned message will do.
type Peers struct {
	Records Records
	Memory  Memory
	Policy  Policy
}

// retryLookup is what a gateway is asked to wait for DNS.
const retryLookup = time.Minute

// Caller returns the domain that sends the message, with what it proved. The
// error is 401 for a message that does not verify where it must, and 503 when
// nobody can say now.
func (p *Peers) Caller(ctx context.Context, m *amtp.Message, from string, now time.Time) (gateway.Principal, *amtp.Error) {
	domain := m.Sender.Domain()
	known, err := p.Memory.Peer(ctx, domain)
	if err != nil {
		return gateway.Principal{}, gateway.Refusal(err)
	}
	sig, err := p.verify(ctx, m, from, now)
	auth := sig.Authentication(err)
	if auth.Result == "temperror" {
		return gateway.Principal{}, unavailable(domain, auth.Reason, err)
	}
	caller := gateway.Principal{Domain: domain, Authentication: auth}
	if err == nil {
		caller.NewlySigns = known.FirstSigned.IsZero() || now.Sub(known.FirstSigned) < gateway.MinKeys
		if known.Learns(true, now) {
			err = p.Memory.NotePeer(ctx, domain, true, now)
		}
		if err != nil {
			return gateway.Principal{}, gateway.Refusal(err)
		}
	} else if refused := p.unproven(ctx, &caller, known, from, now); refused != nil {
		return gateway.Principal{}, refused
	}
	wrote, err := p.Memory.KnownSender(ctx, m.Sender)
	if err != nil {
		return gateway.Principal{}, gateway.Refusal(err)
	}
	caller.Authentication.FirstContact = !wrote
	return caller, nil
}

// verify takes the signature through its steps. What could be read of it is
// returned with the error.
func (p *Peers) verify(ctx context.Context, m *amtp.Message, from string, now time.Time) (amtp.Signature, error) {
	sig, err := amtp.ParseSignature(m)
	if err != nil {
		return sig, err
	}
	if err := amtp.CheckTimestamp(m.Timestamp.Time, now); err != nil {
		return sig, err // before a look-up for it
	}
	key, err := p.Records.Key(ctx, from, sig.Domain, sig.Selector)
	if err != nil {
		return sig, err
	}
	return sig, sig.Verify(key)
}

// unproven decides on a message without a signature that verifies.
func (p *Peers) unproven(ctx context.Context, caller *gateway.Principal, known gateway.Peer, from string, now time.Time) *amtp.Error {
	held := !known.LastSigned.IsZero() && now.Sub(known.LastSigned) < gateway.Sticky
	if !held && p.Policy != PolicyReject {
		signs, err := p.Records.Signs(ctx, from, caller.Domain)
		if err != nil {
			return unavailable(caller.Domain, caller.Authentication.Reason, err)
		}
		held = signs
	}
	reason := caller.Authentication.Reason
	switch {
	case held:
		return unauthenticated(reason, "%s signs what it sends, and this message does not verify: %s.", caller.Domain, reason)
	case p.Policy == PolicyReject:
		return unauthenticated(reason, "This gateway takes signed messages only, and this one does not verify: %s.", reason)
	case p.Policy == PolicyAccept:
		caller.Authentication.Reason = ""
	}
	return nil
}

func unauthenticated(reason, format string, args ...any) *amtp.Error {
	return amtp.Errorf(amtp.CodeAuthenticationFailed, format, args...).With("reason", reason)
}

// unavailable is the answer while a domain's records cannot be read. The reason
// is why the message itself shows nothing.
func unavailable(d amtp.Domain, reason string, cause error) *amtp.Error {
	e := amtp.Errorf(amtp.CodeTemporaryFailure, "The records of %s cannot be read now, so nothing shows who sends this. Try again.", d).With("reason", reason)
	e.RetryAfter, e.Cause = retryLookup, cause
	var slow interface{ RetryAfter() time.Duration }
	if errors.As(cause, &slow) && slow.RetryAfter() > 0 {
		e.RetryAfter = slow.RetryAfter()
	}
	return e
}
