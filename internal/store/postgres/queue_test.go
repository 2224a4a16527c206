package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// TestParcelsReadTogether: when many parcels are read at once, each caller gets its
// own, and none for a fence that is not the job's.
func TestParcelsReadTogether(t *testing.T) {
	s := open(t, database(t))
	alice := register(t, s, "alice")
	const n = 200
	for i := range n {
		mustAccept(t, s, letterTo(t, alice, fmt.Sprintf("letter-%d", i), fmt.Sprintf("a%d@far.example", i),
			fmt.Sprintf("b%d@far.example", i)))
	}
	jobs := mustClaim(t, s, "far.example", n, 0, dawn)
	if len(jobs) != n {
		t.Fatalf("%d jobs were claimed, want %d", len(jobs), n)
	}
	var readers sync.WaitGroup
	for _, j := range jobs {
		readers.Go(func() {
			p, err := s.Parcel(t.Context(), j.ID, j.Fence)
			if err != nil {
				t.Errorf("job %d: %v", j.ID, err)
				return
			}
			var i int
			if _, err := fmt.Sscanf(p.Recipients[0].Recipient.String(), "a%d@far.example", &i); err != nil {
				t.Errorf("job %d is for %s: %v", j.ID, p.Recipients[0].Recipient, err)
			}
			if p.ID != j.ID || p.Fence != j.Fence || p.Envelope.ID != j.Message || len(p.Recipients) != 2 {
				t.Errorf("job %d: got job %d under fence %d with message %s to %d recipients", j.ID, p.ID, p.Fence,
					p.Envelope.ID, len(p.Recipients))
			}
			if want := fmt.Appendf(nil, `"text":"letter-%d"`, i); !bytes.Contains(p.Body, want) {
				t.Errorf("job %d has another one's body: %.120s", j.ID, p.Body)
			}
		})
		readers.Go(func() {
			if _, err := s.Parcel(t.Context(), j.ID, j.Fence+1); !errors.Is(err, gateway.ErrStale) {
				t.Errorf("job %d under another fence: got %v, want ErrStale", j.ID, err)
			}
		})
	}
	readers.Wait()
}

// TestQueueIsTidied: a busy queue is vacuumed without the server's autovacuum, which is
// off here.
func TestQueueIsTidied(t *testing.T) {
	s := open(t, database(t))
	if _, err := s.pool.Exec(t.Context(), `ALTER TABLE job SET (autovacuum_enabled = false)`); err != nil {
		t.Fatal(err)
	}
	alice := register(t, s, "alice")
	const n = tidyRows / 2 // leased and deleted
	var senders sync.WaitGroup
	for w := range 20 {
		senders.Go(func() {
			for i := range n / 20 {
				if _, err := s.Accept(t.Context(), letterTo(t, alice, fmt.Sprint(w, " ", i),
					"a@far.example")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	var settlers sync.WaitGroup
	for _, j := range mustClaim(t, s, "far.example", n, 0, dawn) {
		settlers.Go(func() {
			p, err := s.Parcel(t.Context(), j.ID, j.Fence)
			if err == nil {
				err = s.Settle(t.Context(), gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: dawn,
					Results: []gateway.Result{{Delivery: p.Recipients[0].ID, Event: gateway.Success}}})
			}
			if err != nil {
				t.Errorf("job %d: %v", j.ID, err)
			}
		})
	}
	settlers.Wait()
	soon(t, "the queue's table is vacuumed", func() bool {
		var vacuumed bool
		err := s.pool.QueryRow(context.Background(),
			`SELECT vacuum_count > 0 FROM pg_stat_user_tables WHERE relid = 'job'::regclass`).Scan(&vacuumed)
		return err == nil && vacuumed
	})
}

// TestJobWithoutMessage: in a damaged database, a job without its message is skipped,
// and the process continues.
func TestJobWithoutMessage(t *testing.T) {
	s := open(t, database(t))
	alice := register(t, s, "alice")
	mustAccept(t, s, letterTo(t, alice, "letter", "a@far.example"))
	j := mustClaim(t, s, "far.example", 1, 0, dawn)[0]
	if _, err := s.pool.Exec(t.Context(), `DELETE FROM message`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Parcel(t.Context(), j.ID, j.Fence); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("its parcel: got %v, want ErrStale", err)
	}
	if page, err := s.JobsPage(t.Context(), gateway.JobFilter{}); err != nil || len(page.Jobs) != 0 {
		t.Errorf("the list of jobs: got %d, %v, want none", len(page.Jobs), err)
	}
}
