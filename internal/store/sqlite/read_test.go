package sqlite

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// TestWritesDoNotWaitForReads has a read that never ends by itself, and writes until
// the journal is full. The writer interrupts the read, which starts again.
func TestWritesDoNotWaitForReads(t *testing.T) {
	s, err := Open(Options{Dir: fresh(t, scratch(t)), walSoft: 128 << 10, walHard: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := cast(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var again atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			begun := 0
			_ = s.read(ctx, func(r *reader) error {
				if begun++; begun > 1 {
					again.Store(true)
				}
				_,
					err := r.exec(`WITH RECURSIVE n (v) AS (SELECT count(*) FROM message UNION ALL SELECT v + 1 FROM n LIMIT 1000000000000) SELECT max(v) FROM n`)
				return err
			})
		}
	})
	const most = 5000
	n := 0
	for ; n < most && !again.Load(); n++ {
		if _, err := s.Accept(ctx, note(alice, bob, fmt.Sprint("n", n))); err != nil {
			t.Error(err)
			break
		}
	}
	cancel()
	all.Wait()
	if !again.Load() {
		t.Errorf("%d messages were stored during a read that does not end, and none of the writes interrupted it", n)
	}
	page, err := s.Messages(t.Context(), gateway.Reader{Agent: bob.ID}, gateway.MessageFilter{Limit: 1})
	if err != nil || len(page.Messages) != 1 {
		t.Errorf("a list after that has %d messages: %v", len(page.Messages), err)
	}
}

// TestPagesEndAtTheirBounds: with a filter that nothing matches, a page ends early and
// reports it. The pages after it have the rest.
func TestPagesEndAtTheirBounds(t *testing.T) {
	s, err := Open(Options{Dir: fresh(t, scratch(t)), bounds: store.Bounds{Total: 5, Scan: 7, Agents: 3}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	alice, bob := cast(t, s)
	const n = 40
	for i := range n {
		got, err := s.Accept(ctx, note(alice, bob, fmt.Sprint("n", i)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := s.MarkRead(ctx, gateway.Acting{Agent: bob.ID}, got.ID, dawn); err != nil {
				t.Fatal(err)
			}
		}
		mustMail(t, s, alice, fmt.Sprint("m", i), "x@far.example")
	}
	pages, seen := 0, 0
	for status, want := range map[amtp.Status]int{amtp.StatusDelivered: n, amtp.StatusFailed: 0} {
		f := gateway.MessageFilter{Status: status, Limit: 10}
		pages, seen = 0, 0
		for more := true; more; pages++ {
			page, err := s.Messages(ctx, gateway.Reader{Agent: alice.ID}, f)
			if err != nil || want == 0 && page.HasMore != page.Incomplete {
				t.Fatalf("%+v, %v", page, err)
			}
			seen += len(page.Messages)
			f.Before, more = page.Next, page.HasMore
		}
		if seen != want || pages < 3 {
			t.Errorf("%d messages that are %s on %d pages, want %d on several", seen, status, pages, want)
		}
	}
	pages, seen = 0, 0
	box := gateway.InboxFilter{Read: true, Limit: 100}
	for more := true; more; pages++ {
		page, err := s.Inbox(ctx, gateway.Acting{Agent: bob.ID}, box)
		if err != nil || page.HasMore != page.Incomplete {
			t.Fatalf("%+v, %v", page, err)
		}
		seen += len(page.Items)
		box.After, more = page.Next, page.HasMore
	}
	if seen != 1 || pages != (n-1)/7+1 {
		t.Errorf("%d messages on %d pages, want 1 on %d", seen, pages, (n-1)/7+1)
	}
	pages = 0
	jobs := gateway.JobFilter{State: gateway.Retrying, Limit: 100}
	for more := true; more; pages++ {
		page, err := s.JobsPage(ctx, jobs)
		if err != nil || page.HasMore != page.Incomplete || len(page.Jobs) > 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		jobs.After, more = page.Next, page.HasMore
	}
	if pages != n/7+1 {
		t.Errorf("%d pages of jobs, want %d", pages, n/7+1)
	}
}
