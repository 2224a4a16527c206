package courier

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// retryRule says for how long an attempt is repeated after a refusal.
type retryRule int

const (
	final    retryRule = iota // the same message for the same recipient is not worth another attempt
	forADay                   // the other side may fix it, or its DNS
	asLongAs                  // until the message is too old for any attempt
)

// verdict is the meaning of a code of another gateway: for how long attempts are
// repeated, the code that the sender sees, and the words. In the words %[1]s is the
// domain and %[2]s the local part of the recipient.
type verdict struct {
	retry retryRule
	code  amtp.Code
	words string
}

// verdicts are the codes that mean the same from every gateway: those of the protocol,
// ours, and those of the reference gateway. After any other code, and after an answer
// that is no AMTP error, attempts are repeated for a day. AMTP §9, §11.
var verdicts = map[amtp.Code]verdict{
	amtp.CodeAgentUnknown:      {final, amtp.CodeAgentUnknown, "there is no agent %[2]s at %[1]s"},
	amtp.CodeRecipientNotFound: {final, amtp.CodeRecipientNotFound, "%[1]s does not know the recipient %[2]s"},
	amtp.CodeInvalidRecipient: {final, amtp.CodeInvalidRecipient,
		"the gateway of %[1]s does not take %[2]s for an address"},

	amtp.CodeInvalidMessage: {final, amtp.CodeInvalidMessage,
		"the gateway of %[1]s refuses the form of the message"},
	amtp.CodeInvalidRequest: {final, amtp.CodeInvalidMessage,
		"the gateway of %[1]s refuses the form of the message"},
	"VALIDATION_FAILED": {final, amtp.CodeInvalidMessage,
		"the gateway of %[1]s refuses the form of the message"},
	"MESSAGE_VALIDATION_FAILED": {final, amtp.CodeInvalidMessage,
		"the gateway of %[1]s refuses the form, the size or the schema of the message"},
	amtp.CodeUnsupportedVersion: {final, amtp.CodeUnsupportedVersion,
		"the gateway of %[1]s does not speak this version of AMTP"},
	amtp.CodeSchemaValidation: {final, amtp.CodeSchemaValidation,
		"the gateway of %[1]s says that the payload does not match its schema"},
	"SCHEMA_REQUIRED": {final, amtp.CodeSchemaValidation, "the gateway of %[1]s wants a schema for %[2]s"},
	"SCHEMA_NEGOTIATION_FAILED": {final, amtp.CodeSchemaValidation,
		"the gateway of %[1]s does not know the schema of the message"},
	amtp.CodeMessageTooLarge: {final, amtp.CodeMessageTooLarge,
		"the message is too large for the gateway of %[1]s"},
	"PAYLOAD_TOO_LARGE": {final, amtp.CodeMessageTooLarge,
		"the message is too large for the gateway of %[1]s"},
	amtp.CodeCoordinationFailed: {final, amtp.CodeCoordinationFailed,
		"the gateway of %[1]s refuses the workflow of the message"},
	amtp.CodeIdempotencyKeyReused: {final, amtp.CodeIdempotencyKeyReused,
		"the gateway of %[1]s has another message under this id or idempotency key"},

	amtp.CodeSignatureRequired: {forADay, amtp.CodeSignatureRequired,
		"the gateway of %[1]s takes signed messages only and found no signature"},
	amtp.CodeSignatureInvalid: {forADay, amtp.CodeSignatureInvalid,
		"the gateway of %[1]s says that the signature is not that of the sender's domain"},
	amtp.CodeSignatureKeyUnavailable: {forADay, amtp.CodeSignatureKeyUnavailable,
		"the gateway of %[1]s cannot look up the key of the sender's domain"},
	amtp.CodeLocalSenderAuthRequired: {forADay, amtp.CodeLocalSenderAuthRequired,
		"the gateway of %[1]s takes the sender for an agent of its own and wants its key"},
	amtp.CodeSenderCredentialMismatch: {forADay, amtp.CodeSenderCredentialMismatch,
		"the gateway of %[1]s takes the sender for another agent"},
	amtp.CodeAuthenticationFailed: {forADay, amtp.CodeAuthenticationFailed,
		"the gateway of %[1]s does not believe that this is from us"},
	amtp.CodeMissingAuthorization: {forADay, amtp.CodeAuthenticationFailed,
		"the gateway of %[1]s wants a key that gateways do not have"},
	"AUTHENTICATION_REQUIRED": {forADay, amtp.CodeAuthenticationFailed,
		"the gateway of %[1]s wants a key that gateways do not have"},
	amtp.CodeAccessDenied: {forADay, amtp.CodeAccessDenied,
		"the gateway of %[1]s does not let this message in"},
	amtp.CodeRecipientUnavailable: {forADay, amtp.CodeRecipientUnavailable,
		"the gateway of %[1]s could not deliver to %[2]s"},
	"DELIVERY_FAILED": {forADay, amtp.CodeRecipientUnavailable, "the gateway of %[1]s could not deliver to %[2]s"},
	amtp.CodeCancelled: {forADay, amtp.CodeRecipientUnavailable,
		"the operator of %[1]s withdrew the delivery to %[2]s"},

	amtp.CodeRateLimitExceeded: {asLongAs, amtp.CodeRecipientUnavailable,
		"the gateway of %[1]s takes no more messages from us now"},
	amtp.CodeTemporaryFailure: {asLongAs, amtp.CodeRecipientUnavailable,
		"the gateway of %[1]s cannot take messages now"},
	amtp.CodeInternal:   {asLongAs, amtp.CodeRecipientUnavailable, "the gateway of %[1]s failed"},
	"PROCESSING_FAILED": {asLongAs, amtp.CodeRecipientUnavailable, "the gateway of %[1]s failed"},
}

