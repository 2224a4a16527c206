package amtp

// Reason says in one word why a sender was not proven. It is in [Authentication].
type Reason string

// The reasons.
const (
	ReasonUnsigned             Reason = "unsigned"
	ReasonMalformed            Reason = "malformed"
	ReasonUnsupportedAlgorithm Reason = "unsupported-algorithm"
	ReasonIncomplete           Reason = "incomplete"     // a member that must be signed is missing
	ReasonInexactNumber        Reason = "inexact-number" // the canonical form would change a number
	ReasonKeyMissing           Reason = "key-missing"
	ReasonKeyInvalid           Reason = "key-invalid"
	ReasonKeyAmbiguous         Reason = "key-ambiguous"   // several valid records under one selector
	ReasonKeyUnavailable       Reason = "key-unavailable" // DNS did not answer: try again
	ReasonAlgorithmMismatch    Reason = "algorithm-mismatch"
	ReasonBadSignature         Reason = "bad-signature"
	ReasonExpired              Reason = "expired"
	ReasonNotYetValid          Reason = "not-yet-valid"
)

// The results of an authentication, in the words of RFC 8601.
const (
	AuthPass      = "pass"
	AuthFail      = "fail"      // the signature is not for this message, or no longer valid
	AuthNone      = "none"      // there is no signature
	AuthTempError = "temperror" // may be known later
	AuthPermError = "permerror" // can never be verified as it is
)

// Result returns the result that belongs to the reason.
func (r Reason) Result() string {
	switch r {
	case "":
		return AuthPass
	case ReasonUnsigned:
		return AuthNone
	case ReasonKeyUnavailable:
		return AuthTempError
	case ReasonAlgorithmMismatch, ReasonBadSignature, ReasonExpired, ReasonNotYetValid:
		return AuthFail
	}
	return AuthPermError
}

// SignatureError says why a signature proves nothing, or could not be made.
type SignatureError struct {
	Reason Reason
	Cause  error // more about it; may be nil
}

func (e *SignatureError) Error() string {
	if e.Cause == nil {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Cause.Error()
}

// Unwrap returns Cause.
func (e *SignatureError) Unwrap() error { return e.Cause }

// Verification returns the result in sender_verification for the reason. AMTP §9.
func (r Reason) Verification() VerificationResult {
	switch r {
	case "":
		return SenderVerified
	case ReasonUnsigned:
		return SenderUnsigned
	case ReasonKeyMissing, ReasonKeyUnavailable:
		return SenderKeyUnavailable
	}
	return SenderInvalid
}
