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

// dawn is when everything in these tests begins.
var dawn = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// register adds a pull agent.
func register(t testing.TB, s *Store, name string) gateway.Agent {
	t.Helper()
	address, err := amtp.ParseAddress(name + "@shop.example")
	if err != nil {
		t.Fatal(err)
	}
	_, key := gateway.NewKey(0, dawn)
	a, err := s.AddAgent(context.Background(), gateway.Agent{Address: address, DeliveryMode: "pull", CreatedAt: dawn, LastActive: dawn}, key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// letterTo is a message of alice of a thousand bytes; its name makes it another,
// and an empty one gives it no key.
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
	m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"sender":%q,"recipients":["bob@shop.example"],"payload":{"text":%q,"fill":"%0900d"}}`,
		alice.Address, name, 0))
	if refused != nil {
		t.Fatal(refused)
	}
	return gateway.Acceptance{
		Envelope: gateway.Envelope{ID: amtp.NewMessageID(), Sender: alice.Address, SenderAgent: alice.ID, Class: gateway.ClassAgent,
			Trust: amtp.TrustLocal, Authentication: amtp.Authentication{Result: "pass"}, ReceivedAt: dawn, Timestamp: dawn},
		Key: name, Message: m, Recipients: recipients,
	}
}

// acceptAll stores messages, 64 at once, spread over the replicas.
func acceptAll(b *testing.B, replicas []*Store, letter func(i int) gateway.Acceptance) {
	b.Helper()
	all := make([]gateway.Acceptance, b.N)
	for i := range all {
		all[i] = letter(i)
	}
	var n, workers atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		s := replicas[int(workers.Add(1))%len(replicas)]
		for p.Next() {
			if _, err := s.Accept(context.Background(), all[n.Add(1)-1]); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkAccept stores messages for the inboxes of 100 agents. Where the server
// keeps its files decides what a sync costs: see pgtest.
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
			acceptAll(b, stores, func(i int) gateway.Acceptance { return letterTo(b, alice, fmt.Sprintf("letter-%d", i), friends[i%100]) })
		})
	}
	b.Run("oneInbox", func(b *testing.B) {
		s := open(b, database(b))
		alice, bob := register(b, s, "alice"), register(b, s, "bob")
		acceptAll(b, []*Store{s}, func(i int) gateway.Acceptance { return letterTo(b, alice, fmt.Sprintf("letter-%d", i), bob) })
	})
	b.Run("remote", func(b *testing.B) {
		s := open(b, database(b))
		alice := register(b, s, "alice")
		acceptAll(b, []*Store{s}, func(i int) gateway.Acceptance {
			return letterTo(b, alice, fmt.Sprintf("letter-%d", i), fmt.Sprintf("a@d%d.example", i%50))
		})
	})
}
