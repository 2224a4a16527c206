package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// far returns a message with that name to addresses in other domains.
func far(from gateway.Agent, name string, to ...string) gateway.Acceptance {
	a := note(from, from, name)
	a.Recipients = nil
	for _, s := range to {
		address, err := amtp.ParseAddress(s)
		if err != nil {
			panic(err)
		}
		a.Recipients = append(a.Recipients, gateway.Recipient{Address: address})
	}
	return a
}

func mustMail(t testing.TB, s *Store, from gateway.Agent, name string, to ...string) {
	t.Helper()
	if _, err := s.Accept(context.Background(), far(from, name, to...)); err != nil {
		t.Fatalf("Accept: %v", err)
	}
}

const leaseTime = 90 * time.Second

// mustClaim leases the due jobs of one destination.
func mustClaim(t testing.TB, s *Store, d gateway.Destination, limit int, now time.Time) []gateway.Job {
	t.Helper()
	got, err := s.Claim(context.Background(), []gateway.Claiming{{Destination: d, Limit: limit}}, now,
		now.Add(leaseTime))
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return got[0].Jobs
}

// settlement returns a settlement of j with the same result for all of its deliveries.
func settlement(t testing.TB, s *Store, j gateway.Job, e gateway.Event, now time.Time) gateway.Settlement {
	t.Helper()
	p, err := s.Parcel(context.Background(), j.ID, j.Fence)
	if err != nil {
		t.Fatalf("Parcel: %v", err)
	}
	out := gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Hour), Report: j.Reported()}
	for _, d := range p.Recipients {
		if e != gateway.Postpone {
			out.Results = append(out.Results, gateway.Result{Delivery: d.ID, Event: e, Code: "RECIPIENT_NOT_FOUND"})
		}
	}
	return out
}

