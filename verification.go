package amtp

// VerificationResult says in one word how it is known who sent a message.
// AMTP §9.
type VerificationResult string

// The results.
const (
	SenderVerified        VerificationResult = "verified"         // the signature of the sender's domain verifies
	SenderAuthenticated   VerificationResult = "authenticated"    // the sender's own key was shown
	SenderTrustedInternal VerificationResult = "trusted_internal" // the gateway itself wrote the message
	SenderUnsigned        VerificationResult = "unsigned"         // there is no signature, and no key was shown
	// the signature is not for this message, or not well formed
	SenderInvalid        VerificationResult = "invalid"
	SenderKeyUnavailable VerificationResult = "key_unavailable" // no key was found, or DNS did not answer
)

// The methods by which a sender is proven. AMTP §9.
const (
	MethodDomainSignature = "domain_signature"
	MethodAgentKey        = "agent_api_key"
)

// SenderVerification is a gateway's finding about the sender of a message, in the
// protocol's words. It is recorded before the message is stored, and never taken from the
// message. AMTP §9.
type SenderVerification struct {
	Result    VerificationResult `json:"result"`
	Method    string             `json:"method,omitempty"`    // how a proven sender was proven
	Domain    Domain             `json:"domain,omitempty"`    // of a sender in another domain
	KeyID     string             `json:"keyid,omitempty"`     // the selector of a signature
	Algorithm string             `json:"algorithm,omitempty"` // of a signature
	Policy    string             `json:"policy,omitempty"`    // under which an unproven sender was accepted
}
