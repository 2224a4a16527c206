package courier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
)

// Push carries messages to the endpoints of agents here, signed with the endpoint's
// secret as Standard Webhooks specifies. AMTP §5.
//
// The endpoint has the message when it answers 2xx. After a crash before that is
// stored, or after a lost answer, the message is pushed again with the same webhook-id.
// If the agent has changed to pull meanwhile, the message goes to its inbox.
type Push struct {
	Store   PushStore
	Seal    gateway.Seal
	Client  *http.Client // of outbound
	Replier Replier
	Queue   Retrier
	Log     *slog.Logger
	Now     func() time.Time
}

// PushStore is what Push needs of gateway.Store.
type PushStore interface {
	AgentNamed(context.Context, amtp.Address) (*gateway.Agent, error)
	UpdateAgent(ctx context.Context, by gateway.Acting, id gateway.AgentID, change func(*gateway.Agent) error,
		with ...gateway.DocumentChange) (gateway.Agent, error)
	Documents(ctx context.Context, kind string) ([]gateway.Document, error)
}

// Replier sends an endpoint's answer, a JSON document, as the reply of its agent. It
// returns a refusal only if the same reply may be accepted later. automail.PushReplier is
// one.
type Replier interface {
	Reply(ctx context.Context, p *gateway.Parcel, a *gateway.Agent, answer []byte) error
}

// Retrier makes the jobs that wait for a destination due now. queue.Queue is one.
type Retrier interface {
	RetryNow(context.Context, gateway.Destination)
}

// Carry makes one attempt.
func (c *Push) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	if len(p.Recipients) == 0 {
		return gateway.Carriage{}
	}
	a, err := c.agent(ctx, &p)
	switch {
	case err != nil:
		return p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeTemporaryFailure,
			Reason: "the gateway cannot look up the agent now"})
	case a == nil:
		return p.All(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeAgentUnknown,
			Reason: "the agent was removed from this gateway"})
	case a.DeliveryMode != "push":
		return inbox(&p)
	}
	carriage := c.push(ctx, &p, a)
	if len(carriage.Outcomes) > 0 && carriage.Outcomes[0].Event == gateway.Postpone {
		if now, err := c.agent(ctx, &p); err == nil && now != nil && now.DeliveryMode != "push" { // changed meanwhile
			return inbox(&p)
		}
	}
	return carriage
}

// agent returns the recipient as it is now, nil when it is gone.
func (c *Push) agent(ctx context.Context, p *gateway.Parcel) (*gateway.Agent, error) {
	to := &p.Recipients[0]
	a, err := c.Store.AgentNamed(ctx, to.Recipient)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case a.ID != to.Agent:
		return nil, nil // another agent has its name
	}
	return a, nil
}

// inbox is the carriage of a message that its recipient gets in its inbox after all.
func inbox(p *gateway.Parcel) gateway.Carriage {
	return p.All(gateway.Outcome{Event: gateway.Success, Inbox: true})
}

// push posts the message to the agent's endpoint.
func (c *Push) push(ctx context.Context, p *gateway.Parcel, a *gateway.Agent) gateway.Carriage {
	req, err := c.request(ctx, p, a)
	if err != nil {
		return c.unsent(p, a, err)
	}
	ctx, where := traceAddress(ctx, req.URL.Host)
	carriage := c.exchange(ctx, p, a, req.WithContext(ctx))
	carriage.Host = where()
	return carriage
}

// exchange makes a push and judges its answer.
func (c *Push) exchange(ctx context.Context, p *gateway.Parcel, a *gateway.Agent, req *http.Request) gateway.Carriage {
	res, err := c.Client.Do(req)
	if err != nil {
		return unanswered(p, a, err)
	}
	defer res.Body.Close()
	if code := res.StatusCode; code < 200 || code >= 300 {
		return c.refused(ctx, p, a, res)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, gateway.MaxPushAnswer+1))
	if err != nil {
		return unanswered(p, a, err)
	}
	if !isJSON(res.Header) {
		answer = nil
	}
	if refused := c.Replier.Reply(ctx, p, a, answer); refused != nil {
		// The endpoint answers the same when it is asked again.
		return p.All(gateway.Outcome{Event: gateway.Postpone, Code: gateway.CodeOf(refused),
			Reason: "the reply of " + a.Address.String() + " cannot be stored now"})
	}
	return p.All(gateway.Outcome{Event: gateway.Success})
}

