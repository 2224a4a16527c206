package access

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ErrBudget means that strangers have caused so many look-ups that Records makes none
// on this account now.
var ErrBudget = errors.New("too many look-ups at this time")

// Records reads the DNS records that other domains publish. Both methods answer from
// memory where they can. The argument from is the address on whose account the question
// is asked. Questions of an address are limited: beyond that the error is ErrBudget. It
// carries the *amtp.Error that says when to try again where that address is at fault.
// An error that is no *amtp.SignatureError means that the answer is unknown now, and
// never that there is no record.
type Records interface {
	// Signs reports whether the domain publishes that it signs all its messages.
	Signs(ctx context.Context, from string, d amtp.Domain) (bool, error)
	// Key returns the key that the domain publishes under the selector. The error is a
	// *amtp.SignatureError when there certainly is no valid one.
	Key(ctx context.Context, from string, d amtp.Domain, selector string) (amtp.KeyRecord, error)
}

// Memory is the part of gateway.Store that a DomainVerifier needs.
type Memory interface {
	SenderDomain(context.Context, amtp.Domain) (gateway.SenderDomain, error)
	NoteSenderDomain(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error
}

// DomainVerifier finds out which domain's gateway calls, by the signature of the
// message that it sends. AMTP §9.
//
// A domain that signs must sign every message, whatever the policy: a message that does
// not verify is refused. While its key or its record cannot be read, the answer is to
// try again, and never that an unsigned message is accepted. For any other domain the
// policy decides on a message that does not verify.
type DomainVerifier struct {
	records Records
	memory  Memory
	policy  gateway.Policy
	recent  *recent
	flags   flags
	// Own is the domain of this gateway, "" for none. A domain below it looks like ours
	// to a reader, so that an unproven message from there is refused.
	Own amtp.Domain
}

// NewDomainVerifier returns a DomainVerifier with its sources and policy, and the log
// for flagged messages.
func NewDomainVerifier(r Records, m Memory, policy gateway.Policy, log *slog.Logger) *DomainVerifier {
	return &DomainVerifier{records: r, memory: m, policy: policy, recent: newRecent(), flags: newFlags(log)}
}

// retryLookup is how long a gateway is asked to wait for DNS.
const retryLookup = time.Minute

// Caller returns the domain that sends the message, with the finding about it. The
// error is that of the protocol for a message that does not verify where it must: 403
// when it is unsigned or its signature is wrong, 503 while the answer is unknown. AMTP
// §9.
func (p *DomainVerifier) Caller(ctx context.Context, m *amtp.Message, from string, now time.Time) (gateway.Principal,
	error) {
	domain := m.Sender.Domain()
	sig, err := p.verify(ctx, m, from, now)
	caller := gateway.Principal{Domain: domain, Found: gateway.Finding{Authentication: sig.Authentication(err)}}
	refused := p.proven(ctx, &caller, now)
	switch {
	case errors.Is(err, ErrBudget), unknown(&caller) && ctx.Err() != nil: // the key was not looked up
		if refused = overBudget(&caller, err); refused == nil {
			refused = refuse(&caller, err)
		}
	case err != nil:
		refused = p.unproven(ctx, &caller, from, now, err)
	}
	if refused != nil {
		return gateway.Principal{}, refused
	}
	// A message that proves nothing is always a first contact. For other messages the
	// store knows which sender has written to which agent.
	caller.Found.FirstContact = caller.Class() != gateway.ClassDomain
	return caller, nil
}

// Taken notes that a message of the caller is stored; again says that it was known
// already. For a message that proved nothing it stores that its domain did not sign
// yet. When the domain begins to sign, its retries are still recognised. Where the
// policy is to flag such messages, the message is flagged.
func (p *DomainVerifier) Taken(ctx context.Context, caller gateway.Principal, again bool, now time.Time) error {
	if caller.Domain == "" || caller.Class() == gateway.ClassDomain {
		return nil
	}
	if !again && caller.Found.Policy == gateway.PolicyFlag {
		p.flags.raise(ctx, &caller, now)
	}
	known, err := p.memory.SenderDomain(ctx, caller.Domain)
	if err == nil && known.Learns(false, now) {
		err = p.memory.NoteSenderDomain(ctx, caller.Domain, false, now)
	}
	return err
}

// proven notes that the domain signs, before anything else is done for it.
func (p *DomainVerifier) proven(ctx context.Context, caller *gateway.Principal, now time.Time) error {
	if caller.Class() != gateway.ClassDomain {
		return nil
	}
	known, remembered := p.recent.peer(caller.Domain, now)
	if !remembered {
		var err error
		if known, err = p.memory.SenderDomain(ctx, caller.Domain); err != nil {
			return err
		}
	}
	// This includes a domain without any record: a process may end between accepting a
	// message and noting its sender.
	caller.NewlySigns = known.FirstSigned.IsZero() || now.Sub(known.FirstSigned) < gateway.MinKeys
	caller.Settled, caller.Familiar = known.Settled(now), known.Familiar(now)
	if known.Learns(true, now) {
		if err := p.memory.NoteSenderDomain(ctx, caller.Domain, true, now); err != nil {
			return err
		}
	} else if !remembered {
		p.recent.notePeer(caller.Domain, known, now)
	}
	return nil
}

// verify checks the signature step by step. With an error it returns the part of the
// signature that could be read.
func (p *DomainVerifier) verify(
	ctx context.Context,
	m *amtp.Message,
	from string,
	now time.Time,
) (amtp.Signature, error) {
	sig, err := amtp.ParseSignature(m)
	if err != nil {
		return sig, err
	}
	if err := amtp.CheckTimestamp(m.Timestamp.Time, now); err != nil {
		return sig, err // before a look-up for the message
	}
	key, err := p.records.Key(ctx, from, sig.Domain, sig.Selector)
	if err != nil {
		return sig, err
	}
	return sig, sig.Verify(key)
}

// unproven decides on a message without a valid signature.
func (p *DomainVerifier) unproven(ctx context.Context, caller *gateway.Principal, from string, now time.Time,
	why error) error {
	if p.Own != "" && strings.HasSuffix(string(caller.Domain), "."+string(p.Own)) {
		return refuse(caller, why) // before a look-up for the message
	}
	known, err := p.memory.SenderDomain(ctx, caller.Domain)
	if err != nil {
		return err
	}
	// When the clock is wrong, every signature is too old or too young, and no domain
	// has signed lately. A retry would be accepted again, as a stranger's message.
	held := known.Sticks(now) || untimely(caller) && !known.FirstSigned.IsZero()
	if !held && p.policy != gateway.PolicyReject {
		if held, err = p.records.Signs(ctx, from, caller.Domain); err != nil {
			return undecided(caller, err)
		}
	}
	if held || p.policy == gateway.PolicyReject {
		return refuse(caller, why)
	}
	caller.Found.Policy = p.policy
	return nil
}

// untimely reports whether the signature is too old or too young.
func untimely(caller *gateway.Principal) bool {
	reason := amtp.Reason(caller.Found.Reason)
	return reason == amtp.ReasonExpired || reason == amtp.ReasonNotYetValid
}

// unknown reports whether the key could not be looked up.
func unknown(caller *gateway.Principal) bool {
	return caller.Found.Reason == string(amtp.ReasonKeyUnavailable)
}

// refuse returns the refusal of a message that proves nothing where it must, with the
// reason. AMTP §9.
func refuse(caller *gateway.Principal, why error) error {
	d, reason := caller.Domain, amtp.Reason(caller.Found.Reason)
	switch reason.Verification() {
	case amtp.SenderUnsigned:
		return about(caller, amtp.Errorf(amtp.CodeSignatureRequired,
			"A message from %s needs the signature of its domain, and this one has none.", d))
	case amtp.SenderKeyUnavailable:
		e := amtp.Errorf(amtp.CodeSignatureKeyUnavailable,
			"The key of %s that checks the signature cannot be obtained now: %s. Try again.", d, reason)
		if !unknown(caller) {
			why = nil // DNS has said that there is none
		}
		return later(about(caller, e), why)
	}
	return about(caller, amtp.Errorf(amtp.CodeSignatureInvalid,
		"The signature of this message from %s does not verify: %s.", d, reason))
}

// overBudget returns the answer to a caller that has caused look-ups for too many
// domains, with the time to try again. It is nil for any other error. AMTP §11.
func overBudget(caller *gateway.Principal, err error) error {
	var limited *amtp.Error
	if !errors.Is(err, ErrBudget) || !errors.As(err, &limited) {
		return nil
	}
	return about(caller, limited)
}

// undecided returns the answer while it is unknown whether the domain signs all its
// messages.
func undecided(caller *gateway.Principal, cause error) error {
	if limited := overBudget(caller, cause); limited != nil {
		return limited
	}
	code := amtp.CodeTemporaryFailure
	if amtp.Reason(caller.Found.Reason) != amtp.ReasonUnsigned {
		code = amtp.CodeSignatureKeyUnavailable
	}
	return later(about(caller, amtp.Errorf(code,
		"The records of %s cannot be read now, so nothing shows who sends this. Try again.", caller.Domain)), cause)
}

// about adds the finding to an answer.
func about(caller *gateway.Principal, e *amtp.Error) *amtp.Error {
	reason := amtp.Reason(caller.Found.Reason)
	return e.With("result", reason.Verification()).With("reason", reason)
}

// later makes the caller wait for DNS.
func later(e *amtp.Error, cause error) *amtp.Error {
	e.RetryAfter, e.Cause = retryLookup, cause
	return e
}
