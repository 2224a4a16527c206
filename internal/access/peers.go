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
	records Records
	memory  Memory
	policy  Policy
	recent  *recent
}

// NewPeers returns the Peers with what they ask.
func NewPeers(r Records, m Memory, policy Policy) *Peers {
	return &Peers{records: r, memory: m, policy: policy, recent: newRecent()}
}

// retryLookup is what a gateway is asked to wait for DNS.
const retryLookup = time.Minute

// Caller returns the domain that sends the message, with what it proved. The
// error is 401 for a message that does not verify where it must, and 503 when
// nobody can say now.
func (p *Peers) Caller(ctx context.Context, m *amtp.Message, from string, now time.Time) (gateway.Principal, *amtp.Error) {
	domain := m.Sender.Domain()
	sig, err := p.verify(ctx, m, from, now)
	auth := sig.Authentication(err)
	if auth.Result == amtp.AuthTempError {
		return gateway.Principal{}, unavailable(domain, auth.Reason, err)
	}
	caller := gateway.Principal{Domain: domain, Authentication: auth}
	refused := p.proven(ctx, &caller, now)
	if err != nil {
		refused = p.unproven(ctx, &caller, from, now)
	}
	if refused == nil {
		caller.Authentication.FirstContact, refused = p.isNew(ctx, m.Sender, now)
	}
	if refused != nil {
		return gateway.Principal{}, refused
	}
	return caller, nil
}

// Taken notes that a message of the caller is stored. Of one that proved nothing
// it is remembered that its domain did not sign yet: when it begins to, its
// retries are still known.
func (p *Peers) Taken(ctx context.Context, caller gateway.Principal, now time.Time) error {
	if caller.Domain == "" || caller.Class() == gateway.ClassDomain {
		return nil
	}
	known, err := p.memory.Peer(ctx, caller.Domain)
	if err == nil && known.Learns(false, now) {
		err = p.memory.NotePeer(ctx, caller.Domain, false, now)
	}
	return err
}

// proven notes that the domain signs, before anything is done for it.
func (p *Peers) proven(ctx context.Context, caller *gateway.Principal, now time.Time) *amtp.Error {
	if caller.Class() != gateway.ClassDomain {
		return nil
	}
	known, remembered := p.recent.peer(caller.Domain, now)
	if !remembered {
		var err error
		if known, err = p.memory.Peer(ctx, caller.Domain); err != nil {
			return gateway.Refusal(err)
		}
	}
	unsigned := !known.FirstSeen.IsZero() && (known.FirstSigned.IsZero() || known.FirstSeen.Before(known.FirstSigned))
	caller.NewlySigns = unsigned && (known.FirstSigned.IsZero() || now.Sub(known.FirstSigned) < gateway.MinKeys)
	if known.Learns(true, now) {
		if err := p.memory.NotePeer(ctx, caller.Domain, true, now); err != nil {
			return gateway.Refusal(err)
		}
	} else if !remembered {
		p.recent.notePeer(caller.Domain, known, now)
	}
	return nil
}

// isNew reports whether the address never wrote here before.
func (p *Peers) isNew(ctx context.Context, sender amtp.Address, now time.Time) (bool, *amtp.Error) {
	if p.recent.wrote(sender, now) {
		return false, nil
	}
	wrote, err := p.memory.KnownSender(ctx, sender)
	if err != nil {
		return false, gateway.Refusal(err)
	}
	if wrote {
		p.recent.noteSender(sender, now)
	}
	return !wrote, nil
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
	key, err := p.records.Key(ctx, from, sig.Domain, sig.Selector)
	if err != nil {
		return sig, err
	}
	return sig, sig.Verify(key)
}

// unproven decides on a message without a signature that verifies.
func (p *Peers) unproven(ctx context.Context, caller *gateway.Principal, from string, now time.Time) *amtp.Error {
	known, err := p.memory.Peer(ctx, caller.Domain)
	if err != nil {
		return gateway.Refusal(err)
	}
	held := !known.LastSigned.IsZero() && now.Sub(known.LastSigned) < gateway.Sticky
	if !held && p.policy != PolicyReject {
		signs, err := p.records.Signs(ctx, from, caller.Domain)
		if err != nil {
			return unavailable(caller.Domain, caller.Authentication.Reason, err)
		}
		held = signs
	}
	reason := caller.Authentication.Reason
	switch {
	case held:
		return unauthenticated(reason, "%s signs what it sends, and this message does not verify: %s.", caller.Domain, reason)
	case p.policy == PolicyReject:
		return unauthenticated(reason, "This gateway takes signed messages only, and this one does not verify: %s.", reason)
	case p.policy == PolicyAccept:
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
