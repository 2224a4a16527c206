package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// operating are the promises about what operators do with jobs, and about the clock.
func operating() []promise {
	return []promise{
		{"Expire gives up every job that was begun before then and is not leased", expireOld},
		{"with the job's last error, or RECIPIENT_UNAVAILABLE where it has none", expireCodes},
		{"reporting as report decides", expireReports},
		{"Expire looks at no more than limit jobs, oldest first", expireLimit},
		{"jobs that stay hide none behind them from Expire", expirePast},
		{"Expire is ErrPaused while the store is paused: then nothing is given up", expirePaused},
		{"JobsPage lists jobs with their recipients, oldest first", jobsInOrder},
		{"JobsPage lists those that match, page by page", jobsFiltered},
		{"MakeDue makes a job that waits due at once and rings", hasten},
		{"MakeDue is ErrNotFound when there is no such job, ErrConflict when it is leased", hastenRefused},
		{"Cancel: recipients that are not decided are Cancelled", cancel},
		{"after Cancel nothing is reported and nothing is a dead letter", cancelIsQuiet},
		{"Cancel is ErrNotFound and ErrConflict as MakeDue", cancelRefused},
		{"a report that is cancelled leaves what failed", cancelReport},
		{"the jobs of an agent that was removed stay", jobsOfTheRemoved},
	}
}

func (w *world) expire(begun, now time.Time, limit int) int {
	w.Helper()
	n, err := w.store.Expire(w.ctx, begun, now, limit, func(j gateway.Job) bool { return j.Reported() })
	if err != nil {
		w.Fatalf("Expire = %v, want no error", err)
	}
	return n
}

// expirePaused: a store that was restored from an old backup does not know what has
// happened to its jobs since.
func expirePaused(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	w.works("Pause", w.store.Pause(w.ctx, w.now()))
	later := w.now().Add(time.Hour)
	n, err := w.store.Expire(w.ctx, later, later, 10, func(gateway.Job) bool { return true })
	if n != 0 || !errors.Is(err, gateway.ErrPaused) {
		w.Errorf("Expire while paused = %d, %v; want 0, ErrPaused", n, err)
	}
	same(w, "state", states(w.read(alice, id).Deliveries), "queued")
	w.works("Resume", w.store.Resume(w.ctx))
	same(w, "given up after the pause", w.expire(later, later, 10), 1)
}

func expireOld(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	waits := w.mail(alice, "a@waits.example", "b@waits.example")
	retries := w.mail(alice, "a@retries.example")
	p := w.claimOne("retries.example", w.now())
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Due: w.now().Add(time.Hour)})
	pushed := w.send(alice, bob)
	leased := w.mail(alice, "a@leased.example")
	w.claimOne("leased.example", w.now())
	lapsed := w.mail(alice, "a@lapsed.example")
	ends := w.now()
	_, err := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: "lapsed.example", Limit: 1}}, ends,
		ends.Add(time.Microsecond))
	w.works("Claim", err)
	border := w.now()
	a := w.acceptance(letter{from: alice, far: []string{"a@young.example"}})
	a.ReceivedAt = border
	young, err := w.store.Accept(w.ctx, a)
	w.works("Accept", err)
	now := w.now()
	same(w, "given up", w.expire(border, now, 100), 4)
	same(w, "given up again", w.expire(border, now, 100), 0)
	for what, c := range map[string]struct {
		id   amtp.MessageID
		want string
	}{
		"a job that waits": {waits, "expired expired"}, "one that retries": {retries, "expired"},
		"a push":             {pushed, "expired"},
		"one that is leased": {leased, "delivering"}, "one whose lease ended": {lapsed, "expired"},
		"a young one": {young.ID, "queued"},
	} {
		list := w.read(alice, c.id).Deliveries
		same(w, "states of "+what, states(list), c.want)
		if c.want == "expired" {
			w.sameTime("change of "+what, list[0].Changed, now)
		}
	}
	same(w, "attempts of one that was tried", w.read(alice, retries).Deliveries[0].Attempts, 1)
	same(w, "attempts of one that was not", w.read(alice, waits).Deliveries[0].Attempts, 0)
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 5)
}

