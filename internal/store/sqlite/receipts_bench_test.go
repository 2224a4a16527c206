package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// BenchmarkReceiptStorm measures how fast messages are accepted while ten thousand are
// acknowledged. In one kind of round the acknowledged messages owe no receipts to other
// domains. In the other kind they are verified messages. Their receipts are taken from
// the store as if each call to the other domain took no time. The rounds alternate, and
// ratio is the median of their ratios: 1 means that receipts do not slow down
// accepting.
func BenchmarkReceiptStorm(b *testing.B) {
	var ratios []float64
	for range max(b.N, 3) {
		without := stormRate(b, gateway.ClassAnonymous)
		with := stormRate(b, gateway.ClassDomain)
		ratios = append(ratios, with/without)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(ratios[0], "worst")
}

// stormRate returns how many messages are accepted per second during a storm of
// acknowledgements of messages of the class.
func stormRate(b *testing.B, class gateway.Class) float64 {
	const storm, ackers, senders, accepts = 10_000, 32, 32, 10_000
	b.Helper()
	s, err := sqlite.Open(sqlite.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx, now := b.Context(), time.Now()
	add := func(name string) gateway.Agent {
		address, err := amtp.ParseAddress(name + "@shop.example")
		if err != nil {
			b.Fatal(err)
		}
		key := gateway.Key{ID: "key_" + name, CreatedAt: now, LastUsed: now}
		copy(key.Hash[:], name)
		a, err := s.AddAgent(ctx, gateway.Agent{Address: address, DeliveryMode: "pull", CreatedAt: now,
			LastActive: now}, key)
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	alice, bob, carol := add("alice"), add("bob"), add("carol")
	far, err := amtp.ParseAddress("ann@far.example")
	if err != nil {
		b.Fatal(err)
	}
	accept := func(from amtp.Address, agent gateway.AgentID, c gateway.Class, to gateway.Agent,
		text string) amtp.MessageID {
		body := fmt.Sprintf(`{"sender":%q,"recipients":[%q],"payload":{"text":%q}}`, from, to.Address, text)
		m, refused := amtp.ParseMessage([]byte(body))
		if refused != nil {
			b.Error(refused)
			return ""
		}
		out, err := s.Accept(ctx, gateway.Acceptance{
			Envelope: gateway.Envelope{ID: amtp.NewMessageID(), Sender: from, SenderAgent: agent, Class: c,
				Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}, ReceivedAt: now,
				Timestamp: now},
			Message: m, Recipients: []gateway.Recipient{{Agent: to.ID}},
		})
		if err != nil {
			b.Error(err)
		}
		return out.ID
	}
	ids := make([]amtp.MessageID, storm)
	each(ackers, storm, func(i int) { ids[i] = accept(far, 0, class, bob, fmt.Sprint("storm ", i)) })
	drained, drain := context.WithCancel(ctx)
	var teller sync.WaitGroup
	teller.Go(func() {
		for drained.Err() == nil {
			list, _, err := s.OwedReceipts(ctx, "far.example", time.Now(), gateway.MaxReceipts, 8<<20)
			if err == nil && len(list) > 0 {
				err = s.SettleReceipts(ctx, list, time.Now())
			}
			if err != nil {
				b.Error(err)
			}
			select {
			case <-drained.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	var acks sync.WaitGroup
	acks.Go(func() {
		each(ackers, storm, func(i int) {
			if _, err := s.Ack(ctx, gateway.Acting{Agent: bob.ID}, ids[i], time.Now()); err != nil {
				b.Error(err)
			}
		})
	})
	began := time.Now()
	each(senders, accepts, func(i int) { accept(alice.Address, alice.ID, gateway.ClassAgent, carol, fmt.Sprint(i)) })
	took := time.Since(began)
	acks.Wait()
	drain()
	teller.Wait()
	return accepts / took.Seconds()
}

// each calls fn for 0 to n-1 from several goroutines.
func each(goroutines, n int, fn func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	all.Wait()
}
