package gateway

import "github.com/amtp-go/amtp"

// Policy says how a message of another domain without proof of its sender is treated,
// when the domain is not known to sign. AMTP §9.
type Policy string

// The policies.
const (
	PolicyAccept Policy = "accept" // it is accepted, and the finding is stored
	PolicyFlag   Policy = "flag"   // as accept, with a warning in the log, and counted
	PolicyReject Policy = "reject" // it is refused
)

// Finding is what the gateway found out about the sender of a message. It is made
// before anything is stored, and stored with the message. For a sender with a key, and
// for the gateway itself, the class alone decides what is shown.
type Finding struct {
	amtp.Authentication
	Policy  Policy `json:"policy,omitempty"` // the policy that let in a message without proof
	Bridged bool   `json:"-"`                // the message came as e-mail
}

// Shown is what a reader is shown about the proof of a sender, in the three forms that
// clients read.
type Shown struct {
	// Verification is nil for a message that was accepted before its reason was stored
	// under every policy: which word is right is unknown then.
	Verification   *amtp.SenderVerification
	Trust          amtp.Trust
	Authentication amtp.Authentication
}

// Shown derives the three forms from the one stored value, class and finding, so that
// they never disagree: the sender is proven in all of them or in none. AMTP §9.
func (e *Envelope) Shown() Shown {
	switch {
	case e.Class == ClassGateway, e.Class == ClassAgent && IsReserved(e.Sender.Local()):
		// No agent has a key for a reserved name: the gateway itself wrote this.
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
		return s // the signature or the key; only the reason tells which
	default:
		s.Authentication.Result, result = amtp.AuthNone, amtp.SenderUnsigned
	}
	v := f.verification(result)
	s.Verification = &v
	return s
}

// verification returns the finding in the words of the protocol.
func (f Finding) verification(result amtp.VerificationResult) amtp.SenderVerification {
	return amtp.SenderVerification{
		Result: result, Domain: amtp.Domain(f.Domain), KeyID: f.Selector, Algorithm: f.Algorithm,
		Policy: string(f.Policy),
	}
}