func expireCodes(w *world) {
	alice := w.agent("alice")
	tried, untried := w.mail(alice, "a@tried.example"), w.mail(alice, "a@untried.example")
	p := w.claimOne("tried.example", w.now())
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Due: w.now().Add(time.Hour),
		Code: "TEMPORARY_FAILURE", Reason: "not well"})
	w.expire(w.now(), w.now(), 100)
	d := w.read(alice, tried).Deliveries[0]
	same(w, "code", d.ErrorCode, "TEMPORARY_FAILURE")
	same(w, "reason", d.ErrorText, "not well")
	same(w, "code of one without an error", w.read(alice, untried).Deliveries[0].ErrorCode,
		amtp.CodeRecipientUnavailable)
}

func expireReports(w *world) {
	alice := w.agent("alice")
	told, untold := w.mail(alice, "a@told.example"), w.mail(alice, "a@untold.example")
	w.rang()
	n, err := w.store.Expire(w.ctx, w.now(), w.now(), 10, func(j gateway.Job) bool {
		same(w, "agent of the sender", j.SenderAgent, alice.ID)
		return j.Destination == "told.example"
	})
	w.works("Expire", err)
	same(w, "given up", n, 2)
	r := w.oneJob(gateway.Reports)
	same(w, "reported", r.Message, told)
	same(w, "rang", w.rang(), string(gateway.Reports))
	same(w, "state of the other", states(w.read(alice, untold).Deliveries), "expired")
	same(w, "given up with the report", w.expire(w.now(), w.now(), 10), 1)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	same(w, "state of what was not reported", states(w.read(alice, told).Deliveries), "expired")
}

func expireLimit(w *world) {
	alice := w.agent("alice")
	var ids []amtp.MessageID
	for i := range 7 {
		ids = append(ids, w.mail(alice, fmt.Sprintf("a@d%d.example", i%3)))
	}
	for i, want := range []int{3, 3, 1, 0} {
		same(w, fmt.Sprintf("given up by call %d", i), w.settledReports(w.expire(w.now(), w.now(), 3)), want)
		for k, id := range ids {
			want := "queued"
			if k < 3*(i+1) {
				want = "expired"
			}
			same(w, fmt.Sprintf("state of %d after call %d", k, i), states(w.read(alice, id).Deliveries), want)
		}
	}
}

// expirePast has more leased jobs than one call examines. All of them are older than a
// job that is not leased.
func expirePast(w *world) {
	alice := w.agent("alice")
	for range 70 {
		w.mail(alice, "a@far.example")
	}
	now := w.now()
	same(w, "leased", len(w.claim(now, "far.example")), 70)
	goes := func(calls int, now time.Time) (gone int) {
		for range calls {
			n, err := w.store.Expire(w.ctx, w.now(), now, 1, func(gateway.Job) bool { return false })
			w.works("Expire", err)
			gone += n
		}
		return gone
	}
	for range 2 { // after its end, a walk begins anew
		id := w.mail(alice, "b@near.example")
		same(w, "given up", goes(12, now), 1)
		same(w, "state", states(w.read(alice, id).Deliveries), "expired")
	}
	same(w, "given up when they are leased no more", goes(90, now.Add(leaseTime+time.Hour)), 70)
}

// settledReports settles all reports and returns n.
func (w *world) settledReports(n int) int {
	w.Helper()
	w.fail(gateway.Reports, w.now())
	return n
}

