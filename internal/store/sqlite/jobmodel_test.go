package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"pgregory.net/rapid"
)

// depot is a model of a store's queue, in memory. It implements the rules a second
// time, in another way.
type depot struct {
	t        *testing.T
	dir      string
	store    *Store
	alice    gateway.Agent
	round    int
	sent     int
	hand     *storetest.Hand
	ahead    int // hours by which the clock was set ahead
	next     gateway.JobID
	jobs     []*modelJob // in the order of their ids
	letters  []*modelLetter
	settled  []gateway.Settlement // they were valid once
	finished int
}

type modelJob struct {
	gateway.Job
	letter  *modelLetter
	changed time.Time // when its state changed
}

type modelLetter struct {
	acceptance gateway.Acceptance
	id         amtp.MessageID
	parts      []*modelPart
}

// modelPart is one delivery.
type modelPart struct {
	to         gateway.Recipient
	letter     *modelLetter
	id         gateway.DeliveryID
	job        gateway.JobID // the job that carries it, or reports it
	state      gateway.State // Queued until it is decided
	dead       bool
	generation int
}

func (d *depot) job(id gateway.JobID) *modelJob {
	for _, j := range d.jobs {
		if j.ID == id {
			return j
		}
	}
	return nil
}

func (d *depot) parts(pass func(*modelPart) bool) (list []*modelPart) {
	for _, l := range d.letters {
		for _, p := range l.parts {
			if pass(p) {
				list = append(list, p)
			}
		}
	}
	return list
}

func (d *depot) of(j *modelJob) []*modelPart {
	return d.parts(func(p *modelPart) bool { return p.job == j.ID })
}

// later moves the clock.
func (d *depot) later(t *rapid.T) time.Time {
	d.hand.Pass(time.Duration(rapid.IntRange(1, 200).Draw(t, "seconds")) * time.Second)
	return d.hand.Now()
}

// wrong makes the clock jump, go back or stop. The model has its own rule for times
// that it wrote while the clock was ahead.
func (d *depot) wrong(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "stands") == 0 {
		d.hand.Stop(time.Duration(rapid.IntRange(1, 5).Draw(t, "hours")) * time.Hour)
	} else {
		ahead := rapid.IntRange(0, 60).Draw(t, "hours") // longer jumps are tested in storetest
		d.hand.Set(time.Duration(ahead-d.ahead) * time.Hour)
		d.ahead = ahead
	}
	if _, err := d.store.NoteClock(t.Context()); err != nil {
		t.Fatalf("NoteClock = %v", err)
	}
	now := d.hand.Now()
	early := func(at time.Time) time.Time {
		if at.After(now.Add(5 * time.Minute)) {
			return now
		}
		return at
	}
	for _, j := range d.jobs {
		wait, lease := j.Due.Sub(j.changed), j.Lease.Sub(j.changed)
		if back := j.changed.After(now.Add(5 * time.Minute)); back {
			j.Due = now.Add(min(wait, 24*time.Hour))
			if leased(j) {
				j.Lease = now.Add(lease)
			}
		}
		j.changed, j.Begun, j.FirstTry, j.LastTry, j.Since = early(j.changed), early(j.Begun), early(j.FirstTry),
			early(j.LastTry), early(j.Since)
		if j.Due.After(now.Add(24 * time.Hour)) {
			j.Due = now
		}
		if leased(j) && j.Due.Before(j.Lease) {
			j.Due = j.Lease
		}
	}
}

func (d *depot) place(t *rapid.T) gateway.Destination {
	return gateway.Destination(fmt.Sprintf("d%d.example", rapid.IntRange(0, 2).Draw(t, "destination")))
}

// enqueue gives a part its job, and returns the job.
func (d *depot) enqueue(p *modelPart, to gateway.Destination, now time.Time) *modelJob {
	p.state = gateway.Queued
	for _, j := range d.jobs {
		if j.letter != p.letter || j.Destination != to || to == gateway.Reports {
			continue
		}
		if !j.Lease.After(now) && now.Before(j.Due) {
			j.Due = now
		}
		p.job = j.ID
		return j
	}
	j := d.insert(p.letter, to, now)
	p.job = j.ID
	return j
}

