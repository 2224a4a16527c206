package storetest

import (
	"fmt"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// queueLines returns everything that can be read of the queue, with a line for each job
// and each dead letter.
func (w *world) queueLines() (lines []string) {
	w.Helper()
	for _, j := range w.jobs(gateway.JobFilter{}) {
		lines = append(lines, fmt.Sprintf("%+v %s %s %s", j.Job, j.Envelope.ID, addresses(j.Recipients),
			states(j.Recipients)))
	}
	for _, l := range w.dead(gateway.DeadFilter{}) {
		lines = append(lines, fmt.Sprintf("%+v", l))
	}
	return lines
}

func jobsAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	w.post(letter{from: alice, to: []person{bob}, far: []string{"a@one.example", "b@two.example"}})
	p := w.claimOne("one.example", w.now())
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Due: w.now().Add(time.Hour),
		Code:   "TEMPORARY_FAILURE",
		Reason: "not well", Since: w.now(), Same: 3, Rekey: true})
	before := w.queueLines()
	same(w, "jobs", len(before), 3)
	w.restart()
	sameList(w, "the queue", w.queueLines(), before)
	same(w, "claimed", len(w.claim(w.now(), "two.example", gateway.PushTo(bob.ID))), 2)
}

func leasesAfterRestart(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	first := w.now()
	p := w.claimOne("far.example", first)
	w.restart()
	j := w.oneJob("far.example").Job
	same(w, "state", j.State, gateway.Retrying)
	same(w, "attempts", j.Attempts, 1)
	same(w, "fence", j.Fence, p.Fence)
	w.sameTime("lease", j.Lease, time.Time{})
	due := first.Add(gateway.Backoff(j.ID, 1)).Truncate(time.Microsecond)
	w.sameTime("due", j.Due, due)
	w.waiting("far.example", "", 9, []gateway.Waiting{{Destination: "far.example", Due: due}})
	same(w, "state of the delivery", states(w.read(alice, id).Deliveries), "retrying")
	w.fails("Settle of the former process", w.store.Settle(w.ctx, p.settled(w, gateway.Success, p.Recipients...)),
		gateway.ErrStale)
	again := w.claimOne("far.example", due)
	same(w, "fence of the next attempt", again.Fence, p.Fence+1)
	w.settle(again.settled(w, gateway.Success, again.Recipients...))
	w.restart()
	same(w, "jobs at the end", len(w.jobs(gateway.JobFilter{})), 0)
	same(w, "state at the end", states(w.read(alice, id).Deliveries), "delivered")
}

func settledAfterRestart(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example", "c@far.example")
	p := w.claimOne("far.example", w.now())
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Due: w.now(), Report: true,
		Results: []gateway.Result{
			{Delivery: p.Recipients[0].ID, Event: gateway.Success},
			{Delivery: p.Recipients[1].ID, Event: gateway.Refuse, Code: "AGENT_UNKNOWN"},
		}})
	w.restart()
	same(w, "states", states(w.read(alice, id).Deliveries), "delivered failed retrying")
	same(w, "recipients left", addresses(w.oneJob("far.example").Recipients), "c@far.example")
	same(w, "recipients of the report", addresses(w.oneJob(gateway.Reports).Recipients), "b@far.example")
	w.works("Cancel", w.store.Cancel(w.ctx, p.ID, w.now()))
	w.restart()
	same(w, "states after a cancel", states(w.read(alice, id).Deliveries), "delivered failed cancelled")
}

func deadAfterRestart(w *world) {
	alice := w.agent("alice")
	w.failures(alice, 3)
	w.redrive(gateway.DeadFilter{Destination: "d1.example"}, w.now())
	w.mail(alice, "a@far.example")
	w.fail("far.example", w.now())
	before := w.queueLines()
	same(w, "jobs and letters", len(before), 5)
	w.restart()
	sameList(w, "the queue", w.queueLines(), before)
}

func jobIDsAfterRestart(w *world) {
	alice := w.agent("alice")
	var last gateway.JobID
	for range 3 {
		w.mail(alice, "a@far.example")
		p := w.claimOne("far.example", w.now())
		if p.ID <= last {
			w.Errorf("id of a job = %d, want one above %d", p.ID, last)
		}
		last = p.ID
		w.settle(p.settled(w, gateway.Success, p.Recipients...))
		w.restart()
	}
}

func targetAfterRestart(w *world) {
	bob := w.pushed("bob")
	for range 2 {
		got, err := w.store.AgentNamed(w.ctx, bob.Address)
		w.works("AgentNamed", err)
		same(w, "mode", got.DeliveryMode, "push")
		same(w, "target", got.Target, bob.Target)
		w.restart()
	}
}
