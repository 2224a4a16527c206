// Package intake is the only way of a message into the gateway, whatever protocol
// brings it. Receive takes a caller's message through five steps: verify, who, checks,
// commit, note. Accept has the steps from who to commit, for a principal that is known
// already, such as the gateway itself.
//
// Accept returns a result, or an error. With a result, the message is on stable storage
// for every recipient that it lists as accepted. With an error, nothing was stored. It
// does no DNS and opens no connection: only the verifier of Receive waits for other
// domains.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Store is the part of gateway.Store that an Intake needs.
type Store interface {
	Accept(context.Context, gateway.Acceptance) (gateway.Accepted, error)
	AgentNamed(context.Context, amtp.Address) (*gateway.Agent, error)
	Agent(gateway.AgentID) (*gateway.Agent, error)
	Paused() time.Time
}

// Intake accepts messages for one domain.
type Intake struct {
	Store  Store
	Domain amtp.Domain
	Now    func() time.Time
	// Federated says that agents here may write to other domains, and other domains to
	// agents here. A gateway without a domain of its own has no address for that.
	Federated bool
	// Verifier finds the domain that sends a message; nil where no other domain may.
	Verifier Verifier
	// Checks are called in this order for each message. Schema, policy and budgets plug
	// in here.
	Checks []Check
	// Sizes knows which sizes other gateways accept; nil knows none.
	Sizes Sizes
	// Receipts takes the payload of receipts for our messages from a domain that proved
	// that it sent them; nil where no receipts are accepted.
	Receipts func(ctx context.Context, from amtp.Domain, payload json.RawMessage) error
	// Limits bounds the volume; nil bounds nothing.
	Limits Limits
	// Heard is called with each domain from whose gateway a message was accepted; nil
	// calls nothing. It must not wait.
	Heard func(amtp.Domain)
}

// Limits decides whether the volume of a message is within the limits of its sender.
// limits.Limits is one.
type Limits interface {
	// Early decides on a caller without a credential, by its address, before any part
	// of its message is read.
	Early(from netip.Addr) *amtp.Error
	// Admit decides on a message for these inboxes and this number of other recipients.
	// It returns why the whole message is refused, or else why each of the inboxes
	// refuses it, nil for those that accept it. It counts accepted messages.
	Admit(p *gateway.Principal, m *amtp.Message, inboxes []amtp.Address, others int) ([]*amtp.Error, *amtp.Error)
	// Failed counts a message that was refused for a reason other than its volume.
	Failed(p *gateway.Principal, recipients int, bytes int64)
	// Tried counts, for Early alone, a message that was read and refused.
	Tried(from netip.Addr, recipients int, bytes int64)
}

// Sizes says whether another gateway accepts the size of a message. courier.Remote is
// one. It makes no request.
type Sizes interface {
	// Most returns the largest size in bytes that the gateway of the domain accepts, 0
	// when it is unknown.
	Most(amtp.Domain) int64
	// Size returns the size of the message in transit in bytes, 0 when it cannot be
	// computed.
	Size(*amtp.Message, amtp.PeerEnvelope) int64
}

// clockTolerance is how far a sender's clock may be off for its timestamp to count.
// Beyond it the gateway's clock counts, so that a retry days later is not stale.
const clockTolerance = 10 * time.Minute

// Accept accepts a message from the principal. Recipients that cannot be served are in
// the result as failed, together with the accepted ones. When none was accepted, now or
// before, the error says why and has the result. Another gateway gets the error as well
// when all recipients that it asks for have failed here. The result names the message
// as its sender knows it: by our id for senders here, by their own id for another
// domain.
func (in *Intake) Accept(ctx context.Context, p gateway.Principal, m *amtp.Message,
	request gateway.RequestID) (*amtp.SendResult, error) {
	if in.isReceipts(p, m) {
		return in.receipts(ctx, p, m)
	}
	sender, refused := in.sender(ctx, p, m.Sender)
	if refused != nil {
		return nil, refused
	}
	if refused := checkContent(p, m); refused != nil {
		return nil, refused
	}
	if !in.Store.Paused().IsZero() { // before a restored directory reveals which agents exist
		return nil, gateway.ErrPaused
	}
	now := in.Now()
	list := in.resolve(ctx, p, m.Recipients, now)
	if err := list.fault(); err != nil {
		return nil, err
	}
	if err := list.checkExpanded(); err != nil {
		return nil, err
	}
	later, tooFar, err := in.later(p, m, sender, now)
	if err != nil {
		return nil, err
	}
	envelope := in.envelope(p, m, sender, request, now)
	if refused := in.check(ctx, &Candidate{&p, m, &envelope, list}); refused != nil {
		return nil, refused
	}
	chosen := list.chosen()
	if tooFar != nil {
		chosen = nil // only an earlier message is recognised
	}
	accepted, err := in.Store.Accept(ctx, gateway.Acceptance{
		Envelope:   envelope,
		By:         p.Acting(),
		Key:        m.IdempotencyKey,
		Message:    m,
		Recipients: chosen,
		Unsigned:   p.Class() == gateway.ClassDomain && p.NewlySigns,
		Later:      later,
	})
	switch {
	case err == nil:
		result := named(list.result(accepted, p), p, m.MessageID)
		if list.nothing(accepted, p) {
			return nil, list.refusal(m)
		}
		if in.Heard != nil && p.Domain != "" {
			in.Heard(p.Domain)
		}
		return result, nil
	case errors.Is(err, gateway.ErrNotFound) && tooFar != nil:
		return nil, tooFar
	case errors.Is(err, gateway.ErrNotFound):
		list.vanished()
		return nil, list.refusal(m)
	}
	return nil, err
}