func (d *depot) insert(l *modelLetter, to gateway.Destination, now time.Time) *modelJob {
	j := &modelJob{letter: l, changed: now, Job: gateway.Job{ID: d.next, Destination: to, State: gateway.Queued,
		Begun: now, Due: now,
		Size: len(l.acceptance.Message.Raw()), Message: l.id, Class: gateway.ClassAgent, SenderAgent: d.alice.ID,
		Flow: gateway.Flow(d.alice.ID)}}
	d.next++
	d.jobs = append(d.jobs, j)
	return j
}

func (d *depot) remove(j *modelJob) {
	d.jobs = slices.DeleteFunc(d.jobs, func(o *modelJob) bool { return o == j })
}

func (d *depot) accept(t *rapid.T) {
	d.sent++
	l := &modelLetter{acceptance: far(d.alice, fmt.Sprintf("model-%d-%d", d.round, d.sent))}
	d.letters = append(d.letters, l)
	d.address(t, l, rapid.IntRange(1, 4).Draw(t, "recipients"))
}

// repeat sends a letter again, with more recipients.
func (d *depot) repeat(t *rapid.T) {
	if len(d.letters) == 0 {
		t.Skip("nothing to repeat")
	}
	d.address(t, rapid.SampledFrom(d.letters).Draw(t, "letter"), rapid.IntRange(0, 2).Draw(t, "more"))
}

func (d *depot) address(t *rapid.T, l *modelLetter, n int) {
	a := &l.acceptance
	a.ReceivedAt = d.later(t)
	var added []*modelPart
	for range n {
		address, err := amtp.ParseAddress(fmt.Sprintf("a%d@%s", len(a.Recipients), d.place(t)))
		if err != nil {
			t.Fatal(err)
		}
		to := gateway.Recipient{Address: address}
		a.Recipients = append(a.Recipients, to)
		added = append(added, &modelPart{to: to, letter: l})
	}
	got, err := d.store.Accept(t.Context(), *a)
	if err != nil || l.id != "" && got.ID != l.id || len(got.Deliveries) != len(l.parts)+len(added) {
		t.Fatalf("Accept = %+v, %v", got, err)
	}
	l.id = got.ID
	for _, p := range added {
		d.enqueue(p, gateway.Destination(p.to.Address.Domain()), a.ReceivedAt)
	}
	l.parts = append(l.parts, added...)
}

func (d *depot) claim(t *rapid.T) {
	now := d.later(t)
	to := d.place(t)
	if rapid.IntRange(0, 3).Draw(t, "reports") == 0 {
		to = gateway.Reports
	}
	limit := rapid.IntRange(0, 3).Draw(t, "limit")
	lease := now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "lease")) * time.Second)
	var due []*modelJob
	for _, j := range d.jobs {
		if j.Destination == to && !j.Due.After(now) {
			due = append(due, j)
		}
	}
	slices.SortStableFunc(due, func(a, b *modelJob) int {
		return cmp.Or(cmp.Compare(gateway.TurnOf(a.Flow, a.Attempts), gateway.TurnOf(b.Flow, b.Attempts)),
			a.Due.Compare(b.Due))
	})
	due = due[:min(limit, len(due))]
	for _, j := range due {
		j.Fence++
		j.Attempts++
		j.changed, j.State, j.LastTry, j.Lease = now, gateway.Delivering, now,
			lease.Add(gateway.Carrying(int64(j.Size)))
		j.FirstTry = cmp.Or(j.FirstTry, now)
		j.Due = now.Add(gateway.Backoff(j.ID, j.Attempts)).Truncate(time.Microsecond)
		if j.Due.Before(j.Lease) {
			j.Due = j.Lease
		}
	}
	got, err := d.store.Claim(t.Context(), []gateway.Claiming{{Destination: to, Limit: limit}}, now, lease)
	if err != nil || len(got) != 1 || len(got[0].Jobs) != len(due) {
		t.Fatalf("Claim = %+v, %v; want %d jobs", got, err, len(due))
	}
	for i, j := range due {
		if got[0].Jobs[i] != j.Job {
			t.Fatalf("Claim = %+v, want %+v", got[0].Jobs[i], j.Job)
		}
	}
}

