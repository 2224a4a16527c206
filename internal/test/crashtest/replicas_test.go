package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/jackc/pgx/v5"
)

// replicaLease is how long a delivery stays with a replica that has ended.
const replicaLease = 3 * time.Second

// senderPause limits the messages that still wait for the other domain at the end to
// the work of a few seconds. So the faults meet a busy cluster and not a backlog.
const senderPause = 10 * time.Millisecond

// cluster is the domain a.example, three replicas on one PostgreSQL, and b.example, one
// gateway on SQLite. They write to each other.
type cluster struct {
	*pair
	server   *pgtest.Server
	replicas []*Gateway
	slowest  time.Duration // from a fault to the next accepted message
	shift    *shift        // nil for no such load
	prober   *Agent
	probes   int // the number of accepted probes
}

func newCluster(ctx context.Context, t *testing.T, seed uint64, start func() (*pgtest.Server, error)) *cluster {
	t.Helper()
	dir := t.TempDir()
	binary, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{server: server, pair: &pair{
		ledger: NewLedger(), rand: rand.New(rand.NewPCG(seed, 0)), stopSending: make(chan struct{}),
		stopReading: make(chan struct{}),
	}}
	home := func(name string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for i := range 3 {
		c.replicas = append(c.replicas, NewGateway(binary, home(fmt.Sprint("a", i))))
	}
	front := newBalancer(ctx, t, c.replicas)
	c.sides = [2]*side{{domain: "a.example", place: front},
		{domain: "b.example", gateway: NewGateway(binary, home("b"))}}
	c.introduceReplicas(ctx, t)
	c.people(ctx, t, seed)
	for _, s := range c.sides {
		for _, sender := range s.senders {
			sender.Pause = senderPause
		}
	}
	c.prober = c.register(ctx, t, c.sides[0], "prober")
	t.Cleanup(func() {
		for _, g := range append(c.replicas, c.sides[1].gateway) {
			if t.Failed() {
				t.Logf("log of %s:\n%.6000s", g.dir, g.Log())
			}
		}
	})
	return c
}

// introduceReplicas starts all gateways and tells each domain the records of the other.
func (c *cluster) introduceReplicas(ctx context.Context, t *testing.T) {
	t.Helper()
	a, b := c.sides[0], c.sides[1]
	common := []string{"AMTP_DNS_ALLOW_HTTP=true", "AMTP_DNS_MOCK_MODE=true"}
	seal := filepath.Join(c.replicas[0].dir, "seal.key")
	for i, g := range c.replicas {
		g.Environment = append([]string{"AMTP_DOMAIN=" + a.domain, "AMTP_DATABASE_URL=" + c.server.URL("postgres"),
			"AMTP_QUEUE_LEASE=" + replicaLease.String()}, common...)
		if i > 0 {
			g.Environment = append(g.Environment, "AMTP_SEAL_KEY_FILE="+seal)
		}
	}
	b.gateway.Environment = append([]string{"AMTP_DOMAIN=" + b.domain}, common...)
	published := make(map[string]map[string]string)
	for _, s := range []struct {
		*side
		first *Gateway
	}{{a, c.replicas[0]}, {b, b.gateway}} {
		c.launch(ctx, t, s.first)
		url, err := s.at().URL(ctx)
		if err != nil {
			t.Fatal(err)
		}
		own, err := s.first.URL(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.gateway != nil {
			s.gateway.Address = own[len("http://"):] // where it stays
		}
		key, err := s.at().AdminKey(ctx)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := (&admin.Client{Client: amtp.Client{URL: own, AdminKey: key}}).SigningKeys(ctx)
		if err != nil {
			t.Fatal(err)
		}
		records := map[string]string{s.domain: "v=amtp1;gateway=" + url + ";auth=sig"}
		for _, k := range keys.Keys {
			records[k.Name] = k.Record
		}
		published[s.domain] = records
		if err := s.first.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	know := func(g *Gateway, domain string) {
		peers, err := json.Marshal(published[domain])
		if err != nil {
			t.Fatal(err)
		}
		g.Environment = append(g.Environment, "AMTP_PEERS="+string(peers))
		c.launch(ctx, t, g)
	}
	know(b.gateway, a.domain)
	for _, g := range c.replicas {
		know(g, b.domain)
	}
}

// launch starts a life of a gateway.
func (c *cluster) launch(ctx context.Context, t *testing.T, g *Gateway) {
	t.Helper()
	c.launched(t, g)
	limited, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	began := time.Now()
	if err := g.AwaitReady(limited); err != nil {
		t.Fatalf("not ready %v after the start: %v", time.Since(began), err)
	}
	c.slowest = max(c.slowest, time.Since(began))
}

// launched starts a life. The life is killed when the test ends, if it still runs.
func (c *cluster) launched(t *testing.T, g *Gateway) {
	t.Helper()
	if err := g.Launch(); err != nil {
		t.Fatal(err)
	}
	process := g.cmd
	t.Cleanup(func() {
		if process.ProcessState == nil {
			_ = process.Process.Signal(syscall.SIGCONT) // it may be stopped
			_ = process.Process.Kill()
			_ = process.Wait()
		}
	})
}

// recovers waits until a message is accepted and records how long that took since the
// fault.
func (c *cluster) recovers(ctx context.Context, t *testing.T, blow time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := c.prober.until(ctx, c.probe); err != nil {
		t.Fatalf("no replica has accepted a message %v after the blow: %v", time.Since(blow), err)
	}
	c.probes++
	c.slowest = max(c.slowest, time.Since(blow))
}

// probe sends the prober's next message to itself. The message stays the same until it
// is accepted, so it arrives once however often it is sent.
func (c *cluster) probe(ctx context.Context, client *amtp.Client) error {
	name := fmt.Sprint("probe-", c.probes+1)
	_, err := client.Send(ctx, amtp.Message{Sender: c.prober.Address, Recipients: []amtp.Address{c.prober.Address},
		IdempotencyKey: name,
		Payload:        fmt.Appendf(nil, `{"name":%q}`, name)})
	return err
}

// finish lets all clients end, after enough messages were accepted and a quarter of
// them acknowledged, and compares everything with the ledger.
func (c *cluster) finish(ctx context.Context, t *testing.T, least int) {
	t.Helper()
	c.ledger.busy(ctx, t, least, least/4)
	if c.shift != nil {
		c.shift.busy(ctx, t)
	}
	close(c.stopSending)
	c.sending.Wait()
	took := c.drain(ctx, t)
	close(c.stopReading)
	c.reading.Wait()
	if c.shift != nil {
		c.shift.settle(ctx, t, c.sides[0].place)
	}
	c.settle(ctx, t)
	probes, err := c.prober.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	page, err := probes.Inbox(ctx, c.prober.Address, amtp.InboxQuery{Limit: 1000})
	if err != nil || len(page.Messages) != c.probes {
		t.Errorf("%d probes were accepted and %d are there, %v", c.probes, len(page.Messages), err)
	}
	counts := c.ledger.Counts()
	t.Logf("all arrived %v after the end: %+v", took.Round(time.Millisecond), counts)
	judge(t, "the slowest recovery", c.slowest, longest)
	judge(t, "the longest that a client had to try", c.ledger.Longest(), longest)
}

// sql runs a statement directly on the database.
func (c *cluster) sql(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, c.server.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// TestReplicasUnderLoad takes three replicas on one PostgreSQL through every fault of
// replicas and of a database, one after the other and under load. Each accepted message
// arrives once, and a client that tries again never fails.
func TestReplicasUnderLoad(t *testing.T) {
	slow.Test(t, "it kills three gateways and a PostgreSQL under load")
	seed := fromEnvironment(t, "CRASH_SEED", rand.Uint64()>>1)
	restarts := int(fromEnvironment(t, "CRASH_CYCLES", 15))
	t.Logf("to repeat: CRASH_CYCLES=%d CRASH_SEED=%d", restarts, seed)
	ctx := overall(t, restarts)
	c := newCluster(ctx, t, seed, func() (*pgtest.Server, error) { return pgtest.Start() })
	streams := uint64(1000)
	c.shift = newShift(ctx, t, c.sides[0].place, c.ledger, func() *rand.Rand {
		streams++
		return rand.New(rand.NewPCG(seed, streams))
	})
	c.start(ctx)
	c.shift.start(ctx, &c.sending, &c.reading, c.stopSending, c.stopReading)
	for _, blow := range []struct {
		name  string
		times int
		deal  func(context.Context, *testing.T)
	}{
		{"SIGKILL and SIGTERM", restarts, c.restart},
		{"SIGSTOP beyond the lease, of two at once", max(restarts/6, 1), c.stopTwo},
		{"kill -9 of PostgreSQL", max(restarts/3, 1), c.killServer},
		{"a storm of pg_terminate_backend", max(restarts/10, 1), c.storm},
	} {
		began := time.Now()
		for range blow.times {
			blow.deal(ctx, t)
		}
		t.Logf("%s, %d times: %v", blow.name, blow.times, time.Since(began).Round(time.Millisecond))
	}
	c.finish(ctx, t, perBlow/2*restarts)
}

// restart ends a replica, by force or in order, and starts it again.
func (c *cluster) restart(ctx context.Context, t *testing.T) {
	c.ledger.accept(ctx, t, perBlow/2+c.rand.IntN(perBlow))
	g := c.replicas[c.rand.IntN(len(c.replicas))]
	blow, end := time.Now(), g.Kill
	if c.rand.IntN(2) == 0 {
		end = g.Terminate
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	c.recovers(ctx, t, blow)
	c.launch(ctx, t, g)
}

// stopTwo suspends two replicas for longer than their leases last.
func (c *cluster) stopTwo(ctx context.Context, t *testing.T) {
	order := c.rand.Perm(len(c.replicas))[:2]
	signal := func(s os.Signal) {
		for _, i := range order {
			if err := c.replicas[i].Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	blow := time.Now()
	signal(syscall.SIGSTOP)
	c.recovers(ctx, t, blow)
	pause(ctx, replicaLease+time.Duration(c.rand.Int64N(int64(500*time.Millisecond))))
	signal(syscall.SIGCONT)
}

// killServer ends PostgreSQL like a crash and starts it again.
func (c *cluster) killServer(ctx context.Context, t *testing.T) {
	c.ledger.accept(ctx, t, perBlow/2+c.rand.IntN(perBlow))
	blow := time.Now()
	if err := c.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.server.Launch(); err != nil {
		t.Fatal(err)
	}
	c.recovers(ctx, t, blow)
}

// storm cuts all connections of the gateways repeatedly for a second.
func (c *cluster) storm(ctx context.Context, t *testing.T) {
	blow := time.Now()
	for time.Since(blow) < time.Second {
		if err := c.sql(ctx,
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'amtp%'`); err != nil {
			t.Fatal(err)
		}
		pause(ctx, 50*time.Millisecond)
	}
	c.recovers(ctx, t, time.Now())
}
