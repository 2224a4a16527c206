package testnet_test

import (
	"encoding/json"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// TestEcho: echo@ of another domain answers once. The answer is verified, marked as
// automatic, and small. It answers one domain six times a minute. If the operator turns
// it off, the agent does not exist.
func TestEcho(t *testing.T) {
	n := testnet.New(t)
	a, b := n.Start("a.example"), n.Start("b.example", "AMTP_ECHO_ENABLED=true")
	alice := n.As("alice@a.example")
	sent := alice.Send("Does this arrive?", "echo@b.example")
	m := alice.Receives(1)[0]
	var said struct {
		Trust   amtp.Trust
		Payload json.RawMessage
	}
	if err := json.Unmarshal(m.Payload, &said); err != nil {
		t.Fatal(err)
	}
	if m.Trust != amtp.TrustVerified || m.InReplyTo != sent.MessageID || m.Sender.String() != "echo@b.example" ||
		string(m.Headers) != `{"auto-submitted":"auto-replied"}` ||
		said.Trust != amtp.TrustVerified || string(said.Payload) != `{"text":"Does this arrive?"}` {
		t.Errorf("the answer is %+v with the payload %s", m, m.Payload)
	}
	for range 9 {
		alice.Send("again", "echo@b.example")
	}
	last := alice.Send("no more than six", "echo@b.example")
	alice.Hears(last.MessageID, amtp.StatusDelivered)
	alice.Receives(6)
	b.Stop()
	b.Run("AMTP_ECHO_ENABLED=false")
	gone := alice.Send("still there?", "echo@b.example")
	if s := alice.Hears(gone.MessageID, amtp.StatusFailed); s.Recipients[0].ErrorCode != amtp.CodeAgentUnknown {
		t.Errorf("with the echo turned off: %+v, want AGENT_UNKNOWN", s.Recipients)
	}
	if _, err := a.Operator().Register(t.Context(), amtp.NewAgent{Address: "echo"}); err == nil {
		t.Error("an agent registered as echo")
	}
}
