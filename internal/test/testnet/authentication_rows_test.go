package testnet_test

import (
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// row is a story of several letters. A row with settings has a gateway of its own.
type row struct {
	name     string
	settings []string
	test     func(w *world)
}

// alone are the settings of rows that stop their gateway.
var alone = []string{}

var rows = []row{
	{"the same letter again", nil, again},
	{"the same letter from somebody who recorded it, many times", nil, recorded},
	{"other content under the same id", nil, reused},
	{"a letter for another domain brought to us", nil, broughtHere},
	{"keys while one takes the other's place", nil, rotation},
	{"a key that was taken out of DNS", nil, keyGone},
	{"DNS fails for the key", nil, dnsFailsForKey},
	{"DNS refuses to answer for the key", nil, dnsRefusesForKey},
	{"DNS is silent", []string{"AMTP_DNS_TIMEOUT=3s"}, dnsSilent},
	{"DNS fails for a domain that sends unsigned", nil, dnsFailsForDomain},
	{"DNS is down and the key is known", nil, dnsDownKnown},
	{"DNS is down and the domain signed lately", nil, dnsDownDowngrade},
	{"a domain that signed sends unsigned", nil, downgradeUnsigned},
	{"a domain that signed sends a bad signature", nil, downgradeBad},
	{"a domain that signed takes its record away", nil, downgradeRecord},
	{"a restart does not forget who signs", alone, downgradeRestart},
	{"29 days after the last signature", alone, func(w *world) { w.since(29, false, true) }},
	{"31 days after the last signature", alone, func(w *world) { w.since(31, false, false) }},
	{"31 days after it, and DNS says that the domain signs", alone, func(w *world) { w.since(31, true, true) }},
	{"a domain that does not exist", nil, noDomain},
	{"a record of the domain that is not valid", nil, badDomainRecord},
	{"policy accept", []string{policySetting + "accept"}, policyAccept},
	{"policy flag", []string{policySetting + "flag"}, policyFlag},
	{"policy reject", []string{policySetting + "reject"}, policyReject},
	{"our sender without a signature", nil, func(w *world) { w.claims("bob@"+ours, "") }},
	{"our sender in capitals", nil, func(w *world) { w.claims("BOB@OURS.EXAMPLE", "") }},
	{"our sender signed by another domain", nil, claimsWithForeignKey},
	{"our sender signed by a stranger in our name", nil, claimsWithOurSelector},
	{"our mailer-daemon", nil, func(w *world) { w.claims("mailer-daemon@"+ours, "") }},
	{"our postmaster", nil, func(w *world) { w.claims("postmaster@"+ours, "") }},
	{"somebody at localhost", nil, func(w *world) { w.claims("bob@localhost", "") }},
	{"an agent's key for a sender of another domain", nil, agentAsOther},
	{"the admin key for a sender of another domain", nil, adminAsOther},
	{"a wrong key beside a good signature", nil, wrongKeyBeside},
	{"a letter that says itself that it is verified", nil, saysVerified},
	{"a letter without sender, or to nobody", nil, notALetter},
	{"relaying", nil, relaying},
	{"relaying beside a recipient of ours", nil, relayingBeside},
	{"an agent that does not exist", nil, unknownAgent},
	{"first contact", nil, firstContact},
	{"a report from the other gateway", nil, report},
	{"a domain that begins to sign between two tries", nil, beginsToSign},
	{"an id that a stranger took first", nil, idTaken},
}

func again(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	body := d.signs(d.writes(bob.Address.String())).bytes()
	first := w.taken(body, bob)
	before := w.stored()
	a := w.post(body)
	if a.status != http.StatusAccepted || !a.replayed || a.result.MessageID != first.MessageID {
		w.Errorf("the second answer is %d (replayed %v) for %s, want 202, replayed, %s: %s", a.status, a.replayed,
			a.result.MessageID, first.MessageID, a.text)
	}
	if n := len(bob.Inbox()); n != 1 || w.stored() != before {
		w.Errorf("the inbox has %d messages and the gateway %d, want 1 and %d", n, w.stored(), before)
	}
}

func recorded(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	body := d.signs(d.writes(bob.Address.String())).bytes()
	m := w.taken(body, bob)
	bob.Ack(m.MessageID)
	for i := range 20 {
		if a := w.post(body); a.status != http.StatusAccepted || !a.replayed {
			w.Fatalf("answer %d is %d (replayed %v), want 202, replayed: %s", i, a.status, a.replayed, a.text)
		}
	}
	if n := len(bob.Inbox()); n != 0 {
		w.Errorf("the inbox has %d messages after the only one was acknowledged, want none", n)
	}
}

func reused(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.writes(bob.Address.String())
	w.taken(d.signs(l).bytes(), bob)
	w.refused(d.signs(l.with("subject", "another")).bytes(), http.StatusUnprocessableEntity,
		amtp.CodeIdempotencyKeyReused, "")
}

func broughtHere(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.signs(d.writes("eve@elsewhere.example"))
	w.refused(l.bytes(), http.StatusForbidden, amtp.CodeAccessDenied, "")
	w.turnedAway(l.with("recipients", []string{bob.Address.String()}).bytes(), amtp.ReasonBadSignature)
}

func rotation(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	next := es256()
	w.verified(w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob), d, "ES256", "key1")
	late := d.signs(d.writes(bob.Address.String())) // on its way while the key changes
	d.publish("key2", next.record())
	w.verified(w.taken(d.writes(bob.Address.String()).signedBy(next, "key2").bytes(), bob), d, "ES256", "key2")
	w.verified(w.taken(late.bytes(), bob), d, "ES256", "key1")
	w.turnedAway(d.writes(bob.Address.String()).signedBy(d.key, "key2").bytes(), amtp.ReasonBadSignature)
}

