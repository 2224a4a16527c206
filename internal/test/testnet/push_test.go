package testnet_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// TestPushBetweenDomains: a message of another domain is pushed together with the
// result of its signature. The endpoint's answer goes back, signed.
func TestPushBetweenDomains(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	b := n.Start("b.example")
	bodies := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a missing part shows below
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"accepted","response":{"price":1.50}}`)
		bodies <- string(body)
	}))
	t.Cleanup(hook.Close)
	_, err := b.Operator().Register(t.Context(), amtp.NewAgent{Address: "hook", DeliveryMode: "push",
		PushTarget: hook.URL})
	if err != nil {
		t.Fatal(err)
	}
	alice := n.As("alice@a.example")
	sent := alice.Send("a question", "hook@b.example")
	if body := <-bodies; !strings.Contains(body, `"trust":"verified"`) ||
		!strings.Contains(body, `"message_id":"`+string(sent.MessageID)+`"`) ||
		!strings.Contains(body, `"recipient":"hook@b.example"`) {
		t.Errorf("pushed %s", body)
	}
	reply := alice.Receives(1)[0]
	if reply.Sender.String() != "hook@b.example" || reply.InReplyTo != sent.MessageID ||
		string(reply.Payload) != `{"price":1.50}` || reply.Trust != amtp.TrustVerified {
		t.Errorf("alice has %s", reply.Raw)
	}
}
