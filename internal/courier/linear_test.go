package courier

import (
	"net/http"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/test/hostile"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestReadersOfAnswersAreLinear: another gateway, or an endpoint, may send any answer.
func TestReadersOfAnswersAreLinear(t *testing.T) {
	slow.Test(t, "it reads long answers")
	to, err := amtp.ParseAddress("a@far.example")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	d := &gateway.Delivery{Recipient: to}
	judge := func(status int) func([]byte) {
		return func(body []byte) {
			a := attempt{domain: "far.example", id: "m", to: d,
				Answer: remote.Answer{Status: status, Header: header, Body: body}}
			a.judge()
		}
	}
	for _, before := range []string{`{"message_id":"m","recipients":`, `{"error":{"code":"X","message":`} {
		behind := `}`
		if before[2] == 'e' {
			behind = `}}`
		}
		shapes := hostile.Within(hostile.Values(), before, behind)
		hostile.Linear(t, shapes, 16<<10, judge(200))
		hostile.Linear(t, shapes, 16<<10, judge(400))
	}
	for _, name := range []string{"Content-Type", "Retry-After"} {
		hostile.Linear(t, hostile.Texts("application/json;", "Mon, 30 Nov"), 8<<10, func(b []byte) {
			a := attempt{domain: "far.example", id: "m", to: d,
				Answer: remote.Answer{Status: 503, Header: http.Header{name: {string(b)}}}}
			a.judge()
		})
	}
}
