package httpapi

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// statuses maps each code to its HTTP status. No other place knows it.
var statuses = map[amtp.Code]int{
	amtp.CodeInvalidMessage:           http.StatusBadRequest,
	amtp.CodeUnsupportedVersion:       http.StatusBadRequest,
	amtp.CodeInvalidRecipient:         http.StatusBadRequest,
	amtp.CodeInvalidRequest:           http.StatusBadRequest,
	amtp.CodeInvalidLimit:             http.StatusBadRequest,
	amtp.CodeInvalidOffset:            http.StatusBadRequest,
	amtp.CodeInvalidSince:             http.StatusBadRequest,
	amtp.CodeInvalidParameter:         http.StatusBadRequest,
	amtp.CodeCoordinationFailed:       http.StatusBadRequest,
	amtp.CodeRegistrationFailed:       http.StatusBadRequest,
	amtp.CodeAuthenticationFailed:     http.StatusUnauthorized,
	amtp.CodeMissingAuthorization:     http.StatusUnauthorized,
	amtp.CodeAdminAuthRequired:        http.StatusUnauthorized,
	amtp.CodeAccessDenied:             http.StatusForbidden,
	amtp.CodeAdminAccessDenied:        http.StatusForbidden,
	amtp.CodeLocalSenderAuthRequired:  http.StatusUnauthorized,
	amtp.CodeSenderCredentialMismatch: http.StatusForbidden,
	amtp.CodeSignatureRequired:        http.StatusForbidden,
	amtp.CodeSignatureInvalid:         http.StatusForbidden,
	amtp.CodeSignatureKeyUnavailable:  http.StatusServiceUnavailable,
	amtp.CodeAgentUnknown:             http.StatusNotFound,
	amtp.CodeRecipientNotFound:        http.StatusNotFound,
	amtp.CodeMessageNotFound:          http.StatusNotFound,
	amtp.CodeKeyNotFound:              http.StatusNotFound,
	amtp.CodeDomainNotFound:           http.StatusNotFound,
	amtp.CodeJobNotFound:              http.StatusNotFound,
	amtp.CodeDeadLetterNotFound:       http.StatusNotFound,
	amtp.CodeNotFound:                 http.StatusNotFound,
	amtp.CodeNotImplemented:           http.StatusNotFound,
	amtp.CodeMethodNotAllowed:         http.StatusMethodNotAllowed,
	amtp.CodeMisdirected:              http.StatusMisdirectedRequest,
	amtp.CodeConflict:                 http.StatusConflict,
	amtp.CodeLeaseLost:                http.StatusConflict,
	amtp.CodeLeaseHeld:                http.StatusConflict,
	amtp.CodeMessageTooLarge:          http.StatusRequestEntityTooLarge,
	amtp.CodeUnsupportedMediaType:     http.StatusUnsupportedMediaType,
	amtp.CodeIdempotencyKeyReused:     http.StatusUnprocessableEntity,
	amtp.CodeRecipientUnavailable:     http.StatusUnprocessableEntity, // the message was accepted and failed later
	amtp.CodeRateLimitExceeded:        http.StatusTooManyRequests,
	amtp.CodeCertificateFailed:        http.StatusBadGateway,
	amtp.CodeTemporaryFailure:         http.StatusServiceUnavailable,
	amtp.CodeInternal:                 http.StatusInternalServerError,
}

// refusal is the body of every error answer. If a message was refused as a whole, the
// result for that message follows the error.
type refusal struct {
	Error *amtp.Error `json:"error"`
	*amtp.SendResult
}

// fail writes the answer for a request that was refused. It is the only
// function that writes errors, except for the error that ends a stream of events.
func (c *call) fail(err error) {
	status, answer := c.refuses(err)
	h := c.w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="amtp"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := max(1, int64(answer.Error.RetryAfter.Round(time.Second)/time.Second))
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	c.reply(status, answer)
}

