package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestTwoDomainsKilledUnderLoad kills one or the other of two gateways that write to
// each other, CRASH_CYCLES times (25 when unset). A message that either accepted
// arrives at the other once, and no sender is told otherwise.
func TestTwoDomainsKilledUnderLoad(t *testing.T) {
	slow.Test(t, "it kills two gateways under load, again and again")
	cycles := int(fromEnvironment(t, "CRASH_CYCLES", 25))
	seed := fromEnvironment(t, "CRASH_SEED", rand.Uint64()>>1)
	t.Logf("to repeat: CRASH_CYCLES=%d CRASH_SEED=%d", cycles, seed)
	ctx := overall(t, cycles)
	p := newPair(ctx, t, seed)
	p.start(ctx)
	slowest := time.Duration(0)
	for range cycles {
		p.ledger.accept(ctx, t, perBlow/2+p.rand.IntN(perBlow))
		pause(ctx, time.Duration(p.rand.Int64N(int64(40*time.Millisecond))))
		victim := p.sides[p.rand.IntN(2)].gateway
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		pause(ctx, time.Duration(p.rand.Int64N(int64(200*time.Millisecond))))
		slowest = max(slowest, launch(ctx, t, victim))
	}
	p.ledger.busy(ctx, t, perBlow/2*cycles, 5*cycles)
	close(p.stopSending)
	p.sending.Wait()
	took := p.drain(ctx, t)
	close(p.stopReading)
	p.reading.Wait()
	p.settle(ctx, t)
	c := p.ledger.Counts()
	t.Logf("%d cycles: %+v", cycles, c)
	judge(t, "the slowest start", slowest, readyWithin)
	judge(t, "the longest that a client had to try", p.ledger.Longest(), longest)
	judge(t, "after the last kill all arriving", took, settledWithin)
}

// pair is two gateways that know each other, with all their clients.
type pair struct {
	ledger *Ledger
	rand   *rand.Rand
	sides  [2]*side

	sending, reading         sync.WaitGroup
	stopSending, stopReading chan struct{}
}

// side is one domain.
type side struct {
	gateway  *Gateway
	place    Place // where its clients find it; gateway if it is nil
	domain   string
	readers  []*Reader // of the inbox that is emptied
	follower *Follower // of the inbox that only grows
	senders  []*Sender
}

func newPair(ctx context.Context, t *testing.T, seed uint64) *pair {
	t.Helper()
	dir := t.TempDir()
	binary, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{ledger: NewLedger(), rand: rand.New(rand.NewPCG(seed, 0)), stopSending: make(chan struct{}),
		stopReading: make(chan struct{})}
	for i, domain := range []string{"a.example", "b.example"} {
		home := filepath.Join(dir, domain)
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		p.sides[i] = &side{gateway: NewGateway(binary, home), domain: domain}
	}
	p.introduce(ctx, t)
	p.people(ctx, t, seed)
	return p
}

// people registers the agents that write and read.
func (p *pair) people(ctx context.Context, t *testing.T, seed uint64) {
	t.Helper()
	streams := uint64(0)
	chance := func() *rand.Rand { streams++; return rand.New(rand.NewPCG(seed, streams)) }
	var inboxes []amtp.Address
	for _, s := range p.sides {
		reader, archive := p.register(ctx, t, s, "reader"), p.register(ctx, t, s, "archive")
		s.readers = []*Reader{{Agent: reader, Rand: chance()}, {Agent: reader, Rand: chance()}}
		s.follower = &Follower{Agent: archive}
		inboxes = append(inboxes, reader.Address, archive.Address)
	}
	for _, s := range p.sides {
		for i := range senderCount / 2 {
			s.senders = append(s.senders, &Sender{
				Agent:      p.register(ctx, t, s, fmt.Sprintf("%c%d", s.domain[0], i)),
				Recipients: inboxes,
				Number:     "1234567.50", // which differs from its canonical form
				Rand:       chance(),
			})
		}
	}
}

