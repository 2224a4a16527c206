package gateway

import "github.com/amtp-go/amtp"

// Policy says what becomes of a message of another domain that proves nothing,
// when the domain is not known to sign. AMTP §9.
type Policy string

// The policies.
const (
	PolicyAccept Policy = "accept" // it is taken, and what was found is recorded
	PolicyFlag   Policy = "flag"   // as accept, with a warning in the log, and counted
	PolicyReject Policy = "reject" // it is refused
)

// Finding is what the gateway found out about who sent a message. It is made
// before anything is stored and kept with the message; what it says of a sender
// with a key, or of the gateway itself, follows from the class alone.
type Finding struct {
	amtp.Authentication
	Policy  Policy `json:"policy,omitempty"` // under which a domain that proved nothing was let in
	Bridged bool   `json:"-"`                // the message came as e-mail
}

// Shown is what anybody is shown of how a sender is known, in the three forms
// that clients read.
type Shown struct {
	// Verification is nil for a message that was accepted before its reason was
	// kept under every policy: nobody can say then which word is right.
	Verification   *amtp.SenderVerification
	Trust          amtp.Trust
	Authentication amtp.Authentication
}

// Shown derives the three forms from the one value that is kept, class and
// finding, so that they never disagree: the sender is proven in all of them or in
// none. AMTP §9.
func (e *Envelope) Shown() Shown {
	switch {
	case e.Class == ClassGateway, e.Class == ClassAgent && IsReserved(e.Sender.Local()):
		// Nobody has a key for a reserved name: the gateway itself wrote this.
		return atHome(amtp.SenderVerification{Result: amtp.SenderTrustedInternal})
	case e.Class == ClassAgent:
		return atHome(amtp.SenderVerification{Result: amtp.SenderAuthenticated, Method: amtp.MethodAgentKey})
	case e.Class == ClassDomain:
		a := e.Found.Authentication
		a.Result, a.Reason = amtp.AuthPass, ""
		v := e.Found.verification(amtp.SenderVerified)
		v.Method, v.Policy = amtp.MethodDomainSignature, ""
		return Shown{Verification: &v, Trust: amtp.TrustVerified, Authentication: a}
	}
	return e.Found.unproven()
}

// atHome is what is shown of a sender of this gateway.
func atHome(v amtp.SenderVerification) Shown {
	return Shown{Verification: &v, Trust: amtp.TrustLocal, Authentication: amtp.Authentication{Result: amtp.AuthPass}}
}

// unproven is what is shown of a sender that proved nothing.
func (f Finding) unproven() Shown {
	s := Shown{Trust: amtp.TrustUnverified, Authentication: f.Authentication}
	if f.Bridged {
		s.Trust = amtp.TrustBridged
	}
	reason := amtp.Reason(f.Reason)
	result := reason.Verification()
	switch {
	case reason != "":
		s.Authentication.Result = reason.Result()
	case f.Result == amtp.AuthFail:
		result = amtp.SenderInvalid
	case f.Result == amtp.AuthTempError:
		result = amtp.SenderKeyUnavailable
	case f.Result == amtp.AuthPermError:
		return s // the signature, or the key: the reason would tell
	default:
		s.Authentication.Result, result = amtp.AuthNone, amtp.SenderUnsigned
	}
	v := f.verification(result)
	s.Verification = &v
	return s
}

// verification is the finding in the words of the protocol.
func (f Finding) verification(result amtp.VerificationResult) amtp.SenderVerification {
	return amtp.SenderVerification{
		Result: result, Domain: amtp.Domain(f.Domain), KeyID: f.Selector, Algorithm: f.Algorithm,
		Policy: string(f.Policy),
	}
}
