// Package intake is the only way of a message into the gateway, whatever protocol
// brings it. Receive takes what a caller brings: verify, who, checks, commit, note.
// Accept is the part from who to commit, for a principal that is known already, such
// as the gateway itself.
//
// Accept either returns what is on stable storage for every recipient that it
// lists as taken, or an error and nothing was stored. It does no DNS and opens
// no connection: only the verifier of Receive waits for other domains.
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
	// Federated says that agents here may write to other domains, and those to
	// agents here. A gateway without a domain of its own has no name for that.
	Federated bool
	// Verifier finds the domain that brings a message; nil where no other domain may.
	Verifier Verifier
	// Checks are asked in this order about each message. Schema, policy and budgets
	// plug in here.
	Checks []Check
	// Sizes says what other gateways take; nil knows nothing of them.
	Sizes Sizes
	// Receipts takes the payload of what a domain, which proved that it wrote, tells
	// of our messages; nil where nothing is told.
	Receipts func(ctx context.Context, from amtp.Domain, payload json.RawMessage) error
	// Limits bounds the volume; nil bounds nothing.
	Limits Limits
	// Heard is called with each domain from whose gateway a message was taken; nil calls
	// nothing. It must not wait.
	Heard func(amtp.Domain)
}

// Limits decides whether the volume of a message is within what its sender may cause.
// limits.Limits is one.
type Limits interface {
	// Early decides on a caller without a credential, by its address, before anything of
	// its message is read.
	Early(from netip.Addr) *amtp.Error
	// Admit decides on a message for these inboxes and so many other recipients. It
	// returns why the message is not taken at all, or else why each of the inboxes does
	// not take it, nil for those that do. What is taken is counted.
	Admit(p *gateway.Principal, m *amtp.Message, inboxes []amtp.Address, others int) ([]*amtp.Error, *amtp.Error)
	// Failed counts a message that was refused for another reason than its volume.
	Failed(p *gateway.Principal, recipients int, bytes int64)
	// Tried counts, for Early alone, a message that was read and is not taken.
	Tried(from netip.Addr, recipients int, bytes int64)
}

// Sizes says whether a message fits through the door of another gateway.
// courier.Remote is one. It asks nobody.
type Sizes interface {
	// Most returns how many bytes the gateway of the domain takes, 0 when that is
	// not known.
	Most(amtp.Domain) int64
	// Size returns how many bytes the message has on its way, 0 when that cannot be
	// told.
	Size(*amtp.Message, amtp.PeerEnvelope) int64
}

// clockTolerance is how far a sender's clock may be off for its timestamp to
// stand. Beyond it ours counts, so that a retry days later is not stale.
const clockTolerance = 10 * time.Minute

// Accept takes a message from the principal. Recipients that cannot be served
// stand in the result as failed beside those that were taken; when none was
// taken, now or before, the error says why and carries the result. Another
// gateway hears the error as well when all that it asks for has failed here. The result names the message
// as its sender knows it: by our id for those here, by the one it gave for
// another domain.
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
	if !in.Store.Paused().IsZero() { // before a restored directory says who exists
		return nil, gateway.ErrPaused
	}
	now := in.Now()
	list := in.resolve(ctx, p, m.Recipients, now)
	if err := list.fault(); err != nil {
		return nil, err
	}
	envelope := in.envelope(p, m, sender, request, now)
	if refused := in.check(ctx, &Candidate{&p, m, &envelope, list}); refused != nil {
		return nil, refused
	}
	accepted, err := in.Store.Accept(ctx, gateway.Acceptance{
		Envelope:   envelope,
		By:         p.Acting(),
		Key:        m.IdempotencyKey,
		Message:    m,
		Recipients: list.chosen(),
		Unsigned:   p.Class() == gateway.ClassDomain && p.NewlySigns,
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
	case errors.Is(err, gateway.ErrNotFound):
		list.vanished()
		return nil, list.refusal(m)
	}
	return nil, err
}

// named names the message as the caller knows it: a gateway of another domain
// looks for the id that it sent.
func named(r *amtp.SendResult, p gateway.Principal, given amtp.MessageID) *amtp.SendResult {
	if p.Domain != "" && given != "" && given != r.MessageID {
		r.MessageID, r.LocalID = given, r.MessageID
	}
	return r
}

// writer is who wrote a message, as it is kept.
type writer struct {
	address amtp.Address
	agent   gateway.AgentID // 0 for another domain's, and for the gateway itself
}

// sender decides whether the principal may write as the address. It looks at who
// authenticated, never at what is claimed. AMTP §9.
func (in *Intake) sender(ctx context.Context, p gateway.Principal, claimed amtp.Address) (writer, error) {
	local := in.isOurs(claimed.Domain())
	switch {
	case p.Gateway:
		return writer{address: claimed}, nil
	case p.Agent != nil && p.Agent.Address.Equal(in.home(claimed)):
		return writer{p.Agent.Address, p.Agent.ID}, nil
	case p.Agent != nil:
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
	return writer{agent.Address, agent.ID}, nil
}

// stranger decides whether the caller may write as an address of another domain:
// it must be that domain whose gateway access found calling.
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

// isOurs reports whether the domain is served here. localhost always means this
// gateway to those who can reach it.
func (in *Intake) isOurs(d amtp.Domain) bool { return d == in.Domain || d == gateway.Home }

// home returns the address under which we keep an agent of ours.
func (in *Intake) home(a amtp.Address) amtp.Address { return gateway.AtHome(a, in.Domain) }

// checkContent refuses what the protocol allows and this gateway cannot keep
// its word on.
// Another domain's gateway has taken its word already: what it coordinates is
// delivered here as any message.
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
