package courier

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
)

// Finder finds the gateways of domains. discovery.Finder is one.
type Finder interface {
	Gateway(context.Context, amtp.Domain) (discovery.Found, error)
}

// Remote carries messages to the gateways of other domains, signed. AMTP §5, §9.
//
// To a gateway that publishes auth=sig each recipient gets a message of its own,
// so that the signature says who it is for; any other gets one message for all
// recipients of its domain, because the reference gateway keeps only the first
// of several.
type Remote struct {
	Finder Finder
	Client *http.Client // of outbound
	// Signer returns our present key, nil while there is none.
	Signer func() *amtp.Signer
	Now    func() time.Time
}

// How many messages of one parcel are under way together: several small ones, or
// one large one, each of which is a copy.
const (
	atOnce      = 8
	atOnceBytes = 4 << 20
)

// Carry makes one attempt.
func (r *Remote) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	domain := p.Destination.Domain()
	found, err := r.Finder.Gateway(ctx, domain)
	if err != nil {
		return notFound(&p, err)
	}
	if !found.Signs() {
		return r.post(ctx, &p, found, p.Recipients)
	}
	return r.each(ctx, &p, found)
}

// each posts one message for every recipient, some at a time, until ctx ends.
func (r *Remote) each(ctx context.Context, p *gateway.Parcel, found discovery.Found) gateway.Carriage {
	if len(p.Recipients) == 1 {
		return r.post(ctx, p, found, p.Recipients)
	}
	var mu sync.Mutex
	var whole gateway.Carriage
	var posts sync.WaitGroup
	slots := make(chan struct{}, max(1, min(atOnce, atOnceBytes/max(1, len(p.Body)))))
	for i := range p.Recipients {
		slots <- struct{}{}
		mu.Lock()
		down := whole.Down
		mu.Unlock()
		if ctx.Err() != nil || down {
			break // the rest is tried again with what failed
		}
		posts.Go(func() {
			defer func() { <-slots }()
			c := r.post(ctx, p, found, p.Recipients[i:i+1])
			mu.Lock()
			defer mu.Unlock()
			whole.Outcomes = append(whole.Outcomes, c.Outcomes...)
			whole.Down = whole.Down || c.Down
			whole.Pause = max(whole.Pause, c.Pause)
		})
	}
	posts.Wait()
	return whole
}

// post sends one message to the gateway for some of the parcel's recipients.
func (r *Remote) post(ctx context.Context, p *gateway.Parcel, found discovery.Found, to []gateway.Delivery) gateway.Carriage {
	a := attempt{domain: p.Destination.Domain(), to: to, now: r.Now()}
	var body []byte
	e, m, err := envelope(p, to, found.Signs())
	if err == nil {
		a.id = amtp.PeerMessageID(e.MessageID)
		body, err = r.sealed(m, e)
	}
	if err != nil {
		return a.all(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeInvalidMessage, Reason: "the message cannot be written for another gateway: " + err.Error()})
	}
	if found.MaxSize > 0 && int64(len(body)) > found.MaxSize {
		return a.all(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeMessageTooLarge,
			Reason: fmt.Sprintf("the message has %d bytes on its way and the gateway of %s takes %d", len(body), a.domain, found.MaxSize)})
	}
	req, err := request(ctx, found, body)
	if err != nil {
		return a.all(trouble(amtp.CodeRecipientUnavailable, "the address of the gateway of %s is no URL", a.domain))
	}
	res, err := cmp.Or(found.Client, r.Client).Do(req)
	if err != nil {
		return a.unreachable(err)
	}
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	switch a.body, err = io.ReadAll(res.Body); {
	case errors.Is(err, outbound.ErrTooLarge):
		a.body = nil // what was cut says nothing
	case err != nil:
		return a.unreachable(err)
	}
	return a.judge()
}

// request is the post of a body to the gateway that was found.
func request(ctx context.Context, found discovery.Found, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(found.Gateway, "/")+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-AMTP-Version", amtp.Version)
	return req, nil
}

// sealed returns the body to be posted: with our signature where we have a key.
func (r *Remote) sealed(m *amtp.Message, e amtp.PeerEnvelope) ([]byte, error) {
	if s := r.Signer(); s != nil {
		return s.SignPeer(m, e)
	}
	return amtp.PeerBody(m.Raw(), e)
}

// envelope says what the other gateway is told of the message, and of which.
// After a redrive so late that it may have forgotten the first one, it is a new
// message that names the old.
func envelope(p *gateway.Parcel, to []gateway.Delivery, single bool) (amtp.PeerEnvelope, *amtp.Message, error) {
	m, refused := amtp.ParseMessage(p.Body)
	if refused != nil {
		return amtp.PeerEnvelope{}, nil, refused
	}
	e := amtp.PeerEnvelope{
		MessageID: p.Envelope.ID, IdempotencyKey: m.IdempotencyKey, Timestamp: p.Envelope.Timestamp,
		Sender: p.Envelope.Sender, InReplyTo: p.InReplyTo, Single: single, Round: p.Rekeys,
	}
	for i := range to {
		e.Recipients = append(e.Recipients, to[i].Recipient)
	}
	if p.Redriven.IsZero() {
		return e, m, nil
	}
	again, body, err := redriven(p)
	if err != nil {
		return e, nil, err
	}
	if m, refused = amtp.ParseMessage(body); refused != nil {
		return e, nil, refused
	}
	e.MessageID, e.IdempotencyKey, e.Timestamp = again, "", p.Redriven
	return e, m, nil
}

// notFound is what came of an attempt without a gateway to go to.
func notFound(p *gateway.Parcel, err error) gateway.Carriage {
	domain := p.Destination.Domain()
	// A domain that is being set up is not there for some minutes.
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

// later is the outcome of an attempt that is made again for as long as anything
// is.
func later(format string, args ...any) gateway.Outcome {
	return gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, Reason: fmt.Sprintf(format, args...)}
}

// trouble is the outcome of an attempt that met what only the other side can
// mend, and often does within a day: a wrong record, a proxy's page, a key that
// is rolled over.
func trouble(code amtp.Code, format string, args ...any) gateway.Outcome {
	return gateway.Outcome{Event: gateway.Postpone, Code: code, Reason: fmt.Sprintf(format, args...), Patience: gateway.Patience{For: 24 * time.Hour}}
}

// permanent are the codes after which the same message for the same recipient is
// not worth another attempt.
var permanent = []amtp.Code{
	amtp.CodeAgentUnknown, amtp.CodeRecipientNotFound, amtp.CodeInvalidRecipient, amtp.CodeInvalidMessage, amtp.CodeUnsupportedVersion,
	amtp.CodeSchemaValidation, amtp.CodeMessageTooLarge, amtp.CodeAccessDenied, amtp.CodeIdempotencyKeyReused, amtp.CodeCoordinationFailed,
}

func isPermanent(c amtp.Code) bool { return slices.Contains(permanent, c) }
