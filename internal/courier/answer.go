package courier

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// attempt is one post and its answer.
type attempt struct {
	domain amtp.Domain
	id     amtp.MessageID // the id that was sent
	to     *gateway.Delivery
	now    time.Time

	remote.Answer
	code amtp.Code // of the error in the answer, "" if it has no error of the protocol's form
	text string    // the text of that error
}

// reply is the part of an answer that is read. Its texts are the other side's: they go
// to the log and nowhere else.
type reply struct {
	MessageID  string  `json:"message_id"`
	Recipients []entry `json:"recipients"`
	Error      *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// entry is what an answer says about one recipient.
type entry struct {
	Address   string `json:"address"`
	Status    string `json:"status"`
	ErrorCode string `json:"error_code"`
}

// outcome is the carriage of one post.
func (a *attempt) outcome(o gateway.Outcome) gateway.Carriage {
	o.Delivery = a.to.ID
	return gateway.Carriage{Outcomes: []gateway.Outcome{o}}
}

// judge decides the recipient's outcome from the answer. A message is delivered only if
// the answer names it and its recipient.
func (a *attempt) judge() gateway.Carriage {
	var r reply
	readable := isJSON(a.Header) && strictjson.Decode(a.Body, &r) == nil
	if readable && r.Error != nil && r.Error.Message != "" {
		a.code, a.text = token(r.Error.Code), r.Error.Message
	}
	named := readable && strings.EqualFold(r.MessageID, string(a.id))
	switch status := a.Status; {
	case status >= 200 && status < 300 && named:
		return a.outcome(a.recipientOutcome(r.entry(a.to.Recipient)))
	case status >= 200 && status < 300:
		return a.outcome(trouble(amtp.CodeRecipientUnavailable,
			"the gateway of %s answered %d without naming the message", a.domain, status))
	case status >= 300 && status < 400:
		return a.outcome(trouble(amtp.CodeRecipientUnavailable,
			"the gateway of %s answered with a redirect (%d), which is not followed", a.domain, status))
	case named && len(r.Recipients) > 0 && (status == http.StatusBadRequest || status == http.StatusNotFound):
		return a.outcome(a.recipientOutcome(r.entry(a.to.Recipient)))
	}
	if c, ok := a.refused(); ok {
		return c
	}
	return a.byStatus()
}

// byStatus is the carriage for an answer in which only the status means something.
func (a *attempt) byStatus() gateway.Carriage {
	switch status := a.Status; {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		o := later("the gateway of %s answered %s", a.domain, a.number())
		o.RetryAfter = retryAfter(a.Header, a.now)
		return a.outcome(o)
	case status == http.StatusTooManyRequests, status >= 500:
		return a.overloaded()
	case status == http.StatusUnauthorized:
		return a.outcome(trouble(amtp.CodeAuthenticationFailed,
			"the gateway of %s does not believe that this is from us (%s)", a.domain, a.number()))
	case status == http.StatusForbidden:
		return a.outcome(trouble(amtp.CodeAccessDenied, "the gateway of %s does not let us in (%s)",
			a.domain, a.number()))
	case a.code != "":
		if o, known := a.judged(a.code); known { // for example an error that passes by itself
			return a.outcome(o)
		}
		return a.outcome(trouble(amtp.CodeRecipientUnavailable, "the gateway of %s answered %s", a.domain, a.number()))
	}
	return a.outcome(trouble(amtp.CodeRecipientUnavailable, "the gateway of %s answered %d and does not say why",
		a.domain, a.Status))
}

// number is the status of the answer, with the code if there is one.
func (a *attempt) number() string {
	return strings.TrimSpace(strconv.Itoa(a.Status) + " " + string(a.code))
}

// entry returns what the answer says about a recipient, nil if it says nothing. Of two
// entries the worse one counts.
func (r *reply) entry(to amtp.Address) (found *entry) {
	for i := range r.Recipients {
		e := &r.Recipients[i]
		if address, err := amtp.ParseAddress(e.Address); err == nil && address.Equal(to) &&
			(found == nil || isAccepted(found.Status)) {
			found = e
		}
	}
	return found
}

// recipientOutcome is the recipient's outcome by its entry in the answer. When a
// recipient failed for a reason that may pass, the retry has a new key. The reference
// gateway would repeat its answer to the old key.
func (a *attempt) recipientOutcome(e *entry) gateway.Outcome {
	switch {
	case e == nil:
		return trouble(amtp.CodeRecipientUnavailable, "the gateway of %s says nothing of this recipient", a.domain)
	case isAccepted(e.Status):
		return gateway.Outcome{Event: gateway.Success}
	case amtp.Status(e.Status) != amtp.StatusFailed:
		return trouble(amtp.CodeRecipientUnavailable,
			"the gateway of %s answered with a status that means nothing", a.domain)
	}
	a.code = token(e.ErrorCode)
	o, known := a.judged(a.code)
	if !known {
		o = trouble(amtp.CodeRecipientUnavailable, "the gateway of %s could not deliver to %s", a.domain,
			a.to.Recipient.Local())
		if a.code != "" {
			o.Reason += " (" + string(a.code) + ")"
		}
	}
	o.Rekey = o.Event == gateway.Postpone
	return o
}

// isAccepted reports whether the other side has the message for a recipient with that status.
func isAccepted(status string) bool {
	switch amtp.Status(status) {
	case amtp.StatusDelivered, amtp.StatusAccepted, amtp.StatusQueued, amtp.StatusDelivering, amtp.StatusRetrying:
		return true
	}
	return false
}

// overloaded is the carriage for an answer by which the gateway accepts no messages now. A
// 500 with an error of the protocol counts as an answer about this message.
func (a *attempt) overloaded() gateway.Carriage {
	o := later("the gateway of %s cannot take messages now (%s)", a.domain, a.number())
	o.RetryAfter = retryAfter(a.Header, a.now)
	c := a.outcome(o)
	if c.Down, _ = health(a.Status, a.code != "", nil); c.Down {
		c.Pause = o.RetryAfter
	}
	return c
}

// note logs for the operator what another gateway said when it refused a message.
func (j *transfer) note(a *attempt, c *gateway.Carriage) {
	o := &c.Outcomes[0]
	if o.Event == gateway.Success || a.code == "" {
		return
	}
	level := slog.LevelInfo
	if o.Event == gateway.Refuse {
		level = slog.LevelWarn
	}
	j.Log.Log(context.Background(), level, "another gateway refused a message", "domain", a.domain, "message",
		j.parcel.Envelope.ID, "recipient", a.to.Recipient,
		"status", a.Status, "code", a.code, "said", printable(a.text))
}

// unreachable is the carriage for a post without an answer, or with half of one. The
// error's own text is not used, because it has addresses of machines.
func (a *attempt) unreachable(err error) gateway.Carriage {
	if errors.Is(err, remote.ErrAddress) {
		return a.outcome(trouble(amtp.CodeRecipientUnavailable, "the address of the gateway of %s is no URL", a.domain))
	}
	var slow net.Error
	o := later("the gateway of %s cannot be reached", a.domain)
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		o.Reason = fmt.Sprintf("the gateway of %s is at an address that this gateway does not go to; its operator allows it with outbound.allow",
			a.domain)
	case isCertificate(err):
		o.Reason = fmt.Sprintf("the gateway of %s has a certificate that is not valid for it", a.domain)
	case errors.As(err, &slow) && slow.Timeout():
		o.Reason = fmt.Sprintf("the gateway of %s did not answer in time", a.domain)
	}
	c := a.outcome(o)
	c.Down = true
	return c
}

// isCertificate reports whether a call failed because of the other side's certificate.
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

// retryAfter reads the Retry-After header: seconds or a date. 0 means none. RFC 9110
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
