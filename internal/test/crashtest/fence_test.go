package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// slowPeer is another domain's gateway. It answers the first attempt only when the test
// lets it, and accepts every other at once.
type slowPeer struct {
	came    chan struct{} // one value for each attempt
	release chan struct{}
}

func (p *slowPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID         amtp.MessageID `json:"message_id"`
		Recipients []amtp.Address `json:"recipients"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	select {
	case p.came <- struct{}{}:
		<-p.release
	default:
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]any{"message_id": m.ID, "status": "accepted",
		"recipients": []map[string]any{{"address": m.Recipients[0], "status": "delivered"}}})
}

// TestStaleWriteIsFenced: a replica is stopped in the middle of an attempt for longer
// than its lease, and another replica delivers the message. The result that the first
// one reports afterwards changes nothing.
func TestStaleWriteIsFenced(t *testing.T) {
	slow.Test(t, "it needs PostgreSQL and two gateways")
	ctx := overall(t, 0)
	peer := &slowPeer{came: make(chan struct{}, 1), release: make(chan struct{})}
	far := httptest.NewServer(peer)
	defer far.Close()
	defer close(peer.release)
	one, two := twoReplicas(ctx, t, far.URL)
	ledger := NewLedger()
	c := &cluster{pair: &pair{ledger: ledger}}
	c.launch(ctx, t, one)
	alice, err := Register(ctx, one, ledger, "alice")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alice.Close)
	client, err := alice.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := client.Send(ctx, amtp.Message{Sender: alice.Address,
		Recipients: []amtp.Address{address("bob@b.example")}, Payload: []byte(`1`)})
	if err != nil {
		t.Fatal(err)
	}
	for len(peer.came) == 0 { // the first attempt is under way
		if pause(ctx, poll); ctx.Err() != nil {
			t.Fatalf("no attempt reaches the other domain:\n%s", one.Log())
		}
	}
	if err := one.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.launch(ctx, t, two)
	alice.gateway = two
	delivered := func() (status amtp.MessageStatus) {
		err := alice.until(ctx, func(ctx context.Context, c *amtp.Client) (err error) {
			if status, err = c.Status(ctx, sent.MessageID); err == nil && status.Status != amtp.StatusDelivered {
				err = fmt.Errorf("it is %s", status.Status)
			}
			return err
		})
		if err != nil {
			t.Fatalf("the message at the running replica: %v", err)
		}
		return status
	}
	before := delivered()
	if err := one.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	const refused = "an attempt ended after its lease"
	for !strings.Contains(one.Log(), refused) {
		pause(ctx, poll)
		if ctx.Err() != nil {
			t.Fatalf("the replica that slept does not log %q:\n%s", refused, one.Log())
		}
	}
	if after := delivered(); after.Attempts != before.Attempts || after.Recipients[0].Status != amtp.StatusDelivered {
		t.Errorf("the message was %+v and is %+v, want no change", before, after)
	}
}

// twoReplicas returns two replicas, not yet running, of a domain that knows one other
// domain.
func twoReplicas(ctx context.Context, t *testing.T, far string) (one, two *Gateway) {
	t.Helper()
	dir := t.TempDir()
	binary, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	home := func(name string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		return name
	}
	one, two = NewGateway(binary, home("one")), NewGateway(binary, home("two"))
	peers, err := json.Marshal(map[string]string{"b.example": "v=amtp1;gateway=" + far})
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"AMTP_DOMAIN=a.example", "AMTP_DATABASE_URL=" + pgtest.Database(t, "empty", nil),
		"AMTP_QUEUE_LEASE=2s",
		"AMTP_DNS_ALLOW_HTTP=true", "AMTP_DNS_MOCK_MODE=true", "AMTP_PEERS=" + string(peers)}
	one.Environment = environ
	two.Environment = append(environ, "AMTP_SEAL_KEY_FILE="+filepath.Join(one.dir, "seal.key"))
	return one, two
}