func keyGone(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.signs(d.writes(bob.Address.String()))
	w.net.DNS.Remove("key1._amtpkey." + d.name)
	w.turnedAway(l.bytes(), amtp.ReasonKeyMissing)
}

func dnsFailsForKey(w *world) { w.noKeyNow(fakedns.Failing) }

func dnsRefusesForKey(w *world) { w.noKeyNow(fakedns.Refusing) }

func dnsSilent(w *world) { w.noKeyNow(fakedns.Silent) }

// noKeyNow: while DNS does not say what the key is, a letter of a domain that signs
// must come again, and is never accepted as unsigned. A letter of a domain that does
// not publish that it signs is accepted or not by the policy.
func (w *world) noKeyNow(mode fakedns.Mode) {
	for _, held := range []bool{true, false} {
		d, bob := w.newDomain(held), w.newAgent()
		w.net.DNS.Behave("key1._amtpkey."+d.name, mode)
		body := d.signs(d.writes(bob.Address.String())).bytes()
		if held {
			w.turnedAway(body, amtp.ReasonKeyUnavailable)
		} else {
			w.unverified(w.taken(body, bob), d, amtp.ReasonKeyUnavailable)
		}
	}
}

// later posts a body that must come again, because it is unknown whether its domain
// signs.
func (w *world) later(body []byte, reason amtp.Reason) {
	w.Helper()
	code := amtp.CodeSignatureKeyUnavailable
	if reason == amtp.ReasonUnsigned {
		code = amtp.CodeTemporaryFailure
	}
	if a := w.refused(body, http.StatusServiceUnavailable, code, reason); a.retryAfter != "60" {
		w.Errorf("Retry-After is %q, want 60: %s", a.retryAfter, a.text)
	}
}

func dnsFailsForDomain(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.net.DNS.Behave("_amtp."+d.name, fakedns.Failing)
	l := d.signs(d.writes(bob.Address.String()))
	w.later(l.with("signature", nil).bytes(), amtp.ReasonUnsigned)
	w.later(l.with("subject", "another").bytes(), amtp.ReasonBadSignature)
	w.later(l.signatureWith("keyid", "key2").bytes(), amtp.ReasonKeyMissing)
	w.net.DNS.Behave("key3._amtpkey."+d.name, fakedns.Failing)
	w.later(l.signatureWith("keyid", "key3").bytes(), amtp.ReasonKeyUnavailable)
}

func dnsDownKnown(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob)
	w.net.DNS.Behave("key1._amtpkey."+d.name, fakedns.Failing)
	w.verified(w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob), d, "ES256", "key1")
}

func dnsDownDowngrade(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob)
	w.net.DNS.Behave("_amtp."+d.name, fakedns.Failing)
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
}

