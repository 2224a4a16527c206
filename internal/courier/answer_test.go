package courier_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is expected of an attempt, in the words of says.
const (
	ok    = "success"
	later = "postpone RECIPIENT_UNAVAILABLE"
	aDay  = "postpone RECIPIENT_UNAVAILABLE for 24h0m0s"
	rekey = aDay + " rekey"
)

// sentID stands in an answer for the id that was sent.
const sentID = "SENT"

// named is an answer that names the message and its recipients: local part,
// status and code, in threes.
func named(triples ...string) string {
	var list []string
	for i := 0; i < len(triples); i += 3 {
		list = append(list, fmt.Sprintf(`{"address":"%s@b.example","status":%q,"timestamp":"2026-11-22T12:00:00Z","attempts":1,"error_code":%q,"error_message":"`+canary+`"}`,
			triples[i], triples[i+1], triples[i+2]))
	}
	return `{"message_id":"` + sentID + `","status":"` + canary + `","recipients":[` + strings.Join(list, ",") + `]}`
}

func refusal(code string) string {
	return `{"error":{"code":"` + code + `","message":"` + canary + `","details":{"x":"` + canary + `"},"timestamp":"2026-11-22T12:00:00Z","request_id":"` + canary + `"}}`
}

// answered is one answer of a peer to a message for bob and carol, and what it
// comes to for each of them.
type answered struct {
	name       string
	status     int
	header     string // name: value
	body       string
	bob, carol string
	down       bool
	pause      time.Duration
}

