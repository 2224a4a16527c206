package courier

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// TestPushBodyHasOneSpelling: a message was stored before ambiguous member names were
// refused. Its push contains no member that a lenient reader could take for one of the
// gateway's.
func TestPushBodyHasOneSpelling(t *testing.T) {
	ann, err := amtp.ParseAddress("ann@far.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SENDER", "\u017fender", "tru\u017ft", "\u017fender_verification", "PAYLOAD",
		"Recipient"} {
		body := `{"sender":"ann@far.example","recipients":["bob@shop.example"],"payload":1,"` + name +
			`":"forged","x":[1.0]}`
		got, err := pushBody(&gateway.Parcel{Envelope: gateway.Envelope{Sender: ann}, Body: []byte(body),
			Recipients: []gateway.Delivery{{}}})
		if err != nil || strings.Contains(string(got), "forged") || !strings.Contains(string(got), `"x":[1.0]`) {
			t.Errorf("pushBody = %s, %v; want the member %q left out and others kept", got, err, name)
		}
	}
}
