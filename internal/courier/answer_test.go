package courier_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

// The expected outcomes of an attempt, in the words of says.
const (
	ok    = "success"
	later = "postpone RECIPIENT_UNAVAILABLE"
	aDay  = "postpone RECIPIENT_UNAVAILABLE 12 tries for 24h0m0s"
	rekey = aDay + " rekey"
)

// sentID is replaced in an answer by the id that was sent.
const sentID = "SENT"

// named is an answer that names the message and its recipients: local part, status and
// code, in threes.
func named(triples ...string) string {
	var list []string
	for i := 0; i < len(triples); i += 3 {
		list = append(list,
			fmt.Sprintf(`{"address":"%s@b.example","status":%q,"timestamp":"2026-11-22T12:00:00Z","attempts":1,"error_code":%q,"error_message":"`+
				canary+`"}`,
				triples[i], triples[i+1], triples[i+2]))
	}
	return `{"message_id":"` + sentID + `","status":"` + canary + `","recipients":[` + strings.Join(list, ",") + `]}`
}

func refusal(code string) string {
	return `{"error":{"code":"` + code + `","message":"` + canary + `","details":{"x":"` + canary +
		`"},"timestamp":"2026-11-22T12:00:00Z","request_id":"` + canary + `"}}`
}

// answered is one answer of a peer to a message for bob, and its expected outcome.
type answered struct {
	name   string
	status int
	header string // name: value
	body   string
	want   string
	words  string // the reason contains them
	down   bool
	pause  time.Duration
}

