package automail

import (
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/hostile"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestReadersOfAnswersAreLinear: reading what an endpoint answers costs no more than a
// constant for each byte of it.
func TestReadersOfAnswersAreLinear(t *testing.T) {
	slow.Test(t, "it reads long answers")
	reply := hostile.Within(hostile.Values(), `{"response":`, `}`)
	p := &gateway.Parcel{Body: []byte(`{"sender":"a@b.example","recipients":["c@d.example"],"payload":1}`)}
	hostile.Linear(t, reply, 8<<10, func(b []byte) { _, _ = responseOf(p, b) })
}