// pick chooses a job that the filter accepts.
func (d *depot) pick(t *rapid.T, pass func(*modelJob) bool) *modelJob {
	some := slices.DeleteFunc(slices.Clone(d.jobs), func(j *modelJob) bool { return !pass(j) })
	if len(some) == 0 {
		t.Skip("no such job")
	}
	return rapid.SampledFrom(some).Draw(t, "job")
}

func leased(j *modelJob) bool { return j.State == gateway.Delivering }

func (d *depot) settle(t *rapid.T) {
	j := d.pick(t, leased)
	p, err := d.store.Parcel(t.Context(), j.ID, j.Fence)
	if err != nil || p.Job != j.Job || len(p.Recipients) != len(d.of(j)) {
		t.Fatalf("Parcel = %+v, %v; want %+v for %d", p, err, j.Job, len(d.of(j)))
	}
	now := d.later(t)
	e := gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now,
		Due:  now.Add(time.Duration(rapid.IntRange(-5, 500).Draw(t, "due")) * time.Second),
		Code: "TEMPORARY_FAILURE", Reason: "not well", Since: j.LastTry, Same: j.Attempts,
		Rekey:  rapid.Bool().Draw(t, "rekey"),
		Report: rapid.Bool().Draw(t, "report")}
	for _, part := range d.of(j) {
		event := rapid.SampledFrom([]gateway.Event{gateway.Success, gateway.Refuse, gateway.GiveUp,
			gateway.Postpone}).Draw(t, "event")
		if event != gateway.Postpone {
			e.Results = append(e.Results, gateway.Result{Delivery: part.id, Event: event, Code: "AGENT_UNKNOWN"})
		}
	}
	if err := d.store.Settle(t.Context(), e); err != nil {
		t.Fatalf("Settle = %v", err)
	}
	d.settled = append(d.settled, e)
	d.end(j, &e)
}

// end applies a settlement to the model.
func (d *depot) end(j *modelJob, e *gateway.Settlement) {
	var report *modelJob
	for _, part := range d.of(j) {
		i := slices.IndexFunc(e.Results, func(r gateway.Result) bool { return r.Delivery == part.id })
		if i < 0 {
			continue
		}
		part.job = 0
		if j.Destination == gateway.Reports {
			continue
		}
		switch e.Results[i].Event {
		case gateway.Success:
			part.state = gateway.Delivered
			continue
		case gateway.Refuse:
			part.state = gateway.Failed
		case gateway.GiveUp:
			part.state = gateway.Expired
		}
		part.dead = true
		if e.Report {
			if report == nil {
				report = d.insert(j.letter, gateway.Reports, e.Now)
			}
			part.job = report.ID
		}
	}
	if len(d.of(j)) == 0 {
		d.finished++
		d.remove(j)
		return
	}
	j.changed, j.State, j.Lease, j.Due = e.Now, gateway.Retrying, time.Time{}, e.Due
	if e.Due.Before(e.Now) {
		j.Due = e.Now
	}
	j.Code, j.Reason, j.Since, j.Same = e.Code, e.Reason, e.Since, e.Same
	if e.Rekey {
		j.Rekeys++
	}
}

// stale sends a settlement again, which must be refused as stale.
func (d *depot) stale(t *rapid.T) {
	if len(d.settled) == 0 {
		t.Skip("nothing was settled")
	}
	e := rapid.SampledFrom(d.settled).Draw(t, "settlement")
	if err := d.store.Settle(t.Context(), e); !errors.Is(err, gateway.ErrStale) {
		t.Fatalf("Settle a second time = %v, want the error %q", err, gateway.ErrStale)
	}
}

// operate makes a job due or cancels it.
func (d *depot) operate(t *rapid.T) {
	j := d.pick(t, func(*modelJob) bool { return true })
	now, cancel := d.later(t), rapid.IntRange(0, 3).Draw(t, "cancel") == 0
	var err error
	if cancel {
		err = d.store.Cancel(t.Context(), j.ID, now)
	} else {
		err = d.store.MakeDue(t.Context(), j.ID, now)
	}
	if j.Lease.After(now) {
		if !errors.Is(err, gateway.ErrConflict) {
			t.Fatalf("of a leased job = %v, want the error %q", err, gateway.ErrConflict)
		}
		return
	}
	if err != nil {
		t.Fatalf("of a job that waits = %v", err)
	}
	if leased(j) {
		j.State, j.Lease = gateway.Retrying, time.Time{}
	}
	if !cancel {
		if now.Before(j.Due) {
			j.Due = now
		}
		return
	}
	for _, part := range d.of(j) {
		if part.job = 0; part.state == gateway.Queued {
			part.state = gateway.Cancelled
		}
	}
	d.remove(j)
}