// TestAnswers: the outcome of every answer. A message counts as delivered only if the
// answer says so of the message that was sent and of that recipient.
func TestAnswers(t *testing.T) {
	const html = "Content-Type: text/html"
	bob := named("bob", "delivered", "")
	for _, c := range []answered{
		{"delivered", 200, "", bob, ok, "", false, 0},
		{"in another case", 202, "", strings.ReplaceAll(named("BOB", "queued", ""), sentID, strings.ToUpper(msgID)), ok,
			"", false, 0},
		{"among others", 200, "", named("carol", "failed", "AGENT_UNKNOWN", "bob", "accepted", ""), ok, "", false, 0},
		{"still on its way", 202, "", named("bob", "delivering", ""), ok, "", false, 0},
		{"tried again there", 202, "", named("bob", "retrying", ""), ok, "", false, 0},
		{"with a charset", 200, "Content-Type: Application/JSON ; charset=utf-8", bob, ok, "", false, 0},
		{"without an id", 200, "", strings.ReplaceAll(bob, `"message_id":"`+sentID+`",`, ""), aDay,
			"200 without naming the message", false, 0},
		{"with another id", 200, "", strings.ReplaceAll(bob, sentID, "019b1d3e-7c00-7000-8000-00000000ffff"), aDay,
			"", false, 0},
		{"with the id in a name of another case", 200, "", strings.ReplaceAll(bob, "message_id", "Message_ID"), aDay,
			"", false, 0},
		{"failed for good", 200, "", named("bob", "failed", "AGENT_UNKNOWN"), "refuse AGENT_UNKNOWN",
			"there is no agent bob at b.example", false, 0},
		{"failed for a reason that may pass", 202, "", named("bob", "failed", "DELIVERY_FAILED"), rekey,
			"could not deliver to bob (DELIVERY_FAILED)", false, 0},
		{"failed for now", 202, "", named("bob", "failed", "TEMPORARY_FAILURE"), later + " rekey", "", false, 0},
		{"failed with a code of its own", 202, "", named("bob", "failed", "FULL_MOON"), rekey,
			"could not deliver to bob (FULL_MOON)", false, 0},
		{"failed with a text for a code", 202, "", named("bob", "failed", canary), rekey,
			"could not deliver to bob", false, 0},
		{"failed without a code", 202, "", named("bob", "failed", ""), rekey, "could not deliver to bob", false, 0},
		{"missing", 200, "", named("carol", "delivered", ""), aDay, "says nothing of this recipient", false, 0},
		{"another domain's recipient", 200, "", strings.ReplaceAll(bob, "b.example", "c.example"), aDay, "", false, 0},
		{"a recipient that is no address", 200, "", strings.ReplaceAll(bob, "bob@", ""), aDay, "", false, 0},
		{"a status that means nothing", 200, "", named("bob", canary, ""), aDay,
			"a status that means nothing", false, 0},
		{"twice, with two fates", 200, "", named("bob", "delivered", "", "bob", "failed", "AGENT_UNKNOWN"),
			"refuse AGENT_UNKNOWN", "", false, 0},
		{"twice, the other way round", 200, "", named("bob", "failed", "AGENT_UNKNOWN", "bob", "delivered", ""),
			"refuse AGENT_UNKNOWN", "", false, 0},
		{"no recipients", 200, "", named(), aDay, "", false, 0},
		{"null for recipients", 200, "", `{"message_id":"` + sentID + `","recipients":null}`, aDay, "", false, 0},
		{"an empty object", 200, "", `{}`, aDay, "", false, 0},
		{"a captive portal", 200, html, "<html>" + canary, aDay, "", false, 0},
		{"JSON that says it is HTML", 200, html, bob, aDay, "", false, 0},
		{"nothing", 204, "", "", aDay, "", false, 0},
		{"nothing, with 200", 200, "", "", aDay, "", false, 0},
		{"half of the JSON", 200, "", bob[:len(bob)-9], aDay, "", false, 0},
		{"more after the JSON", 200, "", bob + bob, aDay, "", false, 0},
		{"a member twice", 200, "", `{"message_id":"x",` + bob[1:], aDay, "", false, 0},
		{"a member of another type", 200, "", strings.ReplaceAll(bob, `"`+sentID+`"`, `7`), aDay, "", false, 0},
		{"an answer that has no end", 200, "", bob + strings.Repeat(" ", 1<<20) + canary, aDay, "", false, 0},

		{"moved for good", 301, "Location: /" + canary, bob, aDay, "a redirect (301)", false, 0},
		{"moved, post again", 307, "Location: /" + canary, bob, aDay, "", false, 0},
		{"not changed", 304, "", "", aDay, "", false, 0},

		{"the reference's failure", 400, "", named("bob", "failed", "DELIVERY_FAILED"), rekey, "", false, 0},
		{"the reference's success next to a failure", 400, "",
			named("carol", "failed", "DELIVERY_FAILED", "bob", "delivered", ""), ok, "", false, 0},
		{"the same with an error next to it", 400, "", `{"error":{"code":"DELIVERY_FAILED","message":"` + canary +
			`"},` + named("bob", "failed", "AGENT_UNKNOWN")[1:],
			"refuse AGENT_UNKNOWN", "", false, 0},
		{"ours, with its recipients", 404, "", `{"error":{"code":"AGENT_UNKNOWN","message":"` + canary + `"},` +
			named("bob", "failed", "AGENT_UNKNOWN")[1:],
			"refuse AGENT_UNKNOWN", "there is no agent bob at b.example", false, 0},
		{"recipients of another message", 400, "", strings.ReplaceAll(bob, sentID, "other"), aDay, "", false, 0},
		{"an error and recipients of no message", 400, "",
			`{"error":{"code":"INVALID_RECIPIENT","message":"` + canary + `"},` + strings.ReplaceAll(bob,
				sentID, "")[1:],
			"refuse INVALID_RECIPIENT", "", false, 0},

		{"an unknown code", 400, "", refusal("FULL_MOON"), aDay, "answered 400 FULL_MOON", false, 0},
		{"a code that is a text", 400, "", refusal(canary), aDay, "answered 400 and does not say why", false, 0},
		{"a code that is too long", 400, "", refusal(strings.Repeat("A", 65)), aDay,
			"answered 400 and does not say why", false, 0},
		{"a code without a message", 400, "", `{"error":{"code":"AGENT_UNKNOWN"}}`, aDay, "", false, 0},
		{"a code that is a number", 404, "", `{"error":{"code":404,"message":"` + canary + `","status":"NOT_FOUND"}}`,
			aDay, "", false, 0},
		{"an error that is a text", 400, "", `{"error":"AGENT_UNKNOWN","message":"` + canary + `"}`, aDay,
			"", false, 0},
		{"a code elsewhere", 400, "", `{"code":"AGENT_UNKNOWN","message":"` + canary + `"}`, aDay, "", false, 0},
		{"an error in a page", 404, html, refusal("AGENT_UNKNOWN"), aDay, "", false, 0},
		{"refused without a word", 400, "", "", aDay, "", false, 0},
		{"a proxy's 400", 400, html, canary, aDay, "", false, 0},
		{"a proxy's 404", 404, "Content-Type: text/plain", canary, aDay, "", false, 0},
		{"a proxy's 413", 413, html, canary, aDay, "answered 413", false, 0},
		{"no such method", 405, "", refusal("METHOD_NOT_ALLOWED"), aDay, "answered 405 METHOD_NOT_ALLOWED", false, 0},
		{"of another type", 415, "", refusal("UNSUPPORTED_MEDIA_TYPE"), aDay, "", false, 0},
		{"no such path", 404, "", refusal("NOT_FOUND"), aDay, "answered 404 NOT_FOUND", false, 0},
		{"a proxy's 401", 401, html, canary, "postpone AUTHENTICATION_FAILED 12 tries for 24h0m0s",
			"does not believe that this is from us (401)", false, 0},
		{"a proxy's 403", 403, html, canary, "postpone ACCESS_DENIED 12 tries for 24h0m0s",
			"does not let us in (403)", false, 0},
		{"its key cannot be looked up", 503, "Retry-After: 60", refusal("SIGNATURE_KEY_UNAVAILABLE"),
			"postpone SIGNATURE_KEY_UNAVAILABLE after 1m0s", "cannot look up the key", false, 0},

		{"timed out", 408, "", canary, later, "", false, 0},
		{"too early", 425, "Retry-After: 7", canary, later + " after 7s", "", false, 0},
		{"too many", 429, "Retry-After: 30", refusal("RATE_LIMIT_EXCEEDED"), later + " after 30s",
			"(429 RATE_LIMIT_EXCEEDED)", true, 30 * time.Second},
		{"too many, it says, with the code of another", 429, "", refusal("AGENT_UNKNOWN"), later, "", true, 0},
		{"broken", 500, "", bob, later, "", true, 0},
		{"broken by this message", 500, "Retry-After: 9", refusal("PROCESSING_FAILED"), later + " after 9s",
			"(500 PROCESSING_FAILED)", false, 0},
		{"not there", 502, html, canary, later, "", true, 0},
		{"until a date", 503, "Retry-After: Sun, 22 Nov 2026 12:10:00 GMT", "", later + " after 10m0s", "", true,
			10 * time.Minute},
		{"until a date that has passed", 503, "Retry-After: Sun, 22 Nov 2026 11:10:00 GMT", "", later, "", true, 0},
		{"until garbage", 503, "Retry-After: " + canary, "", later, "", true, 0},
		{"until a negative number", 503, "Retry-After: -5", "", later, "", true, 0},
		{"for ever", 503, "Retry-After: 9223372036854775807", "", later + " after 720h0m0s", "", true, 720 * time.Hour},
		{"with an unknown number", 599, "", bob, later, "", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

// meanings is the outcome of every code of the protocol, ours and the reference
// gateway's, in an error with 400: the outcome, and words of its reason.
var meanings = map[amtp.Code][2]string{
	amtp.CodeInvalidMessage:       {"refuse INVALID_MESSAGE_FORMAT", "refuses the form of the message"},
	amtp.CodeUnsupportedVersion:   {"refuse UNSUPPORTED_VERSION", "does not speak this version"},
	amtp.CodeSchemaValidation:     {"refuse SCHEMA_VALIDATION_FAILED", "does not match its schema"},
	amtp.CodeMessageTooLarge:      {"refuse MESSAGE_TOO_LARGE", "too large for the gateway of b.example"},
	amtp.CodeInvalidRecipient:     {"refuse INVALID_RECIPIENT", "does not take bob for an address"},
	amtp.CodeRecipientUnavailable: {aDay, "could not deliver to bob"},
	amtp.CodeRecipientNotFound:    {"refuse RECIPIENT_NOT_FOUND", "b.example does not know the recipient bob"},
	amtp.CodeAgentUnknown:         {"refuse AGENT_UNKNOWN", "there is no agent bob at b.example"},
	amtp.CodeAuthenticationFailed: {"postpone AUTHENTICATION_FAILED 12 tries for 24h0m0s",
		"does not believe that this is from us"},
	amtp.CodeRateLimitExceeded:  {later, "takes no more messages from us now"},
	amtp.CodeTemporaryFailure:   {later, "cannot take messages now"},
	amtp.CodeCoordinationFailed: {"refuse COORDINATION_FAILED", "refuses the workflow"},

	amtp.CodeLocalSenderAuthRequired: {"postpone LOCAL_SENDER_AUTH_REQUIRED 12 tries for 24h0m0s", "wants its key"},
	amtp.CodeSenderCredentialMismatch: {"postpone SENDER_CREDENTIAL_MISMATCH 12 tries for 24h0m0s",
		"for another agent"},
	amtp.CodeSignatureRequired: {"postpone SIGNATURE_REQUIRED 12 tries for 24h0m0s",
		"takes signed messages only"},
	amtp.CodeSignatureInvalid: {"postpone SIGNATURE_INVALID 12 tries for 24h0m0s",
		"is not that of the sender's domain"},
	amtp.CodeSignatureKeyUnavailable: {"postpone SIGNATURE_KEY_UNAVAILABLE 12 tries for 24h0m0s",
		"cannot look up the key"},

	amtp.CodeInvalidRequest: {"refuse INVALID_MESSAGE_FORMAT",
		"refuses the form of the message (INVALID_REQUEST_FORMAT)"},
	amtp.CodeIdempotencyKeyReused: {"refuse IDEMPOTENCY_KEY_REUSED",
		"another message under this id or idempotency key"},
	amtp.CodeMissingAuthorization: {"postpone AUTHENTICATION_FAILED 12 tries for 24h0m0s", "(MISSING_AUTHORIZATION)"},
	amtp.CodeAccessDenied:         {"postpone ACCESS_DENIED 12 tries for 24h0m0s", "does not let this message in"},
	amtp.CodeCancelled:            {aDay, "withdrew the delivery to bob (CANCELLED)"},
	amtp.CodeInternal:             {later, "failed"},

	"VALIDATION_FAILED": {"refuse INVALID_MESSAGE_FORMAT",
		"refuses the form of the message (VALIDATION_FAILED)"},
	"MESSAGE_VALIDATION_FAILED": {"refuse INVALID_MESSAGE_FORMAT", "(MESSAGE_VALIDATION_FAILED)"},
	"SCHEMA_REQUIRED":           {"refuse SCHEMA_VALIDATION_FAILED", "wants a schema for bob (SCHEMA_REQUIRED)"},
	"SCHEMA_NEGOTIATION_FAILED": {"refuse SCHEMA_VALIDATION_FAILED", "(SCHEMA_NEGOTIATION_FAILED)"},
	"PAYLOAD_TOO_LARGE":         {"refuse MESSAGE_TOO_LARGE", "(PAYLOAD_TOO_LARGE)"},
	"DELIVERY_FAILED":           {aDay, "could not deliver to bob (DELIVERY_FAILED)"},
	"PROCESSING_FAILED":         {later, "failed (PROCESSING_FAILED)"},
	"AUTHENTICATION_REQUIRED":   {"postpone AUTHENTICATION_FAILED 12 tries for 24h0m0s", "(AUTHENTICATION_REQUIRED)"},
	"WORKFLOW_UPDATE_FAILED":    {aDay, "answered 400 WORKFLOW_UPDATE_FAILED"},
}

// TestCodes: the outcome of every code with every status. A refusal ends the delivery
// only with an AMTP code in an error of the protocol's form with 4xx; the sender's
// status has words for it.
func TestCodes(t *testing.T) {
	status, body := 0, ""
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	r := p.courier(p.options())
	codes := maps.Clone(meanings)
	source, err := os.ReadFile("../../errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`Code = "(\w+)"`).FindAllSubmatch(source, -1) {
		code := amtp.Code(match[1])
		if _, listed := codes[code]; !listed {
			codes[code] = [2]string{aDay, "answered 400 " + string(code)}
		}
	}
	for code, meant := range codes {
		for _, status = range []int{400, 401, 403, 404, 409, 410, 413, 422, 500, 502, 503} {
			body = refusal(string(code))
			got := r.Carry(t.Context(), parcel(t, "bob"))
			want, words := meant[0], strings.Replace(meant[1], "answered 400", "answered "+strconv.Itoa(status), 1)
			_, listed := meanings[code]
			down := status > 500
			passes := meant[0] == later || !listed || code == "WORKFLOW_UPDATE_FAILED"
			switch {
			case status >= 500 && (passes || strings.HasPrefix(want, "refuse")):
				want, words = later, fmt.Sprintf("(%d %s)", status, code)
			case status >= 500: // the error concerns this message, and may pass
				want, down = strings.TrimSuffix(want, " 12 tries for 24h0m0s"), false
			case status == 401 && passes:
				want, words = "postpone AUTHENTICATION_FAILED 12 tries for 24h0m0s",
					fmt.Sprintf("(%d %s)", status, code)
			case status == 403 && passes:
				want, words = "postpone ACCESS_DENIED 12 tries for 24h0m0s", fmt.Sprintf("(%d %s)", status, code)
			}
			check(t, got, want)
			if o := got.Outcomes[0]; !strings.Contains(o.Reason, words) {
				t.Errorf("%d %s: the reason is %q, want %q in it", status, code, o.Reason, words)
			}
			if got.Down != down {
				t.Errorf("%d %s: down %v, want %v", status, code, got.Down, down)
			}
		}
	}
}

// TestDaysWithoutAttempts: our gateway was off for two days after the first answer, or
// its clock was set ahead. It does not give up a recipient at the second attempt. A
// gateway that runs gives it up after a day, and not before.
func TestDaysWithoutAttempts(t *testing.T) {
	code := amtp.Code("")
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(refusal(string(code))))
	})
	r := p.courier(p.options())
	for c, meant := range meanings {
		if !strings.HasSuffix(meant[0], "for 24h0m0s") {
			continue
		}
		code = c
		for what, gap := range map[string]time.Duration{"off": 48 * time.Hour, "running": 0} {
			job, now := parcel(t, "bob"), noon
			for ended := false; !ended; job.Attempts++ {
				s := job.Settle(r.Carry(t.Context(), job), now)
				job.Code, job.Since, job.Same = s.Code, s.Since, s.Same
				ended = len(s.Results) > 0
				switch age := now.Sub(noon); {
				case ended && (job.Attempts < 12 || age < 24*time.Hour):
					t.Errorf("%s: %s: given up at attempt %d after %v", c, what, job.Attempts, age)
				case !ended && age > gap+26*time.Hour:
					t.Fatalf("%s: %s: retried for %v", c, what, age)
				}
				now = s.Due
				if job.Attempts == 1 {
					now = now.Add(gap)
				}
			}
		}
	}
}