// judged is the outcome for a code of the other side, false if the code is not known.
func (a *attempt) judged(code amtp.Code) (gateway.Outcome, bool) {
	v, known := verdicts[code]
	if !known {
		return gateway.Outcome{}, false
	}
	o := gateway.Outcome{Event: gateway.Postpone, Code: v.code,
		Reason: fmt.Sprintf(v.words, a.domain, a.to.Recipient.Local())}
	if code != v.code {
		o.Reason += " (" + string(code) + ")"
	}
	switch v.retry {
	case final:
		o.Event = gateway.Refuse
	case forADay:
		o.Patience = aDay
	}
	return o, true
}

// refused is the carriage for an answer with an error of the protocol, if the status does
// not say otherwise. ok is false if the code decides nothing.
func (a *attempt) refused() (c gateway.Carriage, ok bool) {
	v, known := verdicts[a.code]
	switch {
	case !known:
		return c, false
	case a.Status >= http.StatusInternalServerError && v.retry == final: // a gateway that fails may be mistaken
		return c, false
	case v.retry == asLongAs:
		return c, false
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly:
		return c, false
	}
	if a.mayBeCut(&v) {
		return a.outcome(trouble(v.code,
			"the gateway of %s refuses the form of a message that took long to arrive and may have been cut off",
			a.domain)), true
	}
	o, _ := a.judged(a.code)
	if a.Status >= http.StatusInternalServerError { // their failure will pass, however long it takes
		o.Patience = gateway.Patience{}
	}
	o.RetryAfter = retryAfter(a.Header, a.now)
	return a.outcome(o), true
}

// cutAfter is from how long a transfer on the other gateway may have cut the message off.
// Many gateways then say that the form of the message is wrong, and not 408.
const cutAfter = 5 * time.Second

// mayBeCut reports whether a refusal of the form may concern half a message.
func (a *attempt) mayBeCut(v *verdict) bool {
	return v.retry == final && v.code == amtp.CodeInvalidMessage && a.Took >= cutAfter
}

// token returns a code of another gateway if it may be shown, else "". A code is one word
// of capital letters, digits and underscores.
func token(code string) amtp.Code {
	if len(code) > 64 {
		return ""
	}
	for _, c := range code {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return ""
		}
	}
	return amtp.Code(code)
}

// printable returns a text of another gateway in a form that is safe in the log.
func printable(text string) string {
	const most = 200
	clean := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	if len(clean) > most {
		clean = strings.ToValidUTF8(clean[:most], "") + "…"
	}
	return clean
}