func (d *depot) expire(t *rapid.T) {
	now := d.later(t)
	begun := now.Add(-time.Duration(rapid.IntRange(200, 2000).Draw(t, "age")) * time.Second)
	limit := rapid.IntRange(1, 5).Draw(t, "limit")
	got, err := d.store.Expire(t.Context(), begun, now, limit, func(j gateway.Job) bool { return j.Reported() })
	want := 0
	old := slices.DeleteFunc(slices.Clone(d.jobs), func(j *modelJob) bool {
		return j.Lease.After(now) || !j.Begun.Before(begun)
	})
	slices.SortStableFunc(old, func(a, b *modelJob) int { return a.Begun.Compare(b.Begun) })
	for _, j := range old[:min(limit, len(old))] {
		want++
		e := gateway.Settlement{Now: now, Report: j.Reported()}
		for _, part := range d.of(j) {
			e.Results = append(e.Results, gateway.Result{Delivery: part.id, Event: gateway.GiveUp})
		}
		d.end(j, &e)
	}
	if err != nil || got != want {
		t.Fatalf("Expire = %d, %v; want %d", got, err, want)
	}
}

func (d *depot) redrive(t *rapid.T) {
	now, to := d.later(t), d.place(t)
	dead := d.parts(func(p *modelPart) bool { return p.dead && gateway.Destination(p.to.Address.Domain()) == to })
	slices.SortFunc(dead, func(a, b *modelPart) int { return cmp.Compare(a.id, b.id) })
	f := gateway.DeadFilter{Destination: to, Limit: rapid.IntRange(1, 3).Draw(t, "limit")}
	dead = dead[:min(f.Limit, len(dead))]
	if rapid.IntRange(0, 4).Draw(t, "purge") == 0 {
		got, err := d.store.PurgeDead(t.Context(), f)
		if err != nil || got != len(dead) {
			t.Fatalf("PurgeDead = %d, %v; want %d", got, err, len(dead))
		}
		for _, p := range dead {
			p.dead = false
		}
		return
	}
	got, err := d.store.Redrive(t.Context(), f, now)
	if err != nil || got != len(dead) {
		t.Fatalf("Redrive = %d, %v; want %d", got, err, len(dead))
	}
	for _, p := range dead {
		report := d.job(p.job)
		p.dead = false
		p.generation++
		d.enqueue(p, to, now)
		if report != nil && len(d.of(report)) == 0 {
			d.remove(report)
		}
	}
}

// reopen ends the process, and with it its leases.
func (d *depot) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "reopen") > 0 {
		t.Skip("it costs much")
	}
	if err := d.store.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	d.store = mustOpenOn(d.t, faultfs.New(d.t), d.dir, byHand(d.hand))
	for _, j := range d.jobs {
		if leased(j) {
			j.State, j.Lease = gateway.Retrying, time.Time{}
			j.Due = j.LastTry.Add(gateway.Backoff(j.ID, j.Attempts)).Truncate(time.Microsecond)
		}
	}
}