// named sets the message id that the caller knows: a gateway of another domain looks
// for the id that it sent.
func named(r *amtp.SendResult, p gateway.Principal, given amtp.MessageID) *amtp.SendResult {
	if p.Domain != "" && given != "" && given != r.MessageID {
		r.MessageID, r.LocalID = given, r.MessageID
	}
	return r
}

// writer is the sender of a message, as it is stored.
type writer struct {
	address amtp.Address
	agent   gateway.AgentID // 0 for another domain's, and for the gateway itself
	author  gateway.AgentID // the member that writes for a shared mailbox, else 0
}

// sender decides whether the principal may write as the address. It looks at the
// authenticated caller, never at the claim. AMTP §9.
func (in *Intake) sender(ctx context.Context, p gateway.Principal, claimed amtp.Address) (writer, error) {
	local := in.isOurs(claimed.Domain())
	switch {
	case p.Gateway:
		return writer{address: claimed}, nil
	case p.Agent != nil && p.Agent.Address.Equal(in.home(claimed)):
		return writer{address: p.Agent.Address, agent: p.Agent.ID}, nil
	case p.Agent != nil:
		if box, ok, err := in.mailbox(ctx, p.Agent, claimed); ok || err != nil {
			return box, err
		}
		return writer{}, amtp.Errorf(amtp.CodeSenderCredentialMismatch, "This key belongs to %s and cannot send as %s.",
			p.Agent.Address, claimed)
	case p.Admin:
		return writer{}, amtp.Errorf(amtp.CodeAccessDenied,
			"The admin key does not send messages; show the key of the agent %s.", claimed)
	case !local:
		return in.stranger(p, claimed)
	case !p.Development:
		return writer{}, amtp.Errorf(amtp.CodeLocalSenderAuthRequired,
			"Sending needs the sender's key: Authorization: Bearer KEY").
			With("required_header", "Authorization: Bearer <api-key>")
	}
	agent, err := in.Store.AgentNamed(ctx, in.home(claimed))
	if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		return writer{}, err
	}
	if err != nil || gateway.IsReserved(claimed.Local()) {
		return writer{}, amtp.Errorf(amtp.CodeAccessDenied,
			"There is no agent %s here to send as. Register it: amtp setup --name %s", claimed, claimed.Local())
	}
	return writer{address: agent.Address, agent: agent.ID}, nil
}

// mailbox returns the shared mailbox with the address as the sender, and ok when the
// agent is a member of it.
func (in *Intake) mailbox(ctx context.Context, member *gateway.Agent, claimed amtp.Address) (w writer, ok bool,
	err error) {
	box, err := in.Store.AgentNamed(ctx, in.home(claimed))
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return w, false, nil
	case err != nil:
		return w, false, err
	case box.Kind != gateway.SharedMailbox || !box.Has(member.ID):
		return w, false, nil
	}
	return writer{address: box.Address, agent: box.ID, author: member.ID}, true, nil
}

// stranger decides whether the caller may write as an address of another domain.
// Package access must have found that the domain's gateway calls.
func (in *Intake) stranger(p gateway.Principal, claimed amtp.Address) (writer, error) {
	switch {
	case !in.Federated:
		return writer{}, amtp.Errorf(amtp.CodeAccessDenied,
			"This gateway serves %s only and takes no messages from other domains; %s cannot send here. Its operator gives it a domain with server.domain.",
			in.Domain, claimed)
	case p.Domain != claimed.Domain():
		return writer{}, amtp.Errorf(amtp.CodeAuthenticationFailed, "Nothing shows that this comes from %s.",
			claimed.Domain())
	}
	return writer{address: claimed}, nil
}

// isOurs reports whether this gateway serves the domain. localhost always means this
// gateway to those who can reach it.
func (in *Intake) isOurs(d amtp.Domain) bool { return d == in.Domain || d == gateway.Localhost }

// home returns the address under which this gateway keeps one of its agents.
func (in *Intake) home(a amtp.Address) amtp.Address { return gateway.AtHome(a, in.Domain) }

// checkContent refuses content that the protocol allows and this gateway cannot handle
// as promised. A message from another domain's gateway is not checked: that gateway
// does the coordination, and here the message is delivered like any other.
func checkContent(p gateway.Principal, m *amtp.Message) error {
	if p.Domain != "" {
		return nil
	}
	if m.Coordination != nil {
		return amtp.Errorf(amtp.CodeCoordinationFailed,
			"Workflows are not available on this gateway yet; send the message without coordination.")
	}
	for _, a := range m.Attachments {
		if strings.HasPrefix(a.Hash, "md5:") {
			return amtp.Errorf(amtp.CodeInvalidMessage,
				"The hash of attachment %q is md5, which proves nothing; use sha256.", a.Filename)
		}
	}
	return nil
}

func (in *Intake) envelope(p gateway.Principal, m *amtp.Message, from writer, request gateway.RequestID,
	now time.Time) gateway.Envelope {
	e := gateway.Envelope{
		ID:          amtp.NewMessageID(),
		GivenID:     m.MessageID,
		Sender:      from.address,
		SenderAgent: from.agent,
		Class:       p.Class(),
		Found:       gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthNone}},
		ReceivedAt:  now,
		Timestamp:   now,
		Subject:     m.Subject,
		InReplyTo:   m.InReplyTo,
		Author:      from.author,
		RequestID:   request,
	}
	switch {
	case e.Class == gateway.ClassAgent, e.Class == gateway.ClassGateway:
		e.Found.Result = amtp.AuthPass
	case p.Domain != "":
		e.Found = p.Found
	}
	if off := m.Timestamp.Sub(now).Abs(); !m.Timestamp.IsZero() && off <= clockTolerance {
		e.Timestamp = m.Timestamp.Time
	}
	return e
}
