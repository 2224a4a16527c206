package gateway_test

import (
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// reasons has all reasons of the protocol's package, none, one from before the
// revision, and one that does not exist.
var reasons = []amtp.Reason{
	"", amtp.ReasonUnsigned, amtp.ReasonMalformed, amtp.ReasonUnsupportedAlgorithm, amtp.ReasonIncomplete,
	amtp.ReasonInexactNumber,
	amtp.ReasonKeyMissing, amtp.ReasonKeyInvalid, amtp.ReasonKeyAmbiguous, amtp.ReasonKeyUnavailable,
	amtp.ReasonAlgorithmMismatch,
	amtp.ReasonBadSignature, amtp.ReasonExpired, amtp.ReasonNotYetValid, "foreign-domain", "no-such-reason",
}

// TestShownNeverDisagrees: whatever is stored of a sender, the three forms that are
// shown agree. AMTP §9.
func TestShownNeverDisagrees(t *testing.T) {
	tried := 0
	for _, class := range []gateway.Class{0, gateway.ClassAgent, gateway.ClassDomain, gateway.ClassAnonymous,
		gateway.ClassGateway, 99} {
		for _, sender := range []string{"ann@far.example", "echo@ours.example", "mailer-daemon@far.example"} {
			for _, reason := range reasons {
				for _, result := range []string{"", amtp.AuthPass, amtp.AuthFail, amtp.AuthNone, amtp.AuthTempError,
					amtp.AuthPermError} {
					for _, policy := range []gateway.Policy{"", gateway.PolicyAccept, gateway.PolicyFlag,
						gateway.PolicyReject} {
						for _, bridged := range []bool{false, true} {
							e := &gateway.Envelope{Sender: address(t, sender), Class: class, Found: gateway.Finding{
								Authentication: amtp.Authentication{Result: result, Domain: "far.example",
									Selector: "k1", Algorithm: amtp.ES256, Reason: string(reason)},
								Policy: policy, Bridged: bridged}}
							agrees(t, e)
							tried++
						}
					}
				}
			}
		}
	}
	if tried != 6*3*len(reasons)*6*4*2 {
		t.Errorf("%d were tried", tried)
	}
}

// agrees checks the three forms for one sender.
func agrees(t *testing.T, e *gateway.Envelope) {
	t.Helper()
	s := e.Shown()
	v, a := s.Verification, s.Authentication
	fail := func(why string) {
		t.Errorf("%s: %+v is shown as %+v, %s, %+v", why, *e, v, s.Trust, a)
	}
	pass := a.Result == amtp.AuthPass
	switch s.Trust {
	case amtp.TrustLocal:
		if !pass || a.Domain != "" || v == nil || v.Result != amtp.SenderAuthenticated &&
			v.Result != amtp.SenderTrustedInternal {
			fail("a sender here is proven by its key or is the gateway")
		}
	case amtp.TrustVerified:
		if !pass || a.Domain == "" || v == nil || v.Result != amtp.SenderVerified {
			fail("a verified domain is named in every form")
		}
	case amtp.TrustUnverified, amtp.TrustBridged:
		if pass {
			fail("what is not proven passed")
		}
	default:
		fail("there is no such label")
	}
	if (a.Reason == "") != pass && e.Found.Reason != "" {
		fail("a reason stands where something failed and nowhere else")
	}
	if v == nil {
		if e.Found.Reason != "" || a.Result != amtp.AuthPermError {
			fail("only an old result without a reason is not derived")
		}
		return
	}
	results := map[amtp.VerificationResult][]string{
		amtp.SenderVerified: {amtp.AuthPass}, amtp.SenderAuthenticated: {amtp.AuthPass},
		amtp.SenderTrustedInternal: {amtp.AuthPass},
		amtp.SenderUnsigned:        {amtp.AuthNone}, amtp.SenderInvalid: {amtp.AuthFail, amtp.AuthPermError},
		amtp.SenderKeyUnavailable: {amtp.AuthTempError, amtp.AuthPermError},
	}
	ok := false
	for _, result := range results[v.Result] {
		ok = ok || a.Result == result
	}
	if !ok {
		fail("the result of the one is not that of the other")
	}
	methods := map[amtp.VerificationResult]string{amtp.SenderVerified: amtp.MethodDomainSignature,
		amtp.SenderAuthenticated: amtp.MethodAgentKey}
	if v.Method != methods[v.Result] {
		fail("the method is not that of the result")
	}
	if string(v.Domain) != a.Domain || v.KeyID != a.Selector || v.Algorithm != a.Algorithm {
		fail("the key is not the same")
	}
	if unproven := !pass; (v.Policy != "") != (unproven && e.Found.Policy != "") {
		fail("the policy stands where it let something in and nowhere else")
	}
}

// TestShown has an example of each result.
func TestShown(t *testing.T) {
	key := amtp.Authentication{Result: amtp.AuthPass, Domain: "far.example", Selector: "k1", Algorithm: amtp.ES256}
	failed := func(r amtp.Reason) gateway.Finding {
		a := key
		a.Result, a.Reason = r.Result(), string(r)
		return gateway.Finding{Authentication: a, Policy: gateway.PolicyFlag}
	}
	of := func(result string) gateway.Finding {
		return gateway.Finding{Authentication: amtp.Authentication{Result: result}}
	}
	for _, c := range []struct {
		what   string
		sender string
		class  gateway.Class
		found  gateway.Finding
		want   amtp.SenderVerification
	}{
		{"a domain that signs", "ann@far.example", gateway.ClassDomain, gateway.Finding{Authentication: key},
			amtp.SenderVerification{Result: "verified", Method: "domain_signature", Domain: "far.example", KeyID: "k1",
				Algorithm: "ES256"}},
		{"an agent", "bob@ours.example", gateway.ClassAgent, of("pass"),
			amtp.SenderVerification{Result: "authenticated", Method: "agent_api_key"}},
		{"a report", "mailer-daemon@ours.example", gateway.ClassGateway, of("pass"),
			amtp.SenderVerification{Result: "trusted_internal"}},
		{"the echo", "echo@ours.example", gateway.ClassAgent, of("pass"),
			amtp.SenderVerification{Result: "trusted_internal"}},
		{"nobody, on this machine", "bob@localhost", gateway.ClassAnonymous, of("none"),
			amtp.SenderVerification{Result: "unsigned"}},
		{"no signature", "ann@far.example", gateway.ClassAnonymous,
			gateway.Finding{Authentication: amtp.Authentication{Result: "none", Domain: "far.example",
				Reason: "unsigned"}, Policy: gateway.PolicyAccept},
			amtp.SenderVerification{Result: "unsigned", Domain: "far.example", Policy: "accept"}},
		{"a wrong signature", "ann@far.example", gateway.ClassAnonymous, failed(amtp.ReasonBadSignature),
			amtp.SenderVerification{Result: "invalid", Domain: "far.example", KeyID: "k1", Algorithm: "ES256",
				Policy: "flag"}},
		{"a signature that is too old", "ann@far.example", gateway.ClassAnonymous, failed(amtp.ReasonExpired),
			amtp.SenderVerification{Result: "invalid", Domain: "far.example", KeyID: "k1", Algorithm: "ES256",
				Policy: "flag"}},
		{"no key", "ann@far.example", gateway.ClassAnonymous, failed(amtp.ReasonKeyMissing),
			amtp.SenderVerification{Result: "key_unavailable", Domain: "far.example", KeyID: "k1", Algorithm: "ES256",
				Policy: "flag"}},
		{"a failure from before the reason was kept", "ann@far.example", gateway.ClassAnonymous, of("fail"),
			amtp.SenderVerification{Result: "invalid"}},
	} {
		e := &gateway.Envelope{Sender: address(t, c.sender), Class: c.class, Found: c.found}
		if v := e.Shown().Verification; v == nil || *v != c.want {
			t.Errorf("%s: sender_verification is %+v, want %+v", c.what, v, c.want)
		}
	}
	if v := (&gateway.Envelope{Sender: address(t, "ann@far.example"), Class: gateway.ClassAnonymous,
		Found: of("permerror")}).Shown().Verification; v != nil {
		t.Errorf("an unknown result: sender_verification is %+v, want none", *v)
	}
}

func address(t *testing.T, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