// introduce starts both gateways and tells each the other's records: its address, which
// stays the same, and its keys.
func (p *pair) introduce(ctx context.Context, t *testing.T) {
	t.Helper()
	published := make([]map[string]string, 2)
	for i, s := range p.sides {
		s.gateway.Environment = []string{"AMTP_DOMAIN=" + s.domain, "AMTP_DNS_ALLOW_HTTP=true",
			"AMTP_DNS_MOCK_MODE=true"}
		launch(ctx, t, s.gateway)
		url, err := s.gateway.URL(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.gateway.Address = strings.TrimPrefix(url, "http://")
		keys, err := s.operator(ctx, t).SigningKeys(ctx)
		if err != nil {
			t.Fatal(err)
		}
		published[i] = map[string]string{s.domain: "v=amtp1;gateway=" + url + ";auth=sig"}
		for _, k := range keys.Keys {
			published[i][k.Name] = k.Record
		}
		if err := s.gateway.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range p.sides {
		peers, err := json.Marshal(published[1-i])
		if err != nil {
			t.Fatal(err)
		}
		s.gateway.Environment = append(s.gateway.Environment, "AMTP_PEERS="+string(peers))
		launch(ctx, t, s.gateway)
	}
}

func (s *side) at() Place {
	if s.place != nil {
		return s.place
	}
	return s.gateway
}

// operator is a client with the admin key of a side's gateway.
func (s *side) operator(ctx context.Context, t *testing.T) *admin.Client {
	t.Helper()
	key, err := s.at().AdminKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.at().URL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &admin.Client{Client: amtp.Client{URL: url, AdminKey: key, Key: key}}
}

func (p *pair) register(ctx context.Context, t *testing.T, s *side, name string) *Agent {
	t.Helper()
	a, err := Register(ctx, s.at(), p.ledger, name)
	if err != nil {
		t.Fatalf("registering %s at %s: %v", name, s.domain, err)
	}
	t.Cleanup(a.Close)
	return a
}

// start starts all clients.
func (p *pair) start(ctx context.Context) {
	for _, s := range p.sides {
		for _, sender := range s.senders {
			p.sending.Go(func() { sender.Run(ctx, p.stopSending) })
		}
		for _, r := range s.readers {
			p.reading.Go(func() { r.Run(ctx, p.stopReading) })
		}
		p.reading.Go(func() { s.follower.Run(ctx, p.stopReading) })
	}
}

// drain waits until neither gateway has messages left to deliver.
func (p *pair) drain(ctx context.Context, t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for _, s := range p.sides {
		for jobs := 1; jobs > 0; {
			list, err := s.operator(ctx, t).Jobs(ctx, admin.JobQuery{Limit: 100})
			if err != nil {
				t.Fatalf("%s still had messages %v after the last kill: %v", s.domain, time.Since(began), err)
			}
			if jobs = len(list.Jobs); jobs > 0 {
				s.hasten(ctx, t, list.Jobs)
				pause(ctx, 100*time.Millisecond)
			}
		}
		for _, status := range []amtp.Status{amtp.StatusQueued, amtp.StatusDelivering, amtp.StatusRetrying} {
			list, err := s.operator(ctx, t).Messages(ctx, amtp.MessageQuery{Status: status, Limit: 1})
			if err != nil || list.Total > 0 {
				t.Errorf("%s has no jobs and %d messages that are %s, %v", s.domain, list.Total, status, err)
			}
		}
	}
	return time.Since(began)
}

// hasten does what an operator does after an outage. Messages that failed repeatedly
// would be tried in a minute or two; it has them tried at once.
func (s *side) hasten(ctx context.Context, t *testing.T, jobs []admin.QueuedJob) {
	t.Helper()
	for _, j := range jobs {
		if j.State != string(amtp.StatusRetrying) || time.Until(j.NextAttempt.Time) < 5*time.Second {
			continue
		}
		_, err := s.operator(ctx, t).RetryJob(ctx, j.ID)
		var refused *amtp.Error
		if err != nil && !errors.As(err, &refused) { // it is being delivered, or was
			t.Fatalf("%s: the request to try job %d again failed: %v", s.domain, j.ID, err)
		}
	}
}

// settle compares both gateways with the ledger.
func (p *pair) settle(ctx context.Context, t *testing.T) {
	t.Helper()
	inboxes := make(map[amtp.Address][]Item)
	for _, s := range p.sides {
		if err := s.follower.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		for _, a := range []*Agent{s.readers[0].Agent, s.follower.Agent} {
			whole, err := a.Whole(ctx)
			if err != nil {
				t.Fatal(err)
			}
			inboxes[a.Address] = whole
		}
		for _, sender := range s.senders {
			told, err := sender.Whole(ctx)
			if err != nil || len(told) > 0 {
				t.Errorf("%s was told of %d failures, %v; all messages arrived", sender.Address, len(told), err)
			}
		}
	}
	faults := p.ledger.Settle(inboxes)
	for _, f := range faults[:min(20, len(faults))] {
		t.Error(f)
	}
	if len(faults) > 20 {
		t.Errorf("and %d more faults", len(faults)-20)
	}
}
