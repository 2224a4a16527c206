package amtp

import (
	"fmt"
	"time"
)

// Code names a class of error on the wire. AMTP §11 and the names that the
// reference gateway uses where the protocol has none.
type Code string

// The codes of the protocol.
const (
	CodeInvalidMessage       Code = "INVALID_MESSAGE_FORMAT"
	CodeUnsupportedVersion   Code = "UNSUPPORTED_VERSION"
	CodeSchemaValidation     Code = "SCHEMA_VALIDATION_FAILED"
	CodeMessageTooLarge      Code = "MESSAGE_TOO_LARGE"
	CodeInvalidRecipient     Code = "INVALID_RECIPIENT"
	CodeRecipientUnavailable Code = "RECIPIENT_UNAVAILABLE"
	CodeRecipientNotFound    Code = "RECIPIENT_NOT_FOUND"
	CodeAgentUnknown         Code = "AGENT_UNKNOWN"
	CodeAuthenticationFailed Code = "AUTHENTICATION_FAILED"
	CodeRateLimitExceeded    Code = "RATE_LIMIT_EXCEEDED"
	CodeTemporaryFailure     Code = "TEMPORARY_FAILURE"
	CodeCoordinationFailed   Code = "COORDINATION_FAILED"
)

// The codes of sender verification. AMTP §9, §11.
const (
	CodeLocalSenderAuthRequired  Code = "LOCAL_SENDER_AUTH_REQUIRED"
	CodeSenderCredentialMismatch Code = "SENDER_CREDENTIAL_MISMATCH"
	CodeSignatureRequired        Code = "SIGNATURE_REQUIRED"
	CodeSignatureInvalid         Code = "SIGNATURE_INVALID"
	CodeSignatureKeyUnavailable  Code = "SIGNATURE_KEY_UNAVAILABLE"
)

// The codes in addition to the protocol's.
const (
	CodeInvalidRequest       Code = "INVALID_REQUEST_FORMAT" // a body or parameter that is no message
	CodeInvalidLimit         Code = "INVALID_LIMIT"
	CodeInvalidOffset        Code = "INVALID_OFFSET"
	CodeInvalidSince         Code = "INVALID_SINCE_FORMAT"
	CodeInvalidParameter     Code = "INVALID_PARAMETER"
	CodeUnsupportedMediaType Code = "UNSUPPORTED_MEDIA_TYPE"
	CodeMethodNotAllowed     Code = "METHOD_NOT_ALLOWED"
	CodeMisdirected          Code = "MISDIRECTED_REQUEST" // the name in the request is not one of this gateway
	CodeNotFound             Code = "NOT_FOUND"           // no such route
	// a route of the protocol, or of the reference gateway, that this gateway lacks
	CodeNotImplemented       Code = "NOT_IMPLEMENTED"
	CodeMessageNotFound      Code = "MESSAGE_NOT_FOUND"
	CodeKeyNotFound          Code = "KEY_NOT_FOUND"
	CodeDomainNotFound       Code = "DOMAIN_NOT_FOUND"
	CodeJobNotFound          Code = "JOB_NOT_FOUND"
	CodeDeadLetterNotFound   Code = "DEAD_LETTER_NOT_FOUND"
	CodeIdempotencyKeyReused Code = "IDEMPOTENCY_KEY_REUSED"
	CodeConflict             Code = "CONFLICT"
	CodeLeaseLost            Code = "LEASE_LOST" // the lease on a message has ended, or another has it
	CodeLeaseHeld            Code = "LEASE_HELD" // another key holds a lease on the message
	CodeMissingAuthorization Code = "MISSING_AUTHORIZATION"
	CodeAccessDenied         Code = "ACCESS_DENIED"
	CodeAdminAuthRequired    Code = "ADMIN_AUTHENTICATION_REQUIRED"
	CodeAdminAccessDenied    Code = "ADMIN_ACCESS_DENIED"
	CodeRegistrationFailed   Code = "AGENT_REGISTRATION_FAILED"
	CodeCancelled            Code = "CANCELLED"          // of a recipient: the delivery was cancelled
	CodeMessageExpired       Code = "MESSAGE_EXPIRED"    // of a recipient: the time in the header expires passed
	CodeCertificateFailed    Code = "CERTIFICATE_FAILED" // no other certificate could be obtained; the one in use stays
	CodeInternal             Code = "INTERNAL"
)

// Error is a gateway's answer to a request that it refuses. [Client] returns it for such
// an answer.
type Error struct {
	Code      Code           `json:"code"`
	Message   string         `json:"message"`           // a sentence for a person
	Details   map[string]any `json:"details,omitempty"` // facts for a program
	Timestamp Time           `json:"timestamp"`
	RequestID string         `json:"request_id"`

	// Status is the HTTP status of the answer, 0 outside HTTP.
	Status int `json:"-"`
	// RetryAfter is how long the gateway asks to wait, 0 if it does not ask.
	RetryAfter time.Duration `json:"-"`
	// Result has the recipients' states of a message that the gateway refused as a whole;
	// nil if the answer has none.
	Result *SendResult `json:"-"`
	// Cause is the gateway's own reason, which it does not send; nil on the client's side.
	Cause error `json:"-"`
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns Cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With returns e with one more detail.
func (e *Error) With(name string, value any) *Error {
	if e.Details == nil {
		e.Details = make(map[string]any, 2)
	}
	e.Details[name] = value
	return e
}
