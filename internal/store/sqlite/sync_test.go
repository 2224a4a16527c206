package sqlite

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// order is the order of the events of each message, as numbers of one sequence.
type order struct {
	mu       sync.Mutex
	now      int
	written  map[string]int // its bytes were written to the WAL
	synced   map[string]int // a sync of the WAL returned after that
	answered map[string]int // the first byte of the answer went out
	unsynced []string
}

var proofName = regexp.MustCompile(`proof-\d{6}`)

// call notes a call to the disk.
func (o *order) call(c faultfs.Call) {
	if !strings.HasSuffix(c.File, "-wal") {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now++
	switch c.Op {
	case faultfs.Write:
		for _, name := range proofName.FindAllString(string(c.Data), -1) {
			if o.written[name] == 0 {
				o.written[name] = o.now
				o.unsynced = append(o.unsynced, name)
			}
		}
	case faultfs.Sync:
		for _, name := range o.unsynced {
			o.synced[name] = o.now
		}
		o.unsynced = nil
	}
}

// watched is a listener whose connections note when answers begin.
type watched struct {
	net.Listener
	order *order
}

func (l *watched) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &watchedConn{Conn: conn, order: l.order}, err
}

// watchedConn handles one request after another.
type watchedConn struct {
	net.Conn
	order *order
	mu    sync.Mutex
	asked bytes.Buffer // the bytes read since the last answer
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked.Write(p[:n])
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if name := proofName.FindString(c.asked.String()); name != "" {
		c.order.mu.Lock()
		c.order.now++
		c.order.answered[name] = c.order.now
		c.order.mu.Unlock()
	}
	c.asked.Reset()
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// TestSyncBeforeAnswer sends 1,000 messages over HTTP. It shows the order for each: its
// bytes are written to the WAL, a sync of the WAL returns, the first byte of its 202 is
// sent.
func TestSyncBeforeAnswer(t *testing.T) {
	t.Parallel()
	const clients, each = 20, 50
	o := &order{written: make(map[string]int), synced: make(map[string]int), answered: make(map[string]int)}
	d := faultfs.New(t)
	d.Done = o.call
	s := mustOpenOn(t, d, fresh(t, scratch(t)), small)
	alice, bob := cast(t, s)
	secret, key := gateway.NewKey(alice.ID, dawn)
	if _, err := s.AddKey(t.Context(), gateway.Acting{}, key, true); err != nil {
		t.Fatal(err)
	}
	url := serve(t, s, o, slog.New(slog.DiscardHandler))
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
			defer c.CloseIdleConnections()
			for i := range each {
				name := fmt.Sprintf("proof-%06d", client*each+i)
				if err := post(c, url, secret, alice, bob, name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	all.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.answered) != clients*each {
		t.Errorf("%d answers were seen, want %d", len(o.answered), clients*each)
	}
	for name, answered := range o.answered {
		written, synced := o.written[name], o.synced[name]
		if written == 0 || synced <= written || answered <= synced {
			t.Errorf("%s was written at %d, synced at %d, answered at %d; want this order", name, written,
				synced, answered)
		}
	}
}

// serve answers requests over the store as the program does, and returns its address.
func serve(t *testing.T, s *Store, o *order, log *slog.Logger) string {
	t.Helper()
	now := time.Now
	api := &httpapi.Server{
		Intake:        &intake.Intake{Store: s, Domain: "shop.example", Now: now},
		Agents:        &agent.Agents{Store: s, Domain: "shop.example", Now: now, Stopping: make(chan struct{})},
		Store:         s,
		Authenticator: &access.Authenticator{Owners: s, Failures: access.NewFailures()},
		Domain:        "shop.example", MaxMessage: 1 << 20, InFlight: 64 << 20,
		Log: log, Now: now,
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler()}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(&watched{l, o}) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return "http://" + l.Addr().String()
}

// post sends one message and reads the whole answer.
func post(c *http.Client, url, secret string, from, to gateway.Agent, name string) error {
	doc := fmt.Sprintf(`{"sender":%q,"recipients":[%q],"subject":%q,"payload":{"pad":%q}}`,
		from.Address, to.Address, name, strings.Repeat("x", 200))
	r, err := http.NewRequest("POST", url+"/v1/messages", strings.NewReader(doc))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+secret)
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("got %d %s, want 202", resp.StatusCode, said)
	}
	return err
}
