package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// cargo is the ledger's knowledge of a letter to another domain. Each letter has its
// own destination, and only one goroutine at a time uses it.
type cargo struct {
	using   bool
	may     map[gateway.State]bool // the states that it may have: Queued until it is decided
	asked   int                    // claims since it was queued
	claimed int                    // claims that were confirmed
}

func (c *cargo) is(s gateway.State) bool { return c != nil && len(c.may) == 1 && c.may[s] }

func (c *cargo) set(s gateway.State) { c.may = map[gateway.State]bool{s: true} }

func place(name string) gateway.Destination { return gateway.Destination(name + ".example") }

// mail sends a letter with that name to a domain of its own.
func (l *ledger) mail(s *Store, from gateway.Agent, name string) error {
	a := far(from, name, "a@"+string(place(name)))
	l.mu.Lock()
	e := &letter{body: string(a.Message.Raw()), cargo: &cargo{using: true}}
	e.cargo.set(gateway.Queued)
	l.letters[name] = e
	l.mu.Unlock()
	got, err := s.Accept(context.Background(), a)
	l.mu.Lock()
	defer l.mu.Unlock()
	e.cargo.using = false
	if e.busy = errors.Is(err, gateway.ErrBusy); err == nil {
		e.id = got.ID
	}
	return err
}

// use reserves a letter in that state, and returns its name, "" when there is none.
func (l *ledger) use(chance *rand.Rand, s gateway.State) (string, *letter) {
	names := l.some(func(e *letter) bool { return accepted(e) && e.cargo.is(s) && !e.cargo.using })
	if len(names) == 0 {
		return "", nil
	}
	name := names[chance.IntN(len(names))]
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.letters[name]
	if e.cargo.using || !e.cargo.is(s) {
		return "", nil
	}
	e.cargo.using = true
	return name, e
}

// done ends the use of a letter. The last call would put it into state to. A store that
// is busy has changed nothing.
func (l *ledger) done(e *letter, to gateway.State, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.cargo.using = false
	switch {
	case err == nil:
		e.cargo.set(to)
	case !errors.Is(err, gateway.ErrBusy):
		e.cargo.may[to] = true
	}
	return err
}

// hours returns a time after every lease and delay of earlier calls.
func (l *ledger) hours() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	return dawn.Add(time.Duration(l.clock) * 48 * time.Hour)
}

// carry makes one attempt to deliver a waiting letter.
func (l *ledger) carry(s *Store, chance *rand.Rand) error {
	name, e := l.use(chance, gateway.Queued)
	if e == nil {
		return nil
	}
	c, now, ctx := e.cargo, l.hours(), context.Background()
	c.asked++
	got, err := s.Claim(ctx, []gateway.Claiming{{Destination: place(name), Limit: 3}}, now, now.Add(leaseTime))
	if err != nil {
		if errors.Is(err, gateway.ErrBusy) {
			c.asked--
		}
		return l.done(e, gateway.Queued, err)
	}
	if len(got[0].Jobs) != 1 {
		l.report("%s: %d jobs are due, want 1", name, len(got[0].Jobs))
		return l.done(e, gateway.Queued, nil)
	}
	c.claimed++
	j := got[0].Jobs[0]
	p, err := s.Parcel(ctx, j.ID, j.Fence)
	if err != nil || len(p.Recipients) != 1 || string(p.Body) != e.body {
		if err == nil {
			l.report("%s: the parcel has %d recipients and %d bytes", name, len(p.Recipients), len(p.Body))
		}
		return l.done(e, gateway.Queued, err)
	}
	end := gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Hour), Report: true,
		Code: "TEMPORARY_FAILURE"}
	to := gateway.Queued
	if event := []gateway.Event{gateway.Success, gateway.Refuse,
		gateway.Postpone}[chance.IntN(3)]; event != gateway.Postpone {
		end.Results = []gateway.Result{{Delivery: p.Recipients[0].ID, Event: event, Code: "AGENT_UNKNOWN"}}
		to, _ = gateway.Next(gateway.Delivering, event)
	}
	return l.done(e, to, s.Settle(ctx, end))
}

// redrive redrives a dead letter.
func (l *ledger) redrive(s *Store, chance *rand.Rand) error {
	name, e := l.use(chance, gateway.Failed)
	if e == nil {
		return nil
	}
	n, err := s.Redrive(context.Background(), gateway.DeadFilter{Message: e.id}, l.hours())
	if err == nil && n != 1 {
		l.report("%s: %d letters were redriven, want 1", name, n)
	}
	e.cargo.asked, e.cargo.claimed = 0, 0
	return l.done(e, gateway.Queued, err)
}

// report notes a fault, which check reports.
func (l *ledger) report(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// queue counts the waiting and the failed letters of a store.
type queue struct {
	jobs, reports, dead map[string]int // by subject
	attempts            map[string]int
}

func (s *Store) queue(t *testing.T) queue {
	t.Helper()
	q := queue{make(map[string]int), make(map[string]int), make(map[string]int), make(map[string]int)}
	page, err := s.JobsPage(context.Background(), gateway.JobFilter{})
	if err != nil {
		t.Fatalf("jobs: %v", err)
	}
	for _, j := range page.Jobs {
		if j.Destination == gateway.Reports {
			q.reports[j.Envelope.Subject]++
			continue
		}
		q.jobs[j.Envelope.Subject]++
		q.attempts[j.Envelope.Subject] = j.Attempts
	}
	dead, err := s.DeadLetters(context.Background(), gateway.DeadFilter{})
	if err != nil {
		t.Fatalf("dead letters: %v", err)
	}
	for _, d := range dead.Letters {
		q.dead[d.Envelope.Subject]++
	}
	return q
}

// faults describes the faults in the stored state of a letter to another domain.
func (c *cargo) faults(name string, r gateway.Record, q queue, confirmed bool) (list []string) {
	say := func(wrong bool, what string) {
		if wrong {
			list = append(list, what)
		}
	}
	d := r.Deliveries[0]
	state := d.State
	if state == gateway.Delivering || state == gateway.Retrying {
		state = gateway.Queued
	}
	say(confirmed && !c.may[state], fmt.Sprintf("is %v, which it cannot be", d.State))
	jobs, ended := 0, 0
	switch state {
	case gateway.Queued:
		jobs = 1
		n := q.attempts[name]
		say(c.is(gateway.Queued) && (n < c.claimed || n > c.asked),
			fmt.Sprintf("has had %d attempts, of %d to %d", n, c.claimed, c.asked))
	case gateway.Failed:
		ended = 1
	}
	say(q.jobs[name] != jobs, fmt.Sprintf("is %v and has %d jobs", d.State, q.jobs[name]))
	say(q.dead[name] != ended, fmt.Sprintf("is %v and %d dead letters", d.State, q.dead[name]))
	say(q.reports[name] != ended, fmt.Sprintf("is %v and is reported %d times", d.State, q.reports[name]))
	return list
}

// consistent runs the consistency checks that every database must pass.
func consistent(t *testing.T, s *Store) {
	t.Helper()
	err := s.read(context.Background(), func(r *reader) error {
		for _, list := range [][]nothing{consistency, queueing} {
			for _, q := range list {
				if f := r.checkNone(q); !f.OK {
					t.Errorf("%s: %s", f.Name, f.Text)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("check: %v", err)
	}
}