// look compares everything that can be seen of the queue, and learns the ids of new
// deliveries. It runs after every step.
func (d *depot) look(t *rapid.T) {
	page, err := d.store.JobsPage(t.Context(), gateway.JobFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range d.letters {
		rec, err := d.store.Message(t.Context(), gateway.Reader{Agent: d.alice.ID}, l.id)
		if err != nil || len(rec.Deliveries) != len(l.parts) {
			t.Fatalf("Message = %+v, %v; want %d deliveries", rec, err, len(l.parts))
		}
		for i, p := range l.parts {
			want := p.state
			if j := d.job(p.job); j != nil && p.state == gateway.Queued {
				want = j.State
			}
			if p.id = rec.Deliveries[i].ID; rec.Deliveries[i].State != want {
				t.Fatalf("%s of %s is %v, want %v", p.to.Address, l.id, rec.Deliveries[i].State, want)
			}
		}
	}
	var got, want []string
	for _, j := range page.Jobs {
		var ids []gateway.DeliveryID
		for _, r := range j.Recipients {
			ids = append(ids, r.ID)
		}
		got = append(got, fmt.Sprintf("%+v %v", j.Job, ids))
	}
	for _, j := range d.jobs {
		var ids []gateway.DeliveryID
		for _, p := range d.of(j) {
			ids = append(ids, p.id)
		}
		slices.Sort(ids)
		want = append(want, fmt.Sprintf("%+v %v", j.Job, ids))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the jobs are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	d.lookAtLetters(t)
}

func (d *depot) lookAtLetters(t *rapid.T) {
	var got, want []string
	page, err := d.store.DeadLetters(t.Context(), gateway.DeadFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range page.Letters {
		got = append(got, fmt.Sprintf("%d %v generation %d", l.ID, l.Delivery.State, l.Generation))
	}
	dead := d.parts(func(p *modelPart) bool { return p.dead })
	slices.SortFunc(dead, func(a, b *modelPart) int { return cmp.Compare(a.id, b.id) })
	for _, p := range dead {
		want = append(want, fmt.Sprintf("%d %v generation %d", p.id, p.state, p.generation))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the dead letters are %v, want %v", got, want)
	}
	earliest := make(map[gateway.Destination]time.Time)
	for _, j := range d.jobs {
		if at, is := earliest[j.Destination]; !is || j.Due.Before(at) {
			earliest[j.Destination] = j.Due
		}
	}
	waiting, err := d.store.Waiting(t.Context(), "", 100)
	if err != nil || len(waiting) != len(earliest) {
		t.Fatalf("Waiting = %v, %v; want %v", waiting, err, earliest)
	}
	for _, w := range waiting {
		if !w.Due.Equal(earliest[w.Destination]) {
			t.Fatalf("Waiting = %v; want %v", waiting, earliest)
		}
	}
}

// emptied removes the jobs of an earlier model, and returns the id of the next job.
func emptied(t *rapid.T, s *Store, clock time.Time) gateway.JobID {
	page, err := s.JobsPage(t.Context(), gateway.JobFilter{})
	for _, j := range page.Jobs {
		err = errors.Join(err, s.Cancel(t.Context(), j.ID, clock))
	}
	if _, purge := s.PurgeDead(t.Context(), gateway.DeadFilter{}); err != nil || purge != nil {
		t.Fatal(err, purge)
	}
	var next gateway.JobID
	err = s.write(t.Context(), 0, func(w *writer) error {
		next, err = w.insertJob(1, "probe.example", 0, clock, 0, "")
		if err == nil {
			_, err = w.exec(`DELETE FROM job WHERE id = ?`, int64(next))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return next + 1
}

// TestJobModel changes the queue at random and compares it with the model after every
// step.
func TestJobModel(t *testing.T) {
	slow.Test(t, "it compares thousands of random steps with a model")
	t.Parallel()
	dir := scratch(t)
	hand := storetest.NewHand(dawn)
	store, round, finished := mustOpenOn(t, faultfs.New(t), dir, byHand(hand)), 0, 0
	alice, _ := cast(t, store)
	rapid.Check(t, func(r *rapid.T) {
		round++
		hand.Pass(24 * time.Hour)
		d := &depot{t: t, dir: dir, store: store, alice: alice, round: round, hand: hand,
			next: emptied(r, store, hand.Now())}
		defer func() { store, finished = d.store, finished+d.finished }()
		r.Repeat(map[string]func(*rapid.T){
			"accept": d.accept, "accept too": d.accept, "repeat": d.repeat, "claim": d.claim, "claim too": d.claim,
			"claim again": d.claim,
			"settle":      d.settle, "settle too": d.settle, "stale": d.stale, "operate": d.operate, "expire": d.expire,
			"redrive": d.redrive,
			"reopen":  d.reopen, "wrong": d.wrong, "": d.look,
		})
	})
	if finished == 0 {
		t.Error("no job was ever finished; the test shows nothing")
	}
	consistent(t, store)
	t.Logf("%d jobs finished", finished)
}