// request returns the request to post. Its headers are the gateway's, and those that the
// agent configured.
func (c *Push) request(ctx context.Context, p *gateway.Parcel, a *gateway.Agent) (*http.Request, error) {
	list, err := c.Store.Documents(ctx, gateway.EndpointKind(a.ID))
	if err != nil {
		return nil, err
	}
	endpoint, err := gateway.OpenEndpoint(c.Seal, a.ID, list)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoSecret, err)
	}
	body, err := pushBody(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotWritable, err)
	}
	id, now := string(p.Envelope.ID), c.Now()
	signature, err := endpoint.Sign(id, now, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoSecret, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Target, bytes.NewReader(body))
	if err != nil {
		return nil, errNoTarget // the error's text has the URL
	}
	for name, value := range endpoint.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-AMTP-Version", amtp.Version)
	req.Header.Set("X-AMTP-Local-Delivery", "true")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	return req, nil
}

// The reasons for which a push cannot be sent at all.
var (
	errNoSecret    = errors.New("there is no secret to sign with")
	errNotWritable = errors.New("the message cannot be written")
	errNoTarget    = errors.New("the endpoint is no URL")
)

// unsent is the carriage for a push that could not be made.
func (c *Push) unsent(p *gateway.Parcel, a *gateway.Agent, err error) gateway.Carriage {
	c.Log.Warn("a message cannot be pushed", "message", string(p.Envelope.ID), "destination", string(p.Destination),
		"cause", err)
	switch {
	case errors.Is(err, errNotWritable):
		return p.All(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeInvalidMessage,
			Reason: "the message cannot be written for the endpoint"})
	case errors.Is(err, errNoSecret):
		return down(p,
			"this gateway has no secret for the endpoint of %s; a new one is made with: amtp agent push-secret",
			a.Address)
	case errors.Is(err, errNoTarget):
		return down(p, "the endpoint of %s is no URL", a.Address)
	}
	return down(p, "this gateway cannot push to %s now", a.Address)
}

// down is the carriage of a parcel whose endpoint is down for every message.
func down(p *gateway.Parcel, format string, args ...any) gateway.Carriage {
	all := p.All(later(format, args...))
	all.Down = true
	return all
}

// refused is the carriage for an answer outside 2xx.
func (c *Push) refused(ctx context.Context, p *gateway.Parcel, a *gateway.Agent, res *http.Response) gateway.Carriage {
	switch code := res.StatusCode; {
	case code == http.StatusGone:
		return c.gone(ctx, p, a)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return p.All(pause(later("the endpoint of %s answered %d", a.Address, code), res, c.Now()))
	case code == http.StatusTooManyRequests, code >= 500:
		all := down(p, "the endpoint of %s cannot take messages now (%d)", a.Address, code)
		for i := range all.Outcomes {
			all.Outcomes[i] = pause(all.Outcomes[i], res, c.Now())
			all.Pause = all.Outcomes[i].RetryAfter
		}
		all.Down, all.Answered = health(code, false, nil)
		return all
	case code < 400:
		return p.All(trouble(amtp.CodeAccessDenied,
			"the endpoint of %s answered with a redirect (%d), which is not followed", a.Address, code))
	default:
		return p.All(pause(trouble(amtp.CodeAccessDenied, "the endpoint of %s refused the message (%d)", a.Address,
			code), res, c.Now()))
	}
}

// pause notes the time after which the other side wants the next attempt.
func pause(o gateway.Outcome, res *http.Response, now time.Time) gateway.Outcome {
	o.RetryAfter = retryAfter(res.Header, now)
	return o
}

// gone changes an agent whose endpoint answered 410 to pull. That is stored before any
// message enters the inbox, so an interruption loses none: the attempt is repeated.
func (c *Push) gone(ctx context.Context, p *gateway.Parcel, a *gateway.Agent) gateway.Carriage {
	turned := false
	_, err := c.Store.UpdateAgent(ctx, gateway.Acting{}, a.ID, func(now *gateway.Agent) error {
		if turned = now.DeliveryMode == "push" && now.Target == a.Target; turned {
			now.DeliveryMode = "pull"
		}
		return nil
	})
	if err != nil {
		return p.All(later("the endpoint of %s is gone", a.Address))
	}
	if turned {
		c.Log.Warn("an endpoint answered 410, so its agent gets its messages in its inbox", "destination",
			string(p.Destination))
		c.Queue.RetryNow(ctx, p.Destination)
	}
	// If the endpoint was changed meanwhile, the new one is tried.
	return p.All(later("the endpoint of %s was changed", a.Address))
}

// unanswered is the carriage for a push without an answer, or with half of one. The
// error's own text is not used, because it has the URL.
func unanswered(p *gateway.Parcel, a *gateway.Agent, err error) gateway.Carriage {
	var slow net.Error
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		return down(p,
			"the endpoint of %s is at an address that this gateway does not go to; its operator allows it with outbound.allow",
			a.Address)
	case isCertificate(err):
		return down(p, "the endpoint of %s has a certificate that is not valid for it", a.Address)
	case errors.As(err, &slow) && slow.Timeout():
		return down(p, "the endpoint of %s did not answer in time", a.Address)
	}
	return down(p, "the endpoint of %s cannot be reached", a.Address)
}