func jobsInOrder(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	first := w.post(letter{from: alice, to: []person{bob}, far: []string{"a@far.example", "b@far.example"},
		id: "token"}).ID
	second := w.mail(alice, "c@far.example")
	var got []string
	for _, j := range w.jobs(gateway.JobFilter{}) {
		got = append(got, fmt.Sprintf("%s %v %s", j.Destination, j.Message == first, addresses(j.Recipients)))
		same(w, "body", j.Body == nil, true)
		same(w, "envelope", j.Envelope.Sender.Key(), alice.Address.Key())
	}
	sameList(w, "jobs", got, []string{
		string(gateway.PushTo(bob.ID)) + " true bob@shop.example", "far.example true a@far.example b@far.example",
		"far.example false c@far.example",
	})
	same(w, "of the second message", len(w.jobs(gateway.JobFilter{Message: second})), 1)
	w.claim(w.now(), "far.example")
	same(w, "states of the recipients", states(w.jobs(gateway.JobFilter{Destination: "far.example"})[0].Recipients),
		"delivering delivering")
}

func jobsFiltered(w *world) {
	alice := w.agent("alice")
	var all []gateway.JobID
	var messages []amtp.MessageID
	for i := range 12 {
		messages = append(messages, w.mail(alice, fmt.Sprintf("a@d%d.example", i%2), "b@other.example"))
	}
	w.claim(w.now(), "d0.example")
	for _, j := range w.claim(w.now(), "d1.example") {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: w.now(), Due: w.now().Add(time.Hour)})
	}
	for _, j := range w.jobs(gateway.JobFilter{}) {
		all = append(all, j.ID)
	}
	same(w, "jobs", len(all), 24)
	same(w, "in the order of their ids", slices.IsSorted(all), true)
	count := func(f gateway.JobFilter) int {
		n := 0
		for f.Limit = 5; ; {
			page, err := w.store.JobsPage(w.ctx, f)
			w.works("JobsPage", err)
			same(w, "a page is full when there is more", !page.HasMore || len(page.Jobs) == 5, true)
			for _, j := range page.Jobs {
				same(w, "behind the last", j.ID > f.After, true)
				f.After = j.ID
			}
			if n += len(page.Jobs); !page.HasMore {
				return n
			}
		}
	}
	for _, c := range []struct {
		f    gateway.JobFilter
		want int
	}{
		{gateway.JobFilter{}, 24}, {gateway.JobFilter{Destination: "d0.example"}, 6},
		{gateway.JobFilter{Destination: "other.example"}, 12},
		{gateway.JobFilter{State: gateway.Queued}, 12}, {gateway.JobFilter{State: gateway.Delivering}, 6},
		{gateway.JobFilter{State: gateway.Retrying}, 6},
		{gateway.JobFilter{Message: messages[3]}, 2}, {gateway.JobFilter{Message: amtp.NewMessageID()}, 0},
		{gateway.JobFilter{Message: "token"}, 0},
		{gateway.JobFilter{Destination: "d0.example", State: gateway.Delivering}, 6},
		{gateway.JobFilter{Destination: "d0.example", State: gateway.Queued}, 0},
		{gateway.JobFilter{Destination: "other.example", State: gateway.Queued, Message: messages[0]}, 1},
		{gateway.JobFilter{Message: messages[0], State: gateway.Delivering}, 1},
		{gateway.JobFilter{Destination: "nobody.example"}, 0},
	} {
		same(w, fmt.Sprintf("jobs of %+v", c.f), count(c.f), c.want)
	}
}

func hasten(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Due: w.now().Add(time.Hour),
		Code: "TEMPORARY_FAILURE"})
	w.rang()
	now := w.now()
	w.works("MakeDue", w.store.MakeDue(w.ctx, p.ID, now))
	same(w, "rang", w.rang(), "far.example")
	d := w.read(alice, id).Deliveries[0]
	same(w, "state", d.State, gateway.Retrying)
	same(w, "code", d.ErrorCode, "TEMPORARY_FAILURE")
	w.sameTime("due", d.NextDue, now)
	again := w.claimOne("far.example", now)
	same(w, "attempts", again.Attempts, 2)
	after := again.Lease
	w.works("MakeDue when the lease has ended", w.store.MakeDue(w.ctx, p.ID, after))
	w.fails("Settle after that", w.store.Settle(w.ctx, again.settled(w, gateway.Success, again.Recipients...)),
		gateway.ErrStale)
	same(w, "attempts at last", w.claimOne("far.example", after).Attempts, 3)
}

