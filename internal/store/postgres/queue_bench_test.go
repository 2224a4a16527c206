package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// BenchmarkThroughQueue sends messages for other domains through the queue: accepted,
// claimed, settled. It reports the size of the queue's table with its indexes.
func BenchmarkThroughQueue(b *testing.B) {
	s := open(b, database(b))
	alice := register(b, s, "alice")
	all := make([]gateway.Acceptance, b.N)
	for i := range all {
		all[i] = letterTo(b, alice, "", fmt.Sprintf("a@d%d.example", i%50))
	}
	var wanted []gateway.Claiming
	for i := range 50 {
		wanted = append(wanted, gateway.Claiming{Destination: gateway.Destination(fmt.Sprintf("d%d.example",
			i)), Limit: 64})
	}
	b.ResetTimer()
	var senders, settlers sync.WaitGroup
	for w := range 32 {
		senders.Go(func() {
			for i := w; i < b.N; i += 32 {
				if _, err := s.Accept(context.Background(), all[i]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for settled := 0; settled < b.N; {
		claimed, err := s.Claim(context.Background(), wanted, dawn.Add(time.Second), dawn.Add(time.Minute))
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range claimed {
			for _, j := range c.Jobs {
				settled++
				settlers.Go(func() {
					p, err := s.Parcel(context.Background(), j.ID, j.Fence)
					if err != nil {
						b.Error(err)
						return
					}
					if err := s.Settle(context.Background(),
						gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: dawn, Results: []gateway.Result{
							{Delivery: p.Recipients[0].ID, Event: gateway.Success},
						}}); err != nil {
						b.Error(err)
					}
				})
			}
		}
		settlers.Wait()
	}
	senders.Wait()
	b.StopTimer()
	var size int64
	if err := s.pool.QueryRow(context.Background(), `SELECT pg_total_relation_size('job')`).Scan(&size); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/(1<<20), "MiB")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