// TestSaid: the operator's log has the text of another gateway, bounded and without
// terminal control characters. The sender's status has none of it.
func TestSaid(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		_, _ = w.Write([]byte(`{"error":{"code":"VALIDATION_FAILED","message":"` + canary + ` \u001b[2J\n ` +
			strings.Repeat("long ", 100) + `the end"}}`))
	})
	check(t, p.courier(p.options()).Carry(t.Context(), parcel(t, "bob")), "refuse INVALID_MESSAGE_FORMAT")
	log := p.log.String()
	for _, want := range []string{"level=WARN", canary, "VALIDATION_FAILED", "status=400", domain, msgID} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %q: %s", want, log)
		}
	}
	if strings.ContainsAny(log, "\x1b") || strings.Contains(log, "the end") || len(log) > 700 {
		t.Errorf("the log has more than it should: %q", log)
	}
}

func (c *answered) run(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if name, value, set := strings.Cut(c.header, ": "); set {
			w.Header().Set(name, value)
		}
		w.WriteHeader(c.status)
		_, _ = w.Write([]byte(strings.ReplaceAll(c.body, sentID, msgID))) // a client may hang up
	})
	got := p.courier(p.options()).Carry(t.Context(), parcel(t, "bob"))
	check(t, got, c.want)
	if reason := got.Outcomes[0].Reason; !strings.Contains(reason, c.words) {
		t.Errorf("the reason is %q, want %q in it", reason, c.words)
	}
	if got.Down != c.down || got.Pause != c.pause {
		t.Errorf("down %v, pause %v, want %v, %v", got.Down, got.Pause, c.down, c.pause)
	}
	if n := len(p.arrived()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}