func mustSettle(t testing.TB, s *Store, j gateway.Job, e gateway.Event, now time.Time) {
	t.Helper()
	if err := s.Settle(context.Background(), settlement(t, s, j, e, now)); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

// busyQueue fills a store with jobs in every state: one waits, one is leased, one is
// retried, one pushes, and one reports a dead letter.
func busyQueue(t testing.TB, s *Store) (alice gateway.Agent) {
	t.Helper()
	alice, err := addAgent(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := addAgent(s, "bob")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.UpdateAgent(context.Background(), gateway.Acting{}, bob.ID, func(a *gateway.Agent) error {
		a.DeliveryMode, a.Target = store.ModePush, "https://bob.example"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustMail(t, s, alice, "waits", "a@waits.example")
	mustMail(t, s, alice, "leased", "a@leased.example", "b@leased.example")
	mustMail(t, s, alice, "retries", "a@retries.example")
	mustMail(t, s, alice, "dead", "a@dead.example", "b@waits.example")
	if _, err := s.Accept(context.Background(), note(alice, bob, "pushed")); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, s, "leased.example", 1, dawn)
	mustSettle(t, s, mustClaim(t, s, "retries.example", 1, dawn)[0], gateway.Postpone, dawn)
	mustSettle(t, s, mustClaim(t, s, "dead.example", 1, dawn)[0], gateway.Refuse, dawn)
	return alice
}

// TestCheckFindsInTheQueue makes one fault at a time in the references between jobs,
// deliveries and dead letters.
func TestCheckFindsInTheQueue(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	busyQueue(t, s)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), filepath.Dir(s.writer.reserve.path), file, false); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{`SELECT 1`, nil},
		{`DELETE FROM job WHERE destination = 'waits.example'`, []string{"waiting deliveries"}},
		{`UPDATE job SET destination = 'other.example' WHERE destination = 'leased.example'`,
			[]string{"waiting deliveries"}},
		{`UPDATE delivery SET job = NULL WHERE agent <> 0`, []string{"waiting deliveries", "jobs"}},
		{`UPDATE delivery SET state = 5 WHERE address = 'a@retries.example'`, []string{"jobs"}},
		{`UPDATE delivery SET state = 5, dead = NULL WHERE state = 7`, []string{"jobs"}},
		{`UPDATE job SET payload = NULL WHERE destination = 'report:'`, []string{"jobs"}},
		{`UPDATE job SET payload = '{' WHERE destination = 'report:'`, []string{"jobs"}},
		{`UPDATE job SET payload = '{"failed":[]}' WHERE destination = 'report:'`, []string{"jobs"}},
		{`UPDATE job SET payload = '{"failed":[999]}' WHERE destination = 'report:'`, []string{"jobs"}},
		{`UPDATE job SET message = 999 WHERE destination = 'report:'`, []string{"jobs"}},
		{`UPDATE job SET lease = NULL WHERE lease IS NOT NULL`, []string{"attempts"}},
		{`UPDATE job SET lease = 1 WHERE destination = 'waits.example'`, []string{"attempts"}},
		{`UPDATE job SET due = lease - 1 WHERE lease IS NOT NULL`, []string{"attempts"}},
		{`UPDATE job SET attempts = fence + 1 WHERE destination = 'retries.example'`, []string{"attempts"}},
		{`UPDATE job SET state = 5 WHERE destination = 'waits.example'`, []string{"attempts"}},
		{`UPDATE job SET fence = 1, attempts = 1 WHERE destination = 'waits.example'`, []string{"attempts"}},
		{`INSERT INTO job (destination, message, state, changed, fence, attempts, due, begun, rekeys, size, same)
			SELECT destination, message, 1, 1, 0, 0, 1, 1, 0, 1, 0 FROM job WHERE destination = 'leased.example'`, []string{"jobs", "attempts"}},
		{`UPDATE delivery SET dead = 1 WHERE address = 'a@waits.example'`, []string{"dead letters"}},
		{`UPDATE message SET body = NULL, fingerprint = zeroblob(32) WHERE id = (SELECT message FROM job WHERE destination = 'report:')`,
			[]string{"bodies", "jobs", "dead letters"}},
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, FileName)
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := alone(name, c.sql); err != nil {
			t.Fatal(err)
		}
		if got := wrong(Check(t.Context(), dir)); !slices.Equal(got, c.want) {
			t.Errorf("Check after %q finds %v, want %v", c.sql, got, c.want)
		}
	}
}

