package courier

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/remote"
)

// TestRefusalOfWhatMayBeCut: a gateway that refuses the form of a message after a long
// transfer may have cut it off by a time limit. Such a refusal is not final.
func TestRefusalOfWhatMayBeCut(t *testing.T) {
	address, err := amtp.ParseAddress("bob@b.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status int
		code   string
		took   time.Duration
		want   gateway.Event
	}{
		{400, "INVALID_MESSAGE_FORMAT", time.Second, gateway.Refuse},
		{400, "INVALID_MESSAGE_FORMAT", 31 * time.Second, gateway.Postpone},
		{400, "INVALID_REQUEST_FORMAT", 31 * time.Second, gateway.Postpone},
		{400, "VALIDATION_FAILED", 31 * time.Second, gateway.Postpone},
		{413, "MESSAGE_TOO_LARGE", 31 * time.Second, gateway.Refuse},
		{404, "AGENT_UNKNOWN", 31 * time.Second, gateway.Refuse},
		{408, "TEMPORARY_FAILURE", 31 * time.Second, gateway.Postpone},
		{408, "INVALID_MESSAGE_FORMAT", time.Second, gateway.Postpone},
		{408, "", time.Second, gateway.Postpone},
	} {
		a := attempt{domain: "b.example", to: &gateway.Delivery{Recipient: address}, now: time.Now(),
			Answer: remote.Answer{
				Status: c.status, Took: c.took, Header: http.Header{"Content-Type": {"application/json"}},
				Body: []byte(`{"error":{"code":"` + c.code + `","message":"x"}}`),
			}}
		got := a.judge()
		o := got.Outcomes[0]
		if o.Event != c.want || got.Down || o.Rekey {
			t.Errorf("%d %s after %v: %+v, want %v, of the message alone", c.status, c.code, c.took, got, c.want)
		}
		if c.status == 400 && c.want == gateway.Postpone &&
			(o.Patience.For != 24*time.Hour || !strings.Contains(o.Reason, "cut off")) {
			t.Errorf("%s after %v: %+v, want it retried for a day", c.code, c.took, o)
		}
	}
}

// TestTimeFor: no post begins when less time is left than the longest one took.
func TestTimeFor(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for took, want := range map[time.Duration]bool{0: true, time.Minute: true, 2 * time.Hour: false} {
		if got := timeFor(ctx, took); got != want {
			t.Errorf("with an hour left, one that takes %v is begun: %v, want %v", took, got, want)
		}
	}
	if !timeFor(t.Context(), 1000*time.Hour) {
		t.Error("without an end, one that takes 1000 h is not begun")
	}
}
