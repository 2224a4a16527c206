package courier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/remote"
)

// Finder finds the gateways of domains. discovery.Finder is one.
type Finder interface {
	Gateway(context.Context, amtp.Domain) (discovery.Found, error)
}

// Memory remembers other domains. gateway.Store is one.
type Memory interface {
	SenderDomain(context.Context, amtp.Domain) (gateway.SenderDomain, error)
}

// Remote carries messages to the gateways of other domains, signed, each with
// one recipient. AMTP §5, §9.
//
// The first recipient of a domain gets the message under its own id and key. Each
// further recipient has a key of its own. It also has an id of its own if the gateway is
// not known to take fan-out: the reference gateway of July 2026 overwrites a message
// whose id comes twice, and its first recipient loses it.
type Remote struct {
	Finder Finder
	Client *http.Client // of outbound
	Memory Memory
	// Signer returns our present key, nil while there is none.
	Signer func() *amtp.Signer
	// Doubt makes the next attempt look up the domain's gateway again, because no gateway
	// is where it was; nil does nothing.
	Doubt func(amtp.Domain)
	// Known returns what is remembered about a domain's gateway, without a call; nil
	// remembers nothing.
	Known func(amtp.Domain) (amtp.Capabilities, bool)
	Now   func() time.Time
	Log   *slog.Logger

	known fanOuts
}

// How many messages of one parcel are under way at once: several small ones, or one large
// one. Each is a copy in memory.
const (
	atOnce      = 8
	atOnceBytes = 4 << 20
)

// transfer is one attempt to carry a parcel to the gateway that was found.
type transfer struct {
	*Remote
	parcel  *gateway.Parcel
	message *amtp.Message
	found   discovery.Found
	fanOut  bool // the gateway is known to take one id in several deliveries
}

// Carry makes one attempt.
func (r *Remote) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	found, err := r.Finder.Gateway(ctx, p.Destination.Domain())
	if err != nil {
		return notFound(&p, err)
	}
	m, refused := amtp.ParseMessage(p.Body)
	if refused != nil {
		return p.All(unwritable(refused))
	}
	j := transfer{Remote: r, parcel: &p, message: m, found: found}
	j.fanOut = takesFanOut(found) || fanOutMatters(&p) && r.signs(ctx, p.Destination.Domain())
	return j.each(ctx)
}

// Most returns the size in bytes of the largest message that the gateway of a domain
// accepts, 0 if that is not known. It makes no call.
func (r *Remote) Most(d amtp.Domain) int64 {
	if r.Known == nil {
		return 0
	}
	c, _ := r.Known(d)
	return c.MaxSize
}

// Size returns how many bytes the message has when it is sent in that envelope, 0 if it
// cannot be written.
func (r *Remote) Size(m *amtp.Message, e amtp.PeerEnvelope) int64 {
	body, err := r.sealed(m, e)
	if err != nil {
		return 0
	}
	return int64(len(body))
}

// each posts one message for every recipient, some at a time, until ctx ends.
func (j *transfer) each(ctx context.Context) gateway.Carriage {
	to := j.parcel.Recipients
	if len(to) == 1 {
		return j.contained(ctx, &to[0])
	}
	var mu sync.Mutex
	var whole gateway.Carriage
	var longest time.Duration // of a post
	var posts sync.WaitGroup
	slots := make(chan struct{}, max(1, min(atOnce, atOnceBytes/max(1, len(j.parcel.Body)))))
	for k := range to {
		// Each attempt begins with another recipient, so that one at which attempts end
		// does not block the others for good.
		i := (k + j.parcel.Attempts) % len(to)
		slots <- struct{}{}
		mu.Lock()
		enough := whole.Down && (!whole.Answered || len(whole.Outcomes) >= atOnce) || !timeFor(ctx, longest)
		mu.Unlock()
		if ctx.Err() != nil || enough {
			break // the rest is tried again with what failed
		}
		posts.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			c := j.contained(ctx, &to[i])
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, time.Since(began))
			whole = merge(whole, c)
		})
	}
	posts.Wait()
	return whole
}

// timeFor reports whether there is time for another post that takes as long as the
// longest before it. A large message that would be cut off in the middle is not begun.
func timeFor(ctx context.Context, took time.Duration) bool {
	end, ok := ctx.Deadline()
	return !ok || time.Until(end) >= took
}

// contained is post, in which a defect harms one recipient only: that one is tried again,
// and the others are not affected.
func (j *transfer) contained(ctx context.Context, to *gateway.Delivery) (c gateway.Carriage) {
	err := defect.Contain(func() error {
		c = j.post(ctx, to)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		j.Log.Error("an attempt failed because of a defect in this program", "job", int64(j.parcel.ID), "destination", string(j.parcel.Destination),
			"recipient", to.Recipient.String(),
			"cause", met.Error(), "stack", string(met.Stack))
		a := attempt{to: to}
		return a.outcome(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeInternal,
			Reason: "the gateway failed; its log has the cause"})
	}
	return c
}