// TestAnswers: what every answer comes to. Delivered is only what the answer
// says of the message that was sent and of that recipient.
func TestAnswers(t *testing.T) {
	const html = "Content-Type: text/html"
	both := named("bob", "delivered", "", "carol", "delivered", "")
	for _, c := range []answered{
		{"both delivered", 200, "", both, ok, ok, false, 0},
		{"in another order and case", 202, "", strings.ReplaceAll(named("CAROL", "queued", "", "Bob", "accepted", ""), sentID, strings.ToUpper(msgID)), ok, ok, false, 0},
		{"still on their way", 202, "", named("bob", "delivering", "", "carol", "retrying", ""), ok, ok, false, 0},
		{"with a charset", 200, "Content-Type: Application/JSON ; charset=utf-8", both, ok, ok, false, 0},
		{"without an id", 200, "", strings.ReplaceAll(both, `"message_id":"`+sentID+`",`, ""), aDay, aDay, false, 0},
		{"with another id", 200, "", strings.ReplaceAll(both, sentID, "019b1d3e-7c00-7000-8000-00000000ffff"), aDay, aDay, false, 0},
		{"with the id in a name of another case", 200, "", strings.ReplaceAll(both, "message_id", "Message_ID"), aDay, aDay, false, 0},
		{"one failed for good", 200, "", named("bob", "delivered", "", "carol", "failed", "AGENT_UNKNOWN"), ok, "refuse AGENT_UNKNOWN", false, 0},
		{"one failed for a reason that may pass", 202, "", named("bob", "failed", "DELIVERY_FAILED", "carol", "delivered", ""), rekey, ok, false, 0},
		{"one failed with a code of its own", 202, "", named("bob", "failed", canary, "carol", "delivered", ""), rekey, ok, false, 0},
		{"one is missing", 200, "", named("bob", "delivered", ""), ok, aDay, false, 0},
		{"somebody else's recipients", 200, "", strings.ReplaceAll(both, "b.example", "c.example"), aDay, aDay, false, 0},
		{"a recipient that is no address", 200, "", strings.ReplaceAll(both, "carol@", ""), ok, aDay, false, 0},
		{"a status that means nothing", 200, "", named("bob", canary, "", "carol", "", ""), aDay, aDay, false, 0},
		{"twice, with two fates", 200, "", named("bob", "delivered", "", "bob", "failed", "AGENT_UNKNOWN", "carol", "failed", "AGENT_UNKNOWN", "carol", "delivered", ""),
			"refuse AGENT_UNKNOWN", "refuse AGENT_UNKNOWN", false, 0},
		{"no recipients", 200, "", named(), aDay, aDay, false, 0},
		{"null for recipients", 200, "", `{"message_id":"` + sentID + `","recipients":null}`, aDay, aDay, false, 0},
		{"an empty object", 200, "", `{}`, aDay, aDay, false, 0},
		{"a captive portal", 200, html, "<html>" + canary, aDay, aDay, false, 0},
		{"JSON that says it is HTML", 200, html, both, aDay, aDay, false, 0},
		{"nothing", 204, "", "", aDay, aDay, false, 0},
		{"nothing, with 200", 200, "", "", aDay, aDay, false, 0},
		{"half of the JSON", 200, "", both[:len(both)-9], aDay, aDay, false, 0},
		{"something behind the JSON", 200, "", both + both, aDay, aDay, false, 0},
		{"a member twice", 200, "", `{"message_id":"x",` + both[1:], aDay, aDay, false, 0},
		{"a member of another type", 200, "", strings.ReplaceAll(both, `"`+sentID+`"`, `7`), aDay, aDay, false, 0},
		{"an answer that has no end", 200, "", both + strings.Repeat(" ", 1<<20) + canary, aDay, aDay, false, 0},

		{"moved for good", 301, "Location: /" + canary, both, aDay, aDay, false, 0},
		{"moved, post again", 307, "Location: /" + canary, both, aDay, aDay, false, 0},
		{"not changed", 304, "", "", aDay, aDay, false, 0},

		{"the reference's partial failure", 400, "", named("carol", "delivered", "", "bob", "failed", "DELIVERY_FAILED"), rekey, ok, false, 0},
		{"the same with an error beside it", 400, "", `{"error":{"code":"DELIVERY_FAILED","message":"` + canary + `"},` + named("carol", "delivered", "", "bob", "failed", "AGENT_UNKNOWN")[1:], "refuse AGENT_UNKNOWN", ok, false, 0},
		{"recipients of another message", 400, "", strings.ReplaceAll(both, sentID, "other"), aDay, aDay, false, 0},
		{"an error and recipients of no message", 400, "", `{"error":{"code":"INVALID_RECIPIENT","message":"` + canary + `"},` + strings.ReplaceAll(both, sentID, "")[1:], "refuse INVALID_RECIPIENT", "refuse INVALID_RECIPIENT", false, 0},
		{"refused as a whole", 400, "", refusal("INVALID_MESSAGE_FORMAT"), "refuse INVALID_MESSAGE_FORMAT", "refuse INVALID_MESSAGE_FORMAT", false, 0},
		{"refused by the reference", 400, "", refusal("MESSAGE_VALIDATION_FAILED"), "refuse RECIPIENT_UNAVAILABLE", "refuse RECIPIENT_UNAVAILABLE", false, 0},
		{"refused with a code that is a text", 400, "", refusal(canary), "refuse RECIPIENT_UNAVAILABLE", "refuse RECIPIENT_UNAVAILABLE", false, 0},
		{"refused without a word", 400, "", "", aDay, aDay, false, 0},
		{"a proxy's 400", 400, html, canary, aDay, aDay, false, 0},
		{"nobody there", 404, "", refusal("AGENT_UNKNOWN"), "refuse AGENT_UNKNOWN", "refuse AGENT_UNKNOWN", false, 0},
		{"no such page", 404, "Content-Type: text/plain", canary, aDay, aDay, false, 0},
		{"no such method", 405, "", refusal("METHOD_NOT_ALLOWED"), "refuse RECIPIENT_UNAVAILABLE", "refuse RECIPIENT_UNAVAILABLE", false, 0},
		{"gone", 410, "", refusal("AGENT_UNKNOWN"), "refuse AGENT_UNKNOWN", "refuse AGENT_UNKNOWN", false, 0},
		{"too large", 413, "", refusal("PAYLOAD_TOO_LARGE"), "refuse MESSAGE_TOO_LARGE", "refuse MESSAGE_TOO_LARGE", false, 0},
		{"of another type", 415, "", refusal("UNSUPPORTED_MEDIA_TYPE"), "refuse RECIPIENT_UNAVAILABLE", "refuse RECIPIENT_UNAVAILABLE", false, 0},
		{"a key that was used", 422, "", refusal("IDEMPOTENCY_KEY_REUSED"), "refuse IDEMPOTENCY_KEY_REUSED", "refuse IDEMPOTENCY_KEY_REUSED", false, 0},

		{"not believed", 401, "", refusal("AUTHENTICATION_FAILED"), "postpone AUTHENTICATION_FAILED for 24h0m0s", "postpone AUTHENTICATION_FAILED for 24h0m0s", false, 0},
		{"not let in", 403, "", refusal("AGENT_UNKNOWN"), "postpone ACCESS_DENIED for 24h0m0s", "postpone ACCESS_DENIED for 24h0m0s", false, 0},

		{"timed out", 408, "", canary, later, later, false, 0},
		{"too early", 425, "Retry-After: 7", canary, later + " after 7s", later + " after 7s", false, 0},
		{"too many", 429, "Retry-After: 30", refusal("RATE_LIMIT_EXCEEDED"), later + " after 30s", later + " after 30s", true, 30 * time.Second},
		{"broken", 500, "", both, later, later, true, 0},
		{"not there", 502, html, canary, later, later, true, 0},
		{"until a date", 503, "Retry-After: Sun, 22 Nov 2026 12:10:00 GMT", "", later + " after 10m0s", later + " after 10m0s", true, 10 * time.Minute},
		{"until a date that has passed", 503, "Retry-After: Sun, 22 Nov 2026 11:10:00 GMT", "", later, later, true, 0},
		{"until garbage", 503, "Retry-After: " + canary, "", later, later, true, 0},
		{"until a negative number", 503, "Retry-After: -5", "", later, later, true, 0},
		{"for ever", 503, "Retry-After: 9223372036854775807", "", later + " after 720h0m0s", later + " after 720h0m0s", true, 720 * time.Hour},
		{"with a number of nobody", 599, "", both, later, later, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

func (c *answered) run(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if name, value, set := strings.Cut(c.header, ": "); set {
			w.Header().Set(name, value)
		}
		w.WriteHeader(c.status)
		_, _ = w.Write([]byte(strings.ReplaceAll(c.body, sentID, msgID))) // who does not read all of it hangs up
	})
	got := p.courier(p.options()).Carry(t.Context(), parcel(t, "bob", "carol"))
	check(t, got, c.bob, c.carol)
	if got.Down != c.down || got.Pause != c.pause {
		t.Errorf("down %v, pause %v, want %v, %v", got.Down, got.Pause, c.down, c.pause)
	}
	if n := len(p.arrived()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}
