package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
)

// Refusal is the answer to a caller for an error: the *amtp.Error that it is or wraps,
// and otherwise the text for a store's error that has no better one where it occurs.
// Faults are INTERNAL: their cause is for the log.
func Refusal(err error) *amtp.Error {
	if e, ok := errors.AsType[*amtp.Error](err); ok && e != nil {
		return e
	}
	switch {
	case errors.Is(err, ErrPaused):
		e := amtp.Errorf(amtp.CodeTemporaryFailure,
			"This gateway was restored from a backup and accepts no messages until its operator confirms it: amtp restore --confirm, with --data-dir where that is not the usual one")
		e.RetryAfter, e.Cause = time.Minute, err
		return e.With("paused", true)
	case errors.Is(err, ErrRevoked):
		return amtp.Errorf(amtp.CodeAuthenticationFailed,
			"401 Unauthorized: the key is unknown, expired or revoked. Get a new one: amtp setup --name NAME")
	case errors.Is(err, ErrReused):
		return amtp.Errorf(amtp.CodeIdempotencyKeyReused,
			"This idempotency key or message id already belongs to a message with other content. Use a new one for a new message.")
	case errors.Is(err, ErrSlow):
		return amtp.Errorf(amtp.CodeInvalidParameter,
			"The search was ended after %d seconds. Search for rarer words, or give more letters before a *.",
			SearchTime/time.Second)
	case errors.Is(err, ErrBusy), errors.Is(err, ErrClosed), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, context.Canceled):
		e := amtp.Errorf(amtp.CodeTemporaryFailure, "The gateway cannot do this at the moment. Try again.")
		e.RetryAfter = time.Second
		if !errors.Is(err, ErrFull) && !errors.Is(err, ErrAway) {
			e.Cause = err
		}
		return e
	}
	e := amtp.Errorf(amtp.CodeInternal, "The gateway failed; its log has the cause under this request id. Try again.")
	e.Cause = err
	return e
}

// CodeOf returns the code of Refusal(err), "" for no error.
func CodeOf(err error) amtp.Code {
	if err == nil {
		return ""
	}
	return Refusal(err).Code
}

// AtFault reports whether a code says that the gateway, or a service on which it
// depends, is at fault, and not the caller.
func AtFault(code amtp.Code) bool {
	switch code {
	case amtp.CodeTemporaryFailure, amtp.CodeSignatureKeyUnavailable, amtp.CodeCertificateFailed, amtp.CodeInternal:
		return true
	}
	return false
}

// NeedAdmin returns the refusal of a caller without the administrator's key.
func NeedAdmin(p *Principal) error {
	if p.Agent != nil {
		return amtp.Errorf(amtp.CodeAdminAccessDenied, "This needs the admin key; the key of %s does not do.",
			p.Agent.Address)
	}
	return amtp.Errorf(amtp.CodeAdminAuthRequired,
		"This needs the admin key: X-Admin-Key. It is in the file admin.key in the gateway's data directory.").
		With("required_header", "X-Admin-Key")
}