// post sends the message to the gateway for one of the parcel's recipients.
func (j *transfer) post(ctx context.Context, to *gateway.Delivery) gateway.Carriage {
	e := j.envelope(to)
	a := attempt{domain: j.parcel.Destination.Domain(), id: e.PeerID(), to: to, now: j.Now()}
	body, err := j.sealed(j.message, e)
	if err != nil {
		return a.outcome(unwritable(err))
	}
	if most := j.found.MaxSize; most > 0 && int64(len(body)) > most {
		return a.outcome(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeMessageTooLarge,
			Reason: fmt.Sprintf("the message has %d bytes on its way and the gateway of %s takes %d", len(body),
				a.domain, most)})
	}
	ctx, where := traceAddress(ctx, hostOf(j.found.Gateway))
	if a.Answer, err = j.Post(ctx, j.found, body); err != nil {
		if j.Doubt != nil && isAbsent(err) {
			j.Doubt(a.domain)
		}
		c := a.unreachable(err)
		c.Host = where()
		return c
	}
	c := a.judge()
	c.Host, c.Answered = where(), true
	j.note(&a, &c)
	return c
}

// Post sends one body, signed or not, to the messages of the gateway that was
// found, and returns what was answered.
func (r *Remote) Post(ctx context.Context, found discovery.Found, body []byte) (remote.Answer, error) {
	return remote.Call(ctx, cmp.Or(found.Client, r.Client), http.MethodPost, found.Gateway, "/v1/messages", body)
}

// sealed returns the body to post, with our signature if we have a key.
func (r *Remote) sealed(m *amtp.Message, e amtp.PeerEnvelope) ([]byte, error) {
	if s := r.Signer(); s != nil {
		return s.SignPeer(m, e)
	}
	return amtp.PeerBody(m.Raw(), e)
}

// envelope returns what the other gateway is told about the message for the recipient.
// All of it but FanOut and AnyReply follows from stored data.
//
// If a message is so old that the other gateway may have forgotten it, a redrive sends
// a new message that names the old one. Its age at the attempt decides, not at the
// redrive. A timestamp that is too old or too new for any gateway comes from a clock
// that was wrong: no message is under way for so long. The present time replaces it.
// AMTP §9.
func (j *transfer) envelope(to *gateway.Delivery) amtp.PeerEnvelope {
	p := j.parcel
	e := amtp.PeerEnvelope{
		MessageID: p.Envelope.ID, IdempotencyKey: j.message.IdempotencyKey, Timestamp: p.Envelope.Timestamp,
		Sender:    p.Envelope.Sender,
		Recipient: to.Recipient, Further: to.Further, FanOut: j.fanOut, Round: p.Rekeys,
		InReplyTo: p.InReplyTo,
		AnyReply:  j.fanOut || p.Answered.From == p.Destination.Domain(),
	}
	if e.InReplyTo != "" {
		e.InReplyTo = p.Answered.To(to.Recipient, e.InReplyTo, j.fanOut)
	}
	fresh := *to
	if received := p.Envelope.ReceivedAt; fresh.Redriven.IsZero() && !received.IsZero() && p.Begun.After(received) {
		if at := gateway.AsNew(received, p.Begun); !j.Now().Before(at) {
			fresh.Redriven = at
		}
	}
	if !fresh.Redriven.IsZero() {
		e.RedriveOf = e.PeerID()
		e.MessageID, e.IdempotencyKey, e.Timestamp = fresh.Base(p.Envelope.ID), "", fresh.Redriven
	}
	if now := j.Now(); amtp.CheckTimestamp(e.Timestamp, now) != nil {
		e.Timestamp = now
	}
	return e
}

// unwritable is the outcome for a message that no other gateway would accept.
func unwritable(err error) gateway.Outcome {
	return gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeInvalidMessage,
		Reason: "the message cannot be written for another gateway: " + err.Error()}
}

// notFound is the carriage for an attempt without a gateway to call.
func notFound(p *gateway.Parcel, err error) gateway.Carriage {
	domain := p.Destination.Domain()
	// A domain that is being set up cannot be found for some minutes.
	setup := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientNotFound,
		RetryAfter: 5 * time.Minute, Patience: gateway.Patience{Tries: 4, For: 15 * time.Minute}}
	switch {
	case errors.Is(err, discovery.ErrNoDomain):
		setup.Reason = fmt.Sprintf("there is no domain %s", domain)
		return p.All(setup)
	case errors.Is(err, discovery.ErrNone):
		setup.Reason = fmt.Sprintf("%s publishes no AMTP gateway", domain)
		return p.All(setup)
	case errors.Is(err, discovery.ErrInvalid):
		return p.All(trouble(amtp.CodeRecipientUnavailable, "the AMTP record of %s is not valid", domain))
	}
	c := p.All(later("DNS does not say now where the gateway of %s is", domain))
	c.Down = true
	return c
}

// later is the outcome of an attempt that is repeated until the message is too old for
// any attempt.
func later(format string, args ...any) gateway.Outcome {
	return gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable,
		Reason: fmt.Sprintf(format, args...)}
}

// aDay is the patience with an error that only the other side can fix: a day, and twelve
// attempts, which take half an hour or more. By the day alone, a gateway that was off that
// long, or whose clock was set ahead, would give up at its next attempt.
var aDay = gateway.Patience{Tries: 12, For: 24 * time.Hour}

// trouble is the outcome for an error that only the other side can fix, and often does
// within a day: a wrong record, a proxy's page, a key that is rolled over.
func trouble(code amtp.Code, format string, args ...any) gateway.Outcome {
	return gateway.Outcome{Event: gateway.Postpone, Code: code, Reason: fmt.Sprintf(format, args...), Patience: aDay}
}
