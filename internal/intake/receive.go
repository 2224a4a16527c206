package intake

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Arrival is a message that a caller brings, whatever protocol brought it.
type Arrival struct {
	Message *amtp.Message
	// Principal is the caller as its credentials show it, the zero value except for
	// Principal.From when it showed none.
	Principal gateway.Principal
	// From is the address of the caller. Look-ups for the message are made on its
	// account.
	From    string
	Request gateway.RequestID
	// Proven is called when the signature of the message verifies, before the message
	// is stored; nil calls nothing. It must not wait.
	Proven func()
}

// Received is the result of an Arrival.
type Received struct {
	*amtp.SendResult
	Caller gateway.Principal // the sender, as it was found
	// Unnoted is why the domain of a message without a signature was not noted; nil when
	// it was. The message is stored all the same.
	Unnoted error
}

// Verifier finds the domain whose gateway sends a message. access.DomainVerifier is
// one.
type Verifier interface {
	// Caller returns the domain that sends the message, and what it proves; or the
	// refusal of a message that does not verify where it must.
	Caller(ctx context.Context, m *amtp.Message, from string, now time.Time) (gateway.Principal, error)
	// Taken notes that a message of the caller is stored; again says that it was known
	// before.
	Taken(ctx context.Context, caller gateway.Principal, again bool, now time.Time) error
}

// Early decides on a caller before any part of its message is read. It never refuses a
// caller that showed a credential. AMTP §11.
func (in *Intake) Early(p *gateway.Principal) error {
	if in.Limits == nil || !p.Stranger() {
		return nil
	}
	if refused := in.Limits.Early(p.From); refused != nil {
		return refused
	}
	return nil
}

// Receive accepts a message from a caller. It is the whole way of a message into the
// gateway, in this order, and the first step that refuses the message ends it:
//
//   - verify: a message of another domain is refused when it has no recipient here,
//     before any look-up for it; then its signature is checked;
//   - who: the sender is the caller, or the message is refused;
//   - checks: see Check;
//   - commit: the message is stored, or recognised as one that is;
//   - note: the verifier hears that the message of a domain was stored.
//
// Accept does the steps from who to commit, and the answer is as there.
func (in *Intake) Receive(ctx context.Context, a Arrival) (Received, error) {
	caller, refused := in.Verify(ctx, a)
	var result *amtp.SendResult
	if refused == nil {
		result, refused = in.Accept(ctx, caller, a.Message, a.Request)
	}
	if refused != nil {
		in.refused(&a.Principal, &caller, len(a.Message.Recipients), int64(len(a.Message.Raw())), refused)
		return Received{Caller: caller}, refused
	}
	r := Received{SendResult: result, Caller: caller}
	if in.Verifier != nil {
		r.Unnoted = in.Verifier.Taken(context.WithoutCancel(ctx), caller, result.Replayed, in.Now())
	}
	return r, nil
}

// Verify returns the sender of a message: the caller that showed a credential, or else
// the gateway of the sender's domain.
func (in *Intake) Verify(ctx context.Context, a Arrival) (gateway.Principal, error) {
	p := a.Principal
	if p.Agent != nil || p.Admin || in.Verifier == nil || in.isOurs(a.Message.Sender.Domain()) {
		return p, nil
	}
	if refused := in.passing(ctx, a.Message); refused != nil {
		return p, refused
	}
	from := p.From
	p, refused := in.Verifier.Caller(ctx, a.Message, a.From, in.Now())
	if p.From = from; p.Class() == gateway.ClassDomain && a.Proven != nil {
		a.Proven()
	}
	return p, refused
}

// Unread counts a message of this size that was refused before Receive, because it
// could not be read.
func (in *Intake) Unread(p *gateway.Principal, bytes int64, refused error) {
	in.refused(p, p, 0, bytes, refused)
}

// refused counts a message that was refused. A caller without a credential uses up as
// much of its network's budget as for an accepted message. A message is not counted
// when the gateway is at fault, or has counted it already. AMTP §11.
func (in *Intake) refused(shown, caller *gateway.Principal, recipients int, bytes int64, why error) {
	if in.Limits == nil || !shown.Stranger() {
		return
	}
	code := gateway.CodeOf(why)
	if gateway.AtFault(code) {
		return
	}
	if code != amtp.CodeRateLimitExceeded {
		in.Limits.Failed(caller, recipients, bytes)
	}
	if bytes > 0 {
		in.Limits.Tried(shown.From, recipients, bytes)
	}
}
