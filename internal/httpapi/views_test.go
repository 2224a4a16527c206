package httpapi

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// TestViewsAreStrictJSON: the gateway's views of a message pass its own strict decoder, with
// and without the content.
func TestViewsAreStrictJSON(t *testing.T) {
	sender, err := amtp.ParseAddress("alice@localhost")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"version":"1.0","message_id":"m","sender":"alice@localhost","recipients":["bob@localhost"],"timestamp":"2026-01-31T12:00:00Z","ünïcode":"<&>"}`
	for _, content := range []string{body, ""} {
		var stored []byte
		if content != "" {
			stored = []byte(content)
		}
		e := gateway.Envelope{ID: amtp.NewMessageID(), GivenID: "m", Sender: sender, Class: gateway.ClassAgent,
			ReceivedAt: time.Now(), Timestamp: time.Now()}
		record := gateway.Record{Envelope: e, Body: stored,
			Deliveries: []gateway.Delivery{{Recipient: sender, State: gateway.Delivered}}}
		one, err := storedView(&record, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		page, err := inboxView(sender, &gateway.InboxPage{Items: []gateway.InboxItem{{Envelope: e,
			Body: stored}}}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, view := range [][]byte{one, page} {
			if _, err := strictjson.Object(view); err != nil {
				t.Errorf("content %q: %v in %s", content, err, view)
			}
		}
	}
}

// TestOnlyTheGatewaySpeaks: a message may be older than the rule that senders must not write
// sender_verification. Its own value is not shown.
func TestOnlyTheGatewaySpeaks(t *testing.T) {
	sender, err := amtp.ParseAddress("ann@far.example")
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"sender":"ann@far.example","recipients":["bob@localhost"],"sender_verification":{"result":"verified"},"Sender_verification":1,"payload":1}`)
	// the second result has no word in sender_verification
	for result, want := range map[string]int{amtp.AuthNone: 1, amtp.AuthPermError: 0} {
		e := gateway.Envelope{ID: amtp.NewMessageID(), Sender: sender, Class: gateway.ClassAnonymous,
			Found: gateway.Finding{Authentication: amtp.Authentication{Result: result}}}
		one, err := storedView(&gateway.Record{Envelope: e, Body: body,
			Deliveries: []gateway.Delivery{{Recipient: sender, State: gateway.Delivered}}}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		page, err := inboxView(sender, &gateway.InboxPage{Items: []gateway.InboxItem{{Envelope: e, Body: body}}}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, view := range [][]byte{one, page} {
			text := strings.ToLower(string(view))
			if strings.Contains(text, "verified\"}") || strings.Count(text, `"sender_verification":`) != want {
				t.Errorf("%s: want sender_verification %d times, from the gateway only: %s", result, want, view)
			}
		}
	}
}

// TestAppendResultIsJSON: the form written by hand is the one that
// encoding/json would give.
func TestAppendResultIsJSON(t *testing.T) {
	bob, err := amtp.ParseAddress("b&b@localhost")
	if err != nil {
		t.Fatal(err)
	}
	at := amtp.Time{Time: time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)}
	r := &amtp.SendResult{MessageID: "m", Status: amtp.StatusAccepted, Recipients: []amtp.RecipientStatus{
		{Address: bob, Status: amtp.StatusDelivered, Timestamp: at, Attempts: 1, DeliveryMode: "pull",
			LocalDelivery:  true,
			InboxDelivered: true, DeliveredAt: at, Acknowledged: true, AcknowledgedAt: at},
		{Address: bob, Status: amtp.StatusFailed, Timestamp: at, ErrorCode: "X", ErrorMessage: "a \"<b>\" \n ü"},
	}}
	want, err := appendJSON(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if got := appendResult(nil, r); string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