// TestRestoreOfTheQueue: jobs that waited in the backup wait, and none is carried
// before an operator confirms the restore. New job ids are higher than all that were
// given out since the backup.
func TestRestoreOfTheQueue(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice := busyQueue(t, s)
	if err := s.ChangeDocuments(t.Context(), "signing", func([]gateway.Document) ([]gateway.Document, error) {
		return []gateway.Document{{Kind: "signing", Name: "s1", Sealed: []byte("sealed"), Created: dawn}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.NoteSenderDomain(t.Context(), "far.example", true, dawn); err != nil {
		t.Fatal(err)
	}
	file, dir := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	if _, err := Backup(t.Context(), filepath.Dir(s.writer.reserve.path), file, false); err != nil {
		t.Fatal(err)
	}
	mustMail(t, s, alice, "lost", "a@lost.example")
	lost := mustClaim(t, s, "lost.example", 1, dawn)[0]
	if _, err := Restore(t.Context(), dir, file, false, dawn); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wanted := []gateway.Claiming{{Destination: "waits.example", Limit: 9}, {Destination: "leased.example", Limit: 9},
		{Destination: "retries.example", Limit: 9},
		{Destination: gateway.Reports, Limit: 9}, {Destination: gateway.PushTo(alice.ID + 1), Limit: 9}}
	later := dawn.Add(2 * time.Hour)
	if _, err := r.Claim(t.Context(), wanted, later, later.Add(leaseTime)); !errors.Is(err, gateway.ErrPaused) {
		t.Errorf("Claim = %v, want %q", err, gateway.ErrPaused)
	}
	if err := r.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := r.Claim(t.Context(), wanted, later, later.Add(leaseTime))
	if err != nil {
		t.Fatal(err)
	}
	count := ""
	for _, c := range got {
		count += fmt.Sprint(len(c.Jobs), " ")
	}
	if count != "2 1 1 1 1 " {
		t.Errorf("%s jobs are claimed after the restore, want 2 1 1 1 1", count)
	}
	mustMail(t, r, alice, "new", "a@new.example")
	if j := mustClaim(t, r, "new.example", 1, later)[0]; j.ID <= lost.ID+1000 {
		t.Errorf("the new job has the id %d, want one far above %d, which was lost", j.ID, lost.ID)
	}
	if list, err := r.Documents(t.Context(), "signing"); err != nil || len(list) != 1 {
		t.Errorf("Documents = %v, %v; want the one of the backup", list, err)
	}
	if p, err := r.SenderDomain(t.Context(), "far.example"); err != nil || p.FirstSigned.IsZero() {
		t.Errorf("Peer = %+v, %v; want the one of the backup", p, err)
	}
	if list := wrong(Check(t.Context(), dir)); len(list) > 0 {
		t.Errorf("Check finds %v, want nothing", list)
	}
}

// useTheQueue makes the calls that couriers and operators make all day.
func useTheQueue(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	alice, err := addAgent(s, "queuer")
	must(err)
	for _, name := range []string{"one", "two", "three"} {
		a := far(alice, name, "a@far.example", "b@far.example", "c@"+name+".example")
		a.Class, a.SenderAgent, a.Unsigned, a.GivenID = gateway.ClassDomain, 0, true, amtp.NewMessageID()
		_, err := s.Accept(ctx, a)
		must(err)
		_, err = s.Accept(ctx, a)
		must(err)
	}
	mustMail(t, s, alice, "four", "a@far.example")
	mustMail(t, s, alice, "four", "a@far.example", "x@far.example")
	_, err = s.Waiting(ctx, "", 10)
	must(err)
	jobs := mustClaim(t, s, "far.example", 10, dawn)
	for i, e := range []gateway.Event{gateway.Success, gateway.Postpone, gateway.Refuse, gateway.Refuse} {
		mustSettle(t, s, jobs[i], e, dawn)
	}
	for _, f := range []gateway.JobFilter{{}, {Destination: "far.example"}, {State: gateway.Queued},
		{State: gateway.Delivering}, {Message: jobs[1].Message},
		{Destination: "far.example", State: gateway.Delivering},
		{Message: jobs[1].Message, State: gateway.Delivering, Destination: "far.example"}} {
		f.Limit = 10
		_, err := s.JobsPage(ctx, f)
		must(err)
	}
	must(s.MakeDue(ctx, jobs[1].ID, dawn))
	list, err := s.DeadLetters(ctx, gateway.DeadFilter{})
	must(err)
	for _, f := range []gateway.DeadFilter{{IDs: []gateway.DeliveryID{list.Letters[0].ID}}, {Message: jobs[2].Message},
		{Destination: "far.example", Code: "X", Before: dawn}} {
		_, err := s.DeadLetters(ctx, f)
		must(err)
	}
	_, err = s.DeadLetter(ctx, list.Letters[0].ID)
	must(err)
	_, err = s.Redrive(ctx, gateway.DeadFilter{Limit: 1}, dawn.Add(gateway.Forgotten))
	must(err)
	_, err = s.PurgeDead(ctx, gateway.DeadFilter{})
	must(err)
	must(s.Cancel(ctx, jobs[1].ID, dawn))
	_, err = s.Expire(ctx, dawn.Add(time.Hour), dawn, 10, func(gateway.Job) bool { return true })
	must(err)
	must(s.NoteSenderDomain(ctx, "far.example", true, dawn))
	_, err = s.SenderDomainsPage(ctx, "", 10)
	must(err)
	must(s.ChangeDocuments(ctx, "signing", func(l []gateway.Document) ([]gateway.Document, error) { return l, nil }))
	must(s.write(ctx, 0, func(w *writer) error { return w.lapse() })) // no job is leased
}