func downgradeUnsigned(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.unverified(w.taken(d.writes(bob.Address.String()).bytes(), bob), d, amtp.ReasonUnsigned)
	w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob)
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
}

func downgradeBad(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob)
	l := d.signs(d.writes(bob.Address.String()))
	w.turnedAway(l.with("payload", "another").bytes(), amtp.ReasonBadSignature)
	w.turnedAway(l.signatureWith("keyid", "nosuchkey").bytes(), amtp.ReasonKeyMissing)
}

func downgradeRecord(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob)
	w.net.DNS.Remove("_amtp." + d.name)
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
}

func downgradeRestart(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob)
	w.gate.Stop()
	w.gate.Run()
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
}

// since makes a domain send an unsigned letter that many days after its last signature,
// which the store remembers.
func (w *world) since(days int, publishes, held bool) {
	d, bob := w.newDomain(publishes), w.newAgent()
	w.gate.Stop()
	s, err := sqlite.Open(sqlite.Options{Dir: w.gate.Dir})
	if err != nil {
		w.Fatal(err)
	}
	if err := s.NoteSenderDomain(w.Context(), amtp.Domain(d.name), true, time.Now().AddDate(0, 0, -days)); err != nil {
		w.Fatal(err)
	}
	if err := s.Close(); err != nil {
		w.Fatal(err)
	}
	w.gate.Run()
	if body := d.writes(bob.Address.String()).bytes(); held {
		w.turnedAway(body, amtp.ReasonUnsigned)
	} else {
		w.unverified(w.taken(body, bob), d, amtp.ReasonUnsigned)
	}
}

func noDomain(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.net.DNS.Remove("_amtp." + d.name)
	w.net.DNS.Remove("key1._amtpkey." + d.name)
	w.unverified(w.taken(d.writes(bob.Address.String()).bytes(), bob), d, amtp.ReasonUnsigned)
	w.unverified(w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob), d, amtp.ReasonKeyMissing)
}

func badDomainRecord(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.net.DNS.TXT("_amtp."+d.name, time.Minute, "v=amtp1;gateway=no address;auth=sig")
	w.unverified(w.taken(d.writes(bob.Address.String()).bytes(), bob), d, amtp.ReasonUnsigned)
}

func policyAccept(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.unverified(w.taken(d.writes(bob.Address.String()).bytes(), bob), d, amtp.ReasonUnsigned)
	w.unverified(w.taken(d.signs(d.writes(bob.Address.String())).with("payload", 1).bytes(), bob), d,
		amtp.ReasonBadSignature)
	w.flagged(0, 0, 0, 0)
	w.heldTo()
}

// policyFlag: messages that are accepted without proof are counted. The log has one
// line about a domain, however many messages it sends.
func policyFlag(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	body := d.writes(bob.Address.String()).bytes()
	w.unverified(w.taken(body, bob), d, amtp.ReasonUnsigned)
	w.post(body) // a repetition is not counted again
	w.unverified(w.taken(d.writes(bob.Address.String()).bytes(), bob), d, amtp.ReasonUnsigned)
	w.unverified(w.taken(d.signs(d.writes(bob.Address.String())).with("payload", 1).bytes(), bob), d,
		amtp.ReasonBadSignature)
	w.flagged(2, 1, 0, 1)
	other := w.newDomain(false)
	w.unverified(w.taken(other.signs(other.writes(bob.Address.String())).signatureWith("keyid", "key2").bytes(), bob),
		other, amtp.ReasonKeyMissing)
	w.flagged(2, 1, 1, 2)
	w.heldTo()
	w.flagged(2, 1, 1, 2)
}

// flagged checks the operator's report of messages that were accepted without proof:
// their counts, and the number of log lines.
func (w *world) flagged(unsigned, invalid, unavailable int64, lines int) {
	w.Helper()
	list, err := w.gate.Operator().Peers(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if want := (admin.FlaggedCounts{Unsigned: unsigned, Invalid: invalid,
		KeyUnavailable: unavailable}); list.Flagged != want {
		w.Errorf("the counts are %+v, want %+v", list.Flagged, want)
	}
	if got := strings.Count(w.gate.Log(), "accepted without proof of its sender"); got != lines {
		w.Errorf("the log has %d lines about them, want %d:\n%s", got, lines, w.gate.Log())
	}
}

func policyReject(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
	w.turnedAway(d.signs(d.writes(bob.Address.String())).with("payload", 1).bytes(), amtp.ReasonBadSignature)
	w.verified(w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob), d, "ES256", "key1")
	w.heldTo()
}

