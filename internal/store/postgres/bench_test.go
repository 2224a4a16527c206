package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// dawn is the time at which these tests begin.
var dawn = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// register adds a pull agent.
func register(t testing.TB, s *Store, name string) gateway.Agent {
	t.Helper()
	address, err := amtp.ParseAddress(name + "@shop.example")
	if err != nil {
		t.Fatal(err)
	}
	_, key := gateway.NewKey(0, dawn)
	a, err := s.AddAgent(context.Background(), gateway.Agent{Address: address, DeliveryMode: "pull", CreatedAt: dawn,
		LastActive: dawn}, key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// letterTo is a message of alice of a thousand bytes. Different names make different
// messages, and an empty name means no key.
func letterTo(t testing.TB, alice gateway.Agent, name string, to ...any) gateway.Acceptance {
	t.Helper()
	var recipients []gateway.Recipient
	for _, who := range to {
		switch who := who.(type) {
		case gateway.Agent:
			recipients = append(recipients, gateway.Recipient{Agent: who.ID})
		case string:
			address, err := amtp.ParseAddress(who)
			if err != nil {
				t.Fatal(err)
			}
			recipients = append(recipients, gateway.Recipient{Address: address})
		}
	}
	m, refused := amtp.ParseMessage(fmt.Appendf(nil,
		`{"sender":%q,"recipients":["bob@shop.example"],"payload":{"text":%q,"fill":"%0900d"}}`,
		alice.Address, name, 0))
	if refused != nil {
		t.Fatal(refused)
	}
	return gateway.Acceptance{
		Envelope: gateway.Envelope{ID: amtp.NewMessageID(), Sender: alice.Address, SenderAgent: alice.ID,
			Class: gateway.ClassAgent,
			Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}, ReceivedAt: dawn,
			Timestamp: dawn},
		Key: name, Message: m, Recipients: recipients,
	}
}

// acceptAll stores messages, 64 at once, distributed over the replicas.
func acceptAll(b *testing.B, replicas []*Store, letter func(i int) gateway.Acceptance) {
	b.Helper()
	sender := letter(0).SenderAgent
	keys, err := replicas[0].Keys(context.Background(), sender)
	if err != nil || len(keys) == 0 {
		b.Fatalf("keys = %d, %v, want one", len(keys), err)
	}
	ctx := context.Background()
	all := make([]gateway.Acceptance, b.N)
	for i := range all {
		all[i] = letter(i)
		all[i].By = gateway.Acting{Agent: sender, Key: keys[0].ID} // as the API does it
	}
	var n, workers atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		s := replicas[int(workers.Add(1))%len(replicas)]
		for p.Next() {
			if _, err := s.Accept(ctx, all[n.Add(1)-1]); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkAccept stores messages for the inboxes of 100 agents. The cost of a sync
// depends on where the server keeps its files: see pgtest.
func BenchmarkAccept(b *testing.B) {
	for _, replicas := range []int{1, 2} {
		b.Run(fmt.Sprintf("local/%dreplicas", replicas), func(b *testing.B) {
			url := database(b)
			var stores []*Store
			for range replicas {
				stores = append(stores, open(b, url))
			}
			alice := register(b, stores[0], "alice")
			var friends []gateway.Agent
			for i := range 100 {
				friends = append(friends, register(b, stores[0], fmt.Sprintf("friend%d", i)))
			}
			for _, s := range stores {
				if err := s.catchUp(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			acceptAll(b, stores, func(i int) gateway.Acceptance {
				return letterTo(b, alice, fmt.Sprintf("letter-%d", i), friends[i%100])
			})
		})
	}
	b.Run("oneInbox", func(b *testing.B) {
		s := open(b, database(b))
		alice, bob := register(b, s, "alice"), register(b, s, "bob")
		acceptAll(b, []*Store{s}, func(i int) gateway.Acceptance {
			return letterTo(b, alice, fmt.Sprintf("letter-%d", i), bob)
		})
	})
	b.Run("remote", func(b *testing.B) {
		s := open(b, database(b))
		alice := register(b, s, "alice")
		acceptAll(b, []*Store{s}, func(i int) gateway.Acceptance {
			return letterTo(b, alice, fmt.Sprintf("letter-%d", i), fmt.Sprintf("a@d%d.example", i%50))
		})
	})
}

// backlog makes n messages wait for one domain.
func backlog(b *testing.B, s *Store, n int) {
	b.Helper()
	alice := register(b, s, "alice")
	if _, err := s.Accept(context.Background(), letterTo(b, alice, "", "a@far.example")); err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO message (id, uuid, sender_agent, class, trust, received, request, body)
			SELECT nextval('message_id'), decode(md5(i::text), 'hex'), sender_agent, class, trust, received, request, '' FROM message, generate_series(2, $1) i`,
		`INSERT INTO job (id, message, destination, state, changed, due, begun, size, fence, attempts, rekeys, same, turn)
			SELECT nextval('job_id'), m.id, destination, j.state, changed, due, begun, size, 0, 0, 0, 0, turn FROM job j, message m WHERE $1 > 0 AND m.id <> j.message`,
		`INSERT INTO delivery (seq, message, agent, address, state, changed, pushed, job)
			SELECT nextval('delivery_seq'), j.message, agent, address, d.state, d.changed, pushed, j.id FROM delivery d, job j WHERE $1 > 0 AND j.id <> d.job`,
	} {
		if _, err := s.pool.Exec(context.Background(), sql, n); err != nil {
			b.Fatal(err)
		}
	}
}

func mustClaim(t testing.TB, s *Store, d gateway.Destination, limit, most int, now time.Time) []gateway.Job {
	t.Helper()
	got, err := s.Claim(context.Background(), []gateway.Claiming{{Destination: d, Limit: limit, Most: most}}, now,
		now.Add(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return got[0].Jobs
}

// BenchmarkClaim leases four of the jobs that wait for one domain, and then asks when
// the next is due.
func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("%dwaiting", n), func(b *testing.B) {
			s := open(b, database(b))
			backlog(b, s, n)
			now := dawn
			b.ResetTimer()
			for range b.N {
				now = now.Add(3 * time.Hour) // leased jobs are due again
				if jobs := mustClaim(b, s, "far.example", 4, 64, now); len(jobs) != 4 {
					b.Fatalf("%d jobs, want 4", len(jobs))
				}
			}
		})
	}
}

// BenchmarkSettle settles successful attempts, 64 at once.
func BenchmarkSettle(b *testing.B) {
	s := open(b, database(b))
	backlog(b, s, b.N)
	jobs := mustClaim(b, s, "far.example", b.N, 0, dawn)
	deliveries := make(map[int64]int64, len(jobs))
	rows, err := s.pool.Query(context.Background(), `SELECT job, seq FROM delivery`)
	if err != nil {
		b.Fatal(err)
	}
	var job, seq int64
	if err := each(rows, []any{&job, &seq}, func() error {
		deliveries[job] = seq
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			j := jobs[n.Add(1)-1]
			if err := s.Settle(context.Background(), gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: dawn,
				Results: []gateway.Result{
					{Delivery: gateway.DeliveryID(deliveries[int64(j.ID)]), Event: gateway.Success},
				}}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkAck acknowledges messages, 64 at once.
func BenchmarkAck(b *testing.B) {
	s := open(b, database(b))
	alice, bob := register(b, s, "alice"), register(b, s, "bob")
	ids := make([]amtp.MessageID, b.N)
	for i := range ids {
		ids[i] = amtp.NewMessageID()
	}
	if _, err := s.pool.Exec(context.Background(),
		`INSERT INTO message (id, uuid, sender_agent, class, trust, received, request)
			SELECT nextval('message_id'), decode(replace(u, '-', ''), 'hex'), $2, 1, 1, 1, 1 FROM unnest($1::text[]) u`, ids, int64(alice.ID)); err != nil {
		b.Fatal(err)
	}
	if _, err := s.pool.Exec(context.Background(), `INSERT INTO delivery (seq, message, agent, changed, state, pushed)
			SELECT nextval('delivery_seq'), id, $1, 1, 5, false FROM message`, int64(bob.ID)); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := s.Ack(context.Background(), gateway.Acting{Agent: bob.ID}, ids[n.Add(1)-1], dawn); err != nil {
				b.Error(err)
			}
		}
	})
}