// refuses returns the status and the body of an error answer, and logs the failure.
//
// A right that ended during the call is refused as it would be now: the key may be good, and
// only a membership have ended.
func (c *call) refuses(err error) (int, refusal) {
	if errors.Is(err, gateway.ErrRevoked) {
		if now := c.recheck(); now != nil {
			err = now
		}
	}
	e := gateway.Refusal(err)
	c.refused = true
	status, known := statuses[e.Code]
	switch {
	case c.late:
		status = http.StatusRequestTimeout
	case !known:
		status = http.StatusInternalServerError
	}
	if status >= http.StatusInternalServerError {
		level := slog.LevelError
		switch {
		case c.r.Context().Err() != nil:
			level = slog.LevelDebug // the caller went away and gets no answer
		case errors.Is(e.Cause, gateway.ErrPaused):
			level = slog.LevelDebug // logged once, when the gateway started
		case e.Code == amtp.CodeSignatureKeyUnavailable && e.Cause == nil:
			level = slog.LevelDebug // the sender's domain publishes no such key
		case e.Code == amtp.CodeTemporaryFailure, e.Code == amtp.CodeSignatureKeyUnavailable:
			level = slog.LevelWarn
		}
		fields := []any{"request", c.id.String(), "route", c.r.Pattern, "code", e.Code}
		if e.Cause != nil {
			fields = append(fields, "cause", e.Cause)
		}
		c.logFailure(level, fields, e.Cause != nil)
	}
	answer := *e
	answer.Timestamp, answer.RequestID = amtp.Time{Time: c.s.Now()}, c.id.String()
	return status, refusal{Error: &answer, SendResult: e.Result}
}

// logFailure logs a request that failed. It samples two kinds of failures: those that
// strangers cause, and those with a cause that is logged elsewhere, such as a full disk.
// The next line that is written has the number of lines left out.
func (c *call) logFailure(level slog.Level, fields []any, hasCause bool) {
	ctx := c.r.Context()
	if !c.s.Log.Enabled(ctx, level) {
		return
	}
	var lines *sampler
	switch {
	case c.stranger():
		lines = &c.s.sampled
	case !hasCause:
		lines = &c.s.causeless
	}
	if lines != nil {
		ok, left := lines.may(c.s.Now())
		if !ok {
			return
		}
		if left > 0 {
			fields = append(fields, "left_out", left)
		}
	}
	c.s.Log.Log(ctx, level, "request failed", fields...)
}

// reply writes an answer.
func (c *call) reply(status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		c.s.Log.Error("an answer cannot be encoded", "request", c.id.String(), "route", c.r.Pattern, "error", err)
		status, b = http.StatusInternalServerError,
			[]byte(`{"error":{"code":"INTERNAL","message":"The answer cannot be encoded.","request_id":"`+
				c.id.String()+`"}}`)
	}
	c.write(status, b)
}

// write sends an encoded answer in one piece.
func (c *call) write(status int, body []byte) {
	if len(body) > firstPiece && !c.makeRoom(int64(len(body))) {
		c.s.room.makeWay(c, int64(len(body)))
		status, body = http.StatusServiceUnavailable, c.noRoomAnswer()
	}
	c.status = status
	if c.asked {
		c.s.Limits.Answered(c.addr, int64(len(body)))
	}
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	c.writeAll(body)
}

// noRoomAnswer replaces an answer for which there is no room.
func (c *call) noRoomAnswer() []byte {
	c.w.Header().Set("Retry-After", "1")
	b, _ := json.Marshal(refusal{Error: &amtp.Error{Code: amtp.CodeTemporaryFailure, // strings and a time cannot fail
		Message:   "The gateway is working on as many bytes as it may. Try again.",
		Timestamp: amtp.Time{Time: c.s.Now()}, RequestID: c.id.String()}})
	return b
}

func (c *call) methodNotAllowed(methods string) {
	c.w.Header().Set("Allow", methods)
	c.fail(amtp.Errorf(amtp.CodeMethodNotAllowed, "This path does not serve %.20q; it serves %s.", c.r.Method, methods))
}

// lacking lists paths of the protocol and of the reference gateway that this gateway
// does not have, including all paths below them. The text says what it does instead.
var lacking = []struct{ path, text string }{
	{"/v1/admin/schemas",
		"This gateway has no registry of schemas: it carries the schema that a message names and checks no payload against it."},
	{"/v1/workflows", "This gateway runs no workflows: send the messages without coordination."},
	{"/v1/webhooks", "This gateway sends no notifications of deliveries: ask GET /v1/messages/{id}/status."},
	{"/v1/traces", "This gateway keeps no traces: GET /v1/messages/{id}/status says what was tried."},
	{"/metrics", "This gateway has no metrics to fetch: GET /health and GET /ready say how it is."},
}

// lacks returns the text for a path that this gateway lacks, "" for any other path.
func lacks(at string) string {
	for _, l := range lacking {
		if at == l.path || strings.HasPrefix(at, l.path+"/") {
			return l.text
		}
	}
	return ""
}

// noRoute answers a request for a path that does not exist.
func (c *call) noRoute() {
	if text := lacks(c.r.URL.Path); text != "" {
		c.fail(amtp.Errorf(amtp.CodeNotImplemented, "%s", text))
		return
	}
	c.fail(amtp.Errorf(amtp.CodeNotFound, "The gateway has no such path; its API is under /v1."))
}