func hastenRefused(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	w.rang()
	w.fails("MakeDue of a leased job", w.store.MakeDue(w.ctx, p.ID, w.now()), gateway.ErrConflict)
	w.fails("MakeDue of no job", w.store.MakeDue(w.ctx, p.ID+1, w.now()), gateway.ErrNotFound)
	same(w, "rang", w.rang(), "")
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	w.fails("MakeDue of a job that is done", w.store.MakeDue(w.ctx, p.ID, w.now()), gateway.ErrNotFound)
}

func cancel(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example", "c@far.example", "d@other.example")
	p := w.claimOne("far.example", w.now())
	s := p.settled(w, gateway.Success, p.Recipients[0])
	s.Due = w.now()
	w.settle(s)
	now := w.now()
	w.works("Cancel", w.store.Cancel(w.ctx, p.ID, now))
	list := w.read(alice, id).Deliveries
	same(w, "states", states(list), "delivered cancelled cancelled queued")
	w.sameTime("change", list[1].Changed, now)
	same(w, "attempts", list[1].Attempts, 1)
	_, code := list[1].State.Wire()
	same(w, "code on the wire", code, amtp.CodeCancelled)
	same(w, "jobs for it", len(w.jobs(gateway.JobFilter{Destination: "far.example"})), 0)
	same(w, "other jobs", len(w.jobs(gateway.JobFilter{})), 1)
}

func cancelIsQuiet(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	w.mail(alice, "a@far.example")
	w.send(alice, bob)
	for _, j := range w.jobs(gateway.JobFilter{}) {
		w.works("Cancel", w.store.Cancel(w.ctx, j.ID, w.now()))
	}
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 0)
}

func cancelRefused(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	w.fails("Cancel of a leased job", w.store.Cancel(w.ctx, p.ID, w.now()), gateway.ErrConflict)
	w.fails("Cancel of no job", w.store.Cancel(w.ctx, p.ID+1, w.now()), gateway.ErrNotFound)
	same(w, "state", states(w.read(alice, id).Deliveries), "delivering")
	w.works("Cancel when the lease has ended", w.store.Cancel(w.ctx, p.ID, p.Lease))
	w.fails("Settle after that", w.store.Settle(w.ctx, p.settled(w, gateway.Success, p.Recipients...)),
		gateway.ErrStale)
	w.fails("Cancel a second time", w.store.Cancel(w.ctx, p.ID, p.Lease), gateway.ErrNotFound)
	same(w, "state after that", states(w.read(alice, id).Deliveries), "cancelled")
}

func cancelReport(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	w.fail("far.example", w.now())
	w.works("Cancel", w.store.Cancel(w.ctx, w.oneJob(gateway.Reports).ID, w.now()))
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	same(w, "states", states(w.read(alice, id).Deliveries), "failed")
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 1)
}

func jobsOfTheRemoved(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	id := w.send(alice, bob)
	w.mail(alice, "a@far.example")
	w.remove(bob)
	p := w.claimOne(gateway.PushTo(bob.ID), w.now())
	same(w, "recipients", addresses(p.Recipients), bob.Address.String())
	w.settle(p.settled(w, gateway.Refuse, p.Recipients...))
	same(w, "states", states(w.read(alice, id).Deliveries), "failed")
	same(w, "reports", len(w.jobs(gateway.JobFilter{Destination: gateway.Reports})), 1)
	w.remove(alice)
	far := w.claimOne("far.example", w.now())
	same(w, "agent of the sender", far.SenderAgent, alice.ID)
	w.settle(far.settled(w, gateway.Success, far.Recipients...))
}
