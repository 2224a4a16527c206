package courier

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// attempt is one post and what was answered.
type attempt struct {
	domain amtp.Domain
	id     amtp.MessageID // that was sent
	to     []gateway.Delivery
	now    time.Time

	status int
	header http.Header
	body   []byte
}

// reply is what is read of an answer. Its texts are the other side's and go no
// further.
type reply struct {
	MessageID  string `json:"message_id"`
	Recipients []struct {
		Address   string `json:"address"`
		Status    string `json:"status"`
		ErrorCode string `json:"error_code"`
	} `json:"recipients"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// all is the same outcome for every recipient of the post.
func (a *attempt) all(o gateway.Outcome) gateway.Carriage {
	p := gateway.Parcel{Recipients: a.to}
	return p.All(o)
}

// judge decides from the answer what became of each recipient. A message is
// delivered when the answer names it and its recipient, and never otherwise.
func (a *attempt) judge() gateway.Carriage {
	var r reply
	readable := isJSON(a.header) && strictjson.Decode(a.body, &r) == nil
	named := readable && strings.EqualFold(r.MessageID, string(a.id))
	switch code := a.status; {
	case named && code >= 200 && code < 300, named && code == http.StatusBadRequest && len(r.Recipients) > 0:
		return a.perRecipient(&r)
	case code >= 200 && code < 300:
		return a.all(trouble(amtp.CodeRecipientUnavailable, "the gateway of %s answered %d without naming the message", a.domain, code))
	case code >= 300 && code < 400:
		return a.all(trouble(amtp.CodeRecipientUnavailable, "the gateway of %s answered with a redirect (%d), which is not followed", a.domain, code))
	case code == http.StatusUnauthorized:
		return a.all(trouble(amtp.CodeAuthenticationFailed, "the gateway of %s does not believe that this is from us (401)", a.domain))
	case code == http.StatusForbidden:
		return a.all(trouble(amtp.CodeAccessDenied, "the gateway of %s does not let us in (403)", a.domain))
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		o := later("the gateway of %s answered %d", a.domain, code)
		o.RetryAfter = retryAfter(a.header, a.now)
		return a.all(o)
	case code == http.StatusTooManyRequests, code >= 500:
		return a.unwell()
	case readable && r.Error != nil && r.Error.Code != "":
		return a.all(a.refused(&r))
	}
	return a.all(trouble(amtp.CodeRecipientUnavailable, "the gateway of %s answered %d and does not say why", a.domain, a.status))
}

// perRecipient reads a list of recipients. One that is not in it is tried again,
// and so is one that failed for a reason that may pass, under a new key: the
// reference gateway would repeat its answer to the old one. Of two entries for
// one recipient the worse counts.
func (a *attempt) perRecipient(r *reply) gateway.Carriage {
	said := make(map[string]int, len(r.Recipients))
	for i := range r.Recipients {
		address, err := amtp.ParseAddress(r.Recipients[i].Address)
		if err != nil {
			continue
		}
		if n, ok := said[address.Key()]; !ok || hasIt(r.Recipients[n].Status) {
			said[address.Key()] = i
		}
	}
	c := gateway.Carriage{Outcomes: make([]gateway.Outcome, 0, len(a.to))}
	for i := range a.to {
		o := trouble(amtp.CodeRecipientUnavailable, "the gateway of %s says nothing of this recipient", a.domain)
		if n, ok := said[a.to[i].Recipient.Key()]; ok {
			o = a.one(r.Recipients[n].Status, r.Recipients[n].ErrorCode)
		}
		o.Delivery = a.to[i].ID
		c.Outcomes = append(c.Outcomes, o)
	}
	return c
}

// one is what became of a recipient that the answer names.
func (a *attempt) one(status, code string) gateway.Outcome {
	switch {
	case hasIt(status):
		return gateway.Outcome{Event: gateway.Success}
	case amtp.Status(status) == amtp.StatusFailed:
		if c := amtp.Code(code); isPermanent(c) {
			return gateway.Outcome{Event: gateway.Refuse, Code: c, Reason: fmt.Sprintf("the gateway of %s refused this recipient (%s)", a.domain, c)}
		}
		o := trouble(amtp.CodeRecipientUnavailable, "the gateway of %s could not deliver to this recipient", a.domain)
		o.Rekey = true
		return o
	}
	return trouble(amtp.CodeRecipientUnavailable, "the gateway of %s answered with a status that means nothing", a.domain)
}

// hasIt reports whether the other side has the message of a recipient with the
// status.
func hasIt(status string) bool {
	switch amtp.Status(status) {
	case amtp.StatusDelivered, amtp.StatusAccepted, amtp.StatusQueued, amtp.StatusDelivering, amtp.StatusRetrying:
		return true
	}
	return false
}

// refused is a refusal of the whole message for good.
func (a *attempt) refused(r *reply) gateway.Outcome {
	o := gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeRecipientUnavailable}
	given := amtp.Code(r.Error.Code)
	switch {
	case isPermanent(given):
		o.Code = given
	case a.status == http.StatusRequestEntityTooLarge:
		o.Code = amtp.CodeMessageTooLarge
	}
	o.Reason = fmt.Sprintf("the gateway of %s refused the message (%d)", a.domain, a.status)
	return o
}

// unwell is an answer that says that nothing goes there now.
func (a *attempt) unwell() gateway.Carriage {
	o := later("the gateway of %s cannot take messages now (%d)", a.domain, a.status)
	o.RetryAfter = retryAfter(a.header, a.now)
	c := a.all(o)
	c.Down, c.Pause = true, o.RetryAfter
	return c
}

// unreachable is what came of a post without an answer, or with half of one. The
// error's own text has addresses of machines in it.
func (a *attempt) unreachable(err error) gateway.Carriage {
	var slow net.Error
	o := later("the gateway of %s cannot be reached", a.domain)
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		o.Reason = fmt.Sprintf("the gateway of %s is at an address that this gateway does not go to; its operator allows it with outbound.allow", a.domain)
	case isCertificate(err):
		o.Reason = fmt.Sprintf("the gateway of %s has a certificate that is not valid for it", a.domain)
	case errors.As(err, &slow) && slow.Timeout():
		o.Reason = fmt.Sprintf("the gateway of %s did not answer in time", a.domain)
	}
	c := a.all(o)
	c.Down = true
	return c
}

// isCertificate reports whether a call was not made because of the other side's
// certificate.
func isCertificate(err error) bool {
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &unknown) || errors.As(err, &wrongName) || errors.As(err, &invalid)
}

func isJSON(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}

// retryAfter reads the Retry-After header: seconds or a date. 0 is none. RFC 9110
// §10.2.3.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const most = 30 * 24 * 3600
	value := h.Get("Retry-After")
	if s, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(s, most)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), most*time.Second)
	}
	return 0
}
