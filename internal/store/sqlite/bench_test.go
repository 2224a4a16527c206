package sqlite

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// bench opens a store with alice and bob.
func bench(b *testing.B) (s *Store, alice, bob gateway.Agent) {
	b.Helper()
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if alice, err = addAgent(s, "alice"); err != nil {
		b.Fatal(err)
	}
	if bob, err = addAgent(s, "bob"); err != nil {
		b.Fatal(err)
	}
	return s, alice, bob
}

// acceptAll stores messages, many at once.
func acceptAll(b *testing.B, s *Store, letter func(name string) gateway.Acceptance) {
	b.Helper()
	all := make([]gateway.Acceptance, b.N)
	for i := range all {
		all[i] = letter(fmt.Sprintf("letter-%d", i))
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := s.Accept(context.Background(), all[n.Add(1)-1]); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkAcceptLocal stores messages for an inbox.
func BenchmarkAcceptLocal(b *testing.B) {
	s, alice, bob := bench(b)
	acceptAll(b, s, func(name string) gateway.Acceptance { return note(alice, bob, name) })
}

// BenchmarkAcceptRemote stores messages for one recipient in another domain.
func BenchmarkAcceptRemote(b *testing.B) {
	s, alice, _ := bench(b)
	acceptAll(b, s, func(name string) gateway.Acceptance { return far(alice, name, "a@far.example") })
}

// backlog makes n messages wait for one domain.
func backlog(b *testing.B, s *Store, alice gateway.Agent, n int) {
	b.Helper()
	mustMail(b, s, alice, "first", "a@far.example")
	for row := 2; row <= n; row += 10_000 { // one transaction with more needs too much memory
		err := s.write(context.Background(), 0, func(w *writer) error {
			series := fmt.Sprintf("WITH RECURSIVE series (value) AS (SELECT %d UNION ALL SELECT value + 1 FROM series LIMIT %d) ",
				row, min(10_000, n-row+1))
			for _, sql := range []string{
				`INSERT INTO message (id, uuid, sender_agent, class, trust, received, request, body)
					SELECT value, randomblob(16), sender_agent, class, trust, received, request, zeroblob(1000) FROM message, series WHERE id = 1`,
				`INSERT INTO delivery (seq, message, agent, address, state, changed, job)
					SELECT value, value, agent, address, state, changed, value FROM delivery, series WHERE seq = 1`,
				`INSERT INTO job (id, destination, message, state, changed, fence, attempts, due, begun, rekeys, size, same, turn)
					SELECT value, destination, value, state, changed, fence, attempts, due, begun, rekeys, size, same, turn FROM job, series WHERE id = 1`,
			} {
				if _, err := w.exec(series + sql); err != nil {
					return err
				}
			}
			w.next.message, w.next.delivery = int64(n+1), int64(n+1)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaim leases four of the jobs that wait for one domain, and then asks when
// the next is due. Often a domain that does not answer has all of the jobs.
func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("%dwaiting", n), func(b *testing.B) {
			s, alice, _ := bench(b)
			backlog(b, s, alice, n)
			now := dawn
			b.ResetTimer()
			for range b.N {
				now = now.Add(3 * time.Hour) // leased jobs are due again
				if jobs := mustClaim(b, s, "far.example", 4, now); len(jobs) != 4 {
					b.Fatalf("%d jobs, want 4", len(jobs))
				}
			}
		})
	}
}

// BenchmarkWaiting lists the destinations with jobs.
func BenchmarkWaiting(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("%dwaiting", n), func(b *testing.B) {
			s, alice, _ := bench(b)
			backlog(b, s, alice, n)
			b.ResetTimer()
			for range b.N {
				if list, err := s.Waiting(context.Background(), "", 100); err != nil || len(list) != 1 {
					b.Fatalf("%d destinations, %v; want 1", len(list), err)
				}
			}
		})
	}
}

// BenchmarkSettle settles successful attempts, many at once.
func BenchmarkSettle(b *testing.B) {
	s, alice, _ := bench(b)
	backlog(b, s, alice, b.N+1)
	jobs := mustClaim(b, s, "far.example", b.N, dawn)
	var n atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			j := jobs[n.Add(1)-1]
			e := gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: dawn, Results: []gateway.Result{
				{Delivery: gateway.DeliveryID(j.ID), Event: gateway.Success},
			}}
			if err := s.Settle(context.Background(), e); err != nil {
				b.Error(err)
			}
		}
	})
}
