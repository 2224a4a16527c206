package agent

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Targets says to which endpoints the gateway may push. outbound.Options is one. It
// makes no request.
type Targets interface {
	Check(*url.URL) error
}

// Hurrier makes the waiting jobs of a destination due now. queue.Queue is one.
type Hurrier interface {
	RetryNow(context.Context, gateway.Destination)
}

// Bounds of an agent's settings for its endpoint.
const (
	maxTarget      = 2048 // bytes
	maxHeaders     = 16
	maxHeaderName  = 64   // bytes
	maxHeaderValue = 4096 // bytes
	maxHeaderBytes = 8192 // bytes of all of them
)

// forbidden has the headers of a push that an agent may not set: they would change the
// request's content, its destination, or the gateway's own headers.
var forbidden = map[string]bool{
	"host": true, "content-length": true, "content-type": true, "content-encoding": true, "transfer-encoding": true,
	"connection": true, "keep-alive": true, "upgrade": true, "te": true, "trailer": true, "expect": true,
	"accept": true, "accept-encoding": true, "user-agent": true, "via": true, "forwarded": true,
}

var forbiddenBeginnings = []string{"webhook-", "x-amtp-", "proxy-", "x-forwarded-", "sec-", ":"}

// checkPush returns an error if the agent's settings for push are not valid.
func (s *Agents) checkPush(a *gateway.Agent, target string, headers map[string]string) error {
	if a.DeliveryMode != "push" {
		if target != "" || len(headers) > 0 {
			return errors.New("push_target and push_headers are for delivery_mode push")
		}
		return nil
	}
	if a.Target == "" {
		return errors.New("delivery_mode push needs push_target, the URL of the agent's endpoint")
	}
	if err := s.checkTarget(a.Target); err != nil {
		return err
	}
	return checkHeaders(headers)
}

// checkTarget checks a URL. The URL may contain a token, so the error does not repeat
// it.
func (s *Agents) checkTarget(target string) error {
	if len(target) > maxTarget || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("push_target is a URL of up to 2048 visible ASCII characters")
	}
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("push_target is written https://HOST/PATH")
	case u.User != nil:
		return errors.New("push_target has no user name or password; put what your endpoint asks for into push_headers")
	case u.Fragment != "" || strings.Contains(target, "#"):
		return errors.New("push_target has no fragment")
	}
	if s.Targets.Check(u) != nil {
		return errors.New("push_target must be https on port 443 of a public address; the gateway's operator allows others, and plain http, with outbound.allow")
	}
	return nil
}

func checkHeaders(headers map[string]string) error {
	if len(headers) > maxHeaders {
		return errors.New("push_headers has at most 16 headers")
	}
	seen, size := make(map[string]bool, len(headers)), 0
	for name, value := range headers {
		lower := strings.ToLower(name)
		size += len(name) + len(value)
		switch {
		case !isToken(name) || len(name) > maxHeaderName:
			return errors.New("a name in push_headers is a header's name of up to 64 characters")
		case isForbidden(lower):
			return errors.New("push_headers cannot have " + name + ", which the gateway writes itself")
		case seen[lower]:
			return errors.New("push_headers has " + name + " twice")
		case len(value) > maxHeaderValue || strings.ContainsFunc(value, func(r rune) bool {
			return r < ' ' && r != '\t' || r > '~'
		}):
			return errors.New("a value in push_headers has at most 4096 bytes of visible ASCII and spaces")
		case strings.Trim(value, " \t") != value:
			return errors.New("a value in push_headers does not begin or end with a space")
		}
		seen[lower] = true
	}
	if size > maxHeaderBytes {
		return errors.New("push_headers has at most 8192 bytes in all")
	}
	return nil
}

func isForbidden(lower string) bool {
	for _, begin := range forbiddenBeginnings {
		if strings.HasPrefix(lower, begin) {
			return true
		}
	}
	return forbidden[lower]
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// endpoint returns a change of the stored endpoint of an agent. The change begins with
// an empty one where none is stored, or where the stored one cannot be opened any more.
func (s *Agents) endpoint(id gateway.AgentID, change func(*gateway.Endpoint) error) gateway.DocumentChange {
	return gateway.DocumentChange{Kind: gateway.EndpointKind(id),
		Change: func(list []gateway.Document) ([]gateway.Document, error) {
			e, err := gateway.OpenEndpoint(s.Seal, id, list)
			if err != nil && !errors.Is(err, gateway.ErrNotFound) && !errors.Is(err, gateway.ErrSealed) {
				return nil, err
			}
			if err := change(&e); err != nil {
				return nil, err
			}
			sealed, err := e.Seal(s.Seal, id, s.Now())
			return []gateway.Document{sealed}, err
		}}
}

// moved returns the change of the stored endpoint of an agent that is updated from
// before to now, both as the store finds them. made receives the secret that the
// endpoint gets, if it had none.
func (s *Agents) moved(before, now *gateway.Agent, headers *map[string]string, made *string) gateway.DocumentChange {
	id := now.ID
	c := s.endpoint(id, func(e *gateway.Endpoint) error {
		if len(e.Secrets) == 0 {
			*made = e.Renew(s.Now(), 0)
		}
		if headers != nil {
			e.Headers = *headers
		}
		return nil
	})
	keep := c.Change
	c.Change = func(list []gateway.Document) ([]gateway.Document, error) {
		*made = ""
		switch {
		case now.DeliveryMode == "push" && (before.DeliveryMode != "push" || headers != nil):
			return keep(list)
		case now.Target == "" && before.Target != "":
			return nil, nil
		}
		return list, nil
	}
	return c
}

// RenewPushSecret gives the endpoint of an agent a new secret. The one before it signs
// too for a day, unless atOnce is set.
func (s *Agents) RenewPushSecret(ctx context.Context, p gateway.Principal, name string,
	atOnce bool) (amtp.IssuedPushSecret, error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.IssuedPushSecret{}, err
	}
	issued := amtp.IssuedPushSecret{Address: a.Address, Message: "Push secret renewed; it is shown this once"}
	overlap := gateway.SecretOverlap
	if atOnce {
		overlap = 0
	}
	change := s.endpoint(a.ID, func(e *gateway.Endpoint) error {
		now := s.Now()
		if issued.PreviousUntil = (amtp.Time{}); len(e.Secrets) > 0 && !atOnce {
			issued.PreviousUntil = amtp.Time{Time: now.Add(overlap)}
		}
		issued.PushSecret = e.Renew(now, overlap)
		return nil
	})
	if _, err := s.Store.UpdateAgent(ctx, p.Acting(), a.ID, hasEndpoint, change); err != nil {
		return amtp.IssuedPushSecret{}, s.gone(err, name)
	}
	s.Queue.RetryNow(ctx, gateway.PushTo(a.ID))
	return issued, nil
}

// hasEndpoint refuses an agent that has no endpoint. It changes nothing.
func hasEndpoint(a *gateway.Agent) error {
	if a.DeliveryMode == "push" {
		return nil
	}
	return amtp.Errorf(amtp.CodeConflict,
		"%s gets its messages in its inbox, so there is nothing to sign. It gets an endpoint with: amtp agent update --push URL",
		a.Address)
}

// followed retries the agent's jobs now when its delivery mode or its endpoint has
// changed.
func (s *Agents) followed(ctx context.Context, before, now *gateway.Agent) {
	if before.DeliveryMode != now.DeliveryMode || before.Target != now.Target {
		s.Queue.RetryNow(ctx, gateway.PushTo(now.ID))
	}
}
