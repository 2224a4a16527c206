package intake_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

func TestLater(t *testing.T) {
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	for name, tc := range map[string]struct {
		who, from, header string
		want              amtp.Code // of the refusal
		jobs              string    // the destinations of later work
	}{
		"an answer by a time":         {"alice", "alice@ours.example", `"answer-by":"` + day(1) + `"`, "", "deadline:"},
		"it expires":                  {"alice", "alice@ours.example", `"expires":"` + day(1) + `"`, "", "expiry:"},
		"in the past":                 {"alice", "alice@ours.example", `"answer-by":"` + day(-1) + `"`, "", "deadline:"},
		"no time":                     {"alice", "alice@ours.example", `"answer-by":"soon"`, amtp.CodeInvalidMessage, ""},
		"no text":                     {"alice", "alice@ours.example", `"answer-by":7`, "", ""},
		"too far away":                {"alice", "alice@ours.example", `"answer-by":"` + day(31) + `"`, amtp.CodeInvalidMessage, ""},
		"expires too far away":        {"alice", "alice@ours.example", `"expires":"` + day(366) + `"`, amtp.CodeInvalidMessage, ""},
		"another domain's deadline":   {"far.example, proven", "x@far.example", `"answer-by":"` + day(1) + `"`, "", ""},
		"another domain's expiry":     {"far.example, proven", "x@far.example", `"expires":"` + day(1) + `"`, "", "expiry:"},
		"another domain's nonsense":   {"far.example, proven", "x@far.example", `"expires":"soon"`, "", ""},
		"another domain's far expiry": {"far.example, proven", "x@far.example", `"expires":"` + day(999) + `"`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHouse(t)
			_, refused := h.acceptBody(h.door, tc.who, fmt.Sprintf(
				`{"sender":%q,"recipients":["bob@ours.example"],"payload":1,"headers":{%s}}`, tc.from, tc.header))
			if tc.want == "" && refused != nil || tc.want != "" && (refused == nil || refused.Code != tc.want) {
				t.Fatalf("refused = %v, want %q", refused, tc.want)
			}
			page, err := h.store.JobsPage(t.Context(), gateway.JobFilter{Limit: 9})
			if err != nil {
				t.Fatal(err)
			}
			jobs := ""
			for i := range page.Jobs {
				jobs += string(page.Jobs[i].Destination)
			}
			if jobs != tc.jobs {
				t.Errorf("later work = %q, want %q", jobs, tc.jobs)
			}
		})
	}
}

// TestLaterAfterTheClockWentBack: a time that is too far away by a clock that was set back
// refuses a new message, and no retry of a message that was accepted before.
func TestLaterAfterTheClockWentBack(t *testing.T) {
	h := openHouse(t)
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	body := func(key string) string {
		return fmt.Sprintf(`{"sender":"alice@ours.example","recipients":["bob@ours.example"],"payload":1,
			"idempotency_key":%q,"headers":{"answer-by":%q}}`, key, soon)
	}
	const known, other = "5f9a2d7e-52b6-4a3b-9d15-0a6f2a1c7e11", "5f9a2d7e-52b6-4a3b-9d15-0a6f2a1c7e12"
	first, refused := h.acceptBody(h.door, "alice", body(known))
	if refused != nil {
		t.Fatal(refused)
	}
	back := *h.door
	back.Now = func() time.Time { return time.Now().AddDate(0, 0, -400) }
	again, refused := h.acceptBody(&back, "alice", body(known))
	if refused != nil || !again.Replayed || again.MessageID != first.MessageID ||
		again.Recipients[0].Status != amtp.StatusDelivered {
		t.Errorf("the retry = %+v, %v; want a replay of %s", again, refused, first.MessageID)
	}
	if _, refused := h.acceptBody(&back, "alice", body(other)); refused == nil ||
		refused.Code != amtp.CodeInvalidMessage {
		t.Errorf("a new message = %v, want %s", refused, amtp.CodeInvalidMessage)
	}
}