// heldTo checks that no policy allows a domain that signs to send unsigned.
func (w *world) heldTo() {
	w.Helper()
	d, bob := w.newDomain(true), w.newAgent()
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
	w.verified(w.taken(d.signs(d.writes(bob.Address.String())).bytes(), bob), d, "ES256", "key1")
}

// claims makes a stranger write in the name of an agent of this gateway, with the
// signature of another domain or without one.
func (w *world) claims(sender, keyid string) {
	w.Helper()
	d, bob := w.newDomain(true), w.newAgent()
	l := d.writes(bob.Address.String()).with("sender", sender)
	if keyid != "" {
		l = l.signedBy(d.key, strings.ReplaceAll(keyid, "DOMAIN", d.name))
	}
	w.refused(l.bytes(), http.StatusUnauthorized, amtp.CodeLocalSenderAuthRequired, "")
	w.refused(l.with("recipients", []string{"eve@elsewhere.example"}).bytes(), http.StatusUnauthorized,
		amtp.CodeLocalSenderAuthRequired, "")
}

func claimsWithForeignKey(w *world) { w.claims("bob@"+ours, "DOMAIN:key1") }

func claimsWithOurSelector(w *world) {
	keys, err := w.gate.Operator().SigningKeys(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	w.claims("bob@"+ours, keys.Keys[0].Selector)
}

func agentAsOther(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.signs(d.writes(bob.Address.String()))
	w.refused(l.bytes(), http.StatusForbidden, amtp.CodeSenderCredentialMismatch, "", "Authorization",
		"Bearer "+bob.Client.Key)
}

func adminAsOther(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.signs(d.writes(bob.Address.String()))
	w.refused(l.bytes(), http.StatusForbidden, amtp.CodeAccessDenied, "", "X-Admin-Key", w.gate.Operator().AdminKey)
}

func wrongKeyBeside(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.signs(d.writes(bob.Address.String()))
	w.refused(l.bytes(), http.StatusUnauthorized, amtp.CodeAuthenticationFailed, "", "Authorization",
		"Bearer amtp_nobody")
}

func saysVerified(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	for _, name := range []string{"trust", "Trust", "authentication", "received_at", "sender_verification",
		"Sender_Verification"} {
		l := d.signs(d.writes(bob.Address.String()).with(name, "verified"))
		w.refused(l.bytes(), http.StatusBadRequest, amtp.CodeInvalidMessage, "")
	}
}

func notALetter(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	for _, name := range []string{"sender", "recipients"} {
		w.refused(d.signs(d.writes(bob.Address.String()).with(name, nil)).bytes(), http.StatusBadRequest,
			amtp.CodeInvalidMessage, "")
	}
	w.refused(d.writes(bob.Address.String()).with("signature", "c2lnbmVk").bytes(), http.StatusBadRequest,
		amtp.CodeInvalidMessage, "")
	w.refused(d.signs(d.writes(bob.Address.String()).with("version", "2.0")).bytes(), http.StatusBadRequest,
		amtp.CodeUnsupportedVersion, "")
}

func relaying(w *world) {
	signing, silent := w.newDomain(true), w.newDomain(false)
	a := w.refused(signing.signs(signing.writes("eve@elsewhere.example")).bytes(), http.StatusForbidden,
		amtp.CodeAccessDenied, "")
	if r := a.result.Recipients; len(r) != 1 || r[0].Status != amtp.StatusFailed ||
		r[0].ErrorCode != amtp.CodeAccessDenied {
		w.Errorf("the recipients are %+v, want one that failed with ACCESS_DENIED", r)
	}
	w.refused(silent.writes("eve@elsewhere.example").bytes(), http.StatusForbidden, amtp.CodeAccessDenied, "")
}

func relayingBeside(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	a := w.post(d.signs(d.writes("eve@elsewhere.example", bob.Address.String())).bytes())
	if r := a.result.Recipients; a.status != http.StatusAccepted || len(r) != 2 ||
		r[0].ErrorCode != amtp.CodeAccessDenied || r[1].Status != amtp.StatusDelivered {
		w.Errorf("the answer is %d %s, want 202, ACCESS_DENIED for the first and delivered for the second",
			a.status, a.text)
	}
	if n := len(bob.Inbox()); n != 1 {
		w.Errorf("the inbox has %d messages, want 1", n)
	}
}

func unknownAgent(w *world) {
	d := w.newDomain(true)
	w.refused(d.signs(d.writes("nobody@"+ours)).bytes(), http.StatusNotFound, amtp.CodeAgentUnknown, "")
}

func firstContact(w *world) {
	for _, held := range []bool{true, false} {
		d, bob := w.newDomain(held), w.newAgent()
		for i := range 3 {
			l, want := d.writes(bob.Address.String()), i == 0 || !held // what proves nothing makes nobody known
			if held {
				l = d.signs(l)
			}
			if m := w.taken(l.bytes(), bob); m.Authentication.FirstContact != want {
				w.Errorf("first_contact of letter %d is %v, want %v; signed %v", i,
					m.Authentication.FirstContact, want, held)
			}
		}
		other := d.signs(d.writes(bob.Address.String()).with("sender", "zoe@"+d.name))
		if m := w.taken(other.bytes(), bob); !m.Authentication.FirstContact {
			w.Errorf("first_contact of the first letter of another sender is false, want true")
		}
	}
}

func report(w *world) {
	d, bob := w.newDomain(true), w.newAgent()
	l := d.signs(d.writes(bob.Address.String()).with("sender", "mailer-daemon@"+d.name))
	w.verified(w.taken(l.bytes(), bob), d, "ES256", "key1")
}

// beginsToSign: a message that came unsigned and comes again signed is one message.
func beginsToSign(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	l := d.writes(bob.Address.String())
	first := w.taken(l.bytes(), bob)
	w.unverified(first, d, amtp.ReasonUnsigned)
	a := w.post(d.signs(l).bytes())
	if a.status != http.StatusAccepted || !a.replayed || string(a.result.MessageID) != l["message_id"] {
		w.Errorf("the answer to the second try is %d (replayed %v) %s, want 202, replayed, for %s", a.status,
			a.replayed, a.text, l["message_id"])
	}
	if n := len(bob.Inbox()); n != 1 {
		w.Errorf("the inbox has %d messages, want one", n)
	}
	w.turnedAway(d.writes(bob.Address.String()).bytes(), amtp.ReasonUnsigned)
}

// idTaken: a stranger writes in the name of a domain, under the id of a letter that the
// domain sends later. The domain's letter arrives nevertheless. It has another id here,
// and its sender is told the id that it chose.
func idTaken(w *world) {
	d, bob := w.newDomain(false), w.newAgent()
	l := d.writes(bob.Address.String())
	forged := w.taken(l.with("payload", "forged").bytes(), bob)
	a := w.post(d.signs(l).bytes())
	if a.status != http.StatusAccepted || a.replayed {
		w.Fatalf("the answer is %d (replayed %v) %s, want 202 for a new message", a.status, a.replayed, a.text)
	}
	given := amtp.MessageID(l["message_id"].(string))
	if a.result.MessageID != given || a.result.LocalID == "" || a.result.LocalID == given {
		w.Errorf("the answer names %s, here %q; want %s and another id here", a.result.MessageID,
			a.result.LocalID, given)
	}
	inbox := bob.Inbox()
	if len(inbox) != 2 || inbox[0].MessageID != forged.MessageID || inbox[1].MessageID != a.result.LocalID ||
		inbox[1].SenderMessageID != given {
		w.Fatalf("the inbox has %+v, want the stranger's and after it %s, the sender's %s", inbox,
			a.result.LocalID, given)
	}
	w.verified(inbox[1], d, "ES256", "key1")
	reply := d.writes(bob.Address.String()).with("in_reply_to", string(given)).with("message_id", uuid.NewString())
	if m := w.taken(d.signs(reply).bytes(), bob); m.ThreadID != inbox[1].MessageID {
		w.Errorf("a further letter about %s is in the thread %s, want %s", given, m.ThreadID, inbox[1].MessageID)
	}
	if a := w.post(d.signs(l).bytes()); !a.replayed || a.result.MessageID != given ||
		a.result.LocalID != inbox[1].MessageID {
		w.Errorf("the answer to a second try is %s (replayed %v), want %s, replayed", a.text, a.replayed, given)
	}
}
