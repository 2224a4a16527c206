package testnet_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// BenchmarkEndToEnd: 64 senders write messages of 1 KB to an agent of another domain.
// One operation is one message that was accepted at A, verified and written to disk at
// B, and settled at A. Both gateways and all clients are in one process.
func BenchmarkEndToEnd(b *testing.B) {
	n := testnet.New(b)
	gate := n.Start("a.example", "AMTP_LIMITS_CONNECTIONS_PER_ADDRESS=1000")
	n.Start("b.example", "AMTP_LIMITS_CONNECTIONS_PER_ADDRESS=1000")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")
	alice.Send("to warm up", "bob@b.example")
	bob.Receives(1)
	crowd(b, alice, "bob@b.example", func() {
		for {
			list, err := gate.Operator().Jobs(b.Context(), admin.JobQuery{Limit: 1})
			if err != nil {
				b.Fatal(err)
			}
			if len(list.Jobs) == 0 {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	})
}

// BenchmarkLocal: the same for an agent of the same domain.
func BenchmarkLocal(b *testing.B) {
	n := testnet.New(b)
	n.Start("a.example", "AMTP_LIMITS_CONNECTIONS_PER_ADDRESS=1000")
	alice, carol := n.As("alice@a.example"), n.As("carol@a.example")
	alice.Send("to warm up", "carol@a.example")
	carol.Receives(1)
	crowd(b, alice, "carol@a.example", func() {})
}

// BenchmarkFiftyRecipients: one operation is one message for fifty agents of another
// domain, from the send until all fifty have it. most is the slowest one.
func BenchmarkFiftyRecipients(b *testing.B) {
	n := testnet.New(b)
	n.Start("a.example")
	n.Start("b.example")
	alice := n.As("alice@a.example")
	var to []string
	for i := range 50 {
		to = append(to, n.As(fmt.Sprintf("agent%d@b.example", i)).Address.String())
	}
	alice.Hears(alice.Send("to warm up", to...).MessageID, amtp.StatusDelivered)
	var most time.Duration
	for b.Loop() {
		began := time.Now()
		alice.Hears(alice.Send("to all", to...).MessageID, amtp.StatusDelivered)
		most = max(most, time.Since(began))
	}
	b.ReportMetric(float64(most.Milliseconds()), "most-ms")
}

// crowd sends b.N messages over 64 connections of one agent and waits until all are
// settled.
func crowd(b *testing.B, from *testnet.Person, to string, settled func()) {
	const senders = 64
	text := strings.Repeat("x", 1024)
	client := from.Client.HTTP
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = senders
	var next atomic.Int64
	before := used()
	b.ResetTimer()
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				body := fmt.Sprintf(`{"sender":%q,"recipients":[%q],"subject":"load","payload":{"n":%d,"text":%q}}`,
					from.Address, to, i, text)
				req, err := http.NewRequest("POST", from.Client.URL+"/v1/messages", bytes.NewReader([]byte(body)))
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+from.Client.Key)
				res, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				answer, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusAccepted {
					b.Errorf("%d %s", res.StatusCode, answer)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	settled()
	b.StopTimer()
	b.ReportMetric(float64(used()-before)/float64(b.N)/1000, "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
