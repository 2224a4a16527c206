package storetest

import (
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// settling are the promises about how attempts end.
func settling() []promise {
	return []promise{
		{"each result is applied to its delivery", resultsAreApplied},
		{"otherwise it is Retrying and due as the settlement says", settledToRetry},
		{"Troubles are kept as they are", troublesAreKept},
		{"of an Unmade attempt nothing is left but the fence", unmadeIsUndone},
		{"recipients without a result stay with the job", restStays},
		{"zero Due is at once", dueZero},
		{"a Report is queued for those that failed", reportIsQueued},
		{"nothing is reported that needs no report", reportsOfNothing},
		{"a report is settled like any other", reportIsSettled},
		{"what a report did not tell of stays with it", reportRestStays},
		{"a failure is a dead letter from then on", failureIsDead},
		{"deliveries keep the job's attempts", attemptsAreKept},
		{"ErrStale when the fence is not the job's: then nothing was changed", settleStale},
		{"a recipient that is decided already is left as it is", decidedIsLeft},
		{"a result that decides nothing is an error and changes nothing", resultDecidesNothing},
		{"Inbox enters the recipient's inbox", resultEntersInbox},
		{"a pushed message is not in the inbox", pushedIsNotInInbox},
		{"who was removed gets no report", reportToRemoved},
	}
}

func resultsAreApplied(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example", "c@far.example")
	p := w.claimOne("far.example", w.now())
	now := w.now()
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: now, Results: []gateway.Result{
		{Delivery: p.Recipients[0].ID, Event: gateway.Success},
		{Delivery: p.Recipients[1].ID, Event: gateway.Refuse, Code: "AGENT_UNKNOWN", Reason: "nobody"},
		{Delivery: p.Recipients[2].ID, Event: gateway.GiveUp, Code: "TEMPORARY_FAILURE", Reason: "too long"},
	}})
	list := w.read(alice, id).Deliveries
	same(w, "states", states(list), "delivered failed expired")
	for _, d := range list {
		w.sameTime("change", d.Changed, now)
		w.sameTime("due", d.NextDue, time.Time{})
	}
	w.sameTime("delivered", list[0].Delivered, now)
	w.sameTime("delivered of one that failed", list[1].Delivered, time.Time{})
	same(w, "code of the first", list[0].ErrorCode, "")
	same(w, "code of the second", list[1].ErrorCode, "AGENT_UNKNOWN")
	same(w, "reason of the second", list[1].ErrorText, "nobody")
	same(w, "code of the third", list[2].ErrorCode, "TEMPORARY_FAILURE")
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	w.waiting("nothing", "", 10, nil)
}

func settledToRetry(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	first := w.claimOne("far.example", w.now())
	now := w.now()
	s := gateway.Settlement{Job: first.ID, Fence: first.Fence, Now: now, Due: now.Add(time.Minute),
		Code:   "TEMPORARY_FAILURE",
		Reason: "it was not well", Since: now, Same: 1, Rekey: true}
	w.settle(s)
	j := w.oneJob("far.example").Job
	same(w, "state", j.State, gateway.Retrying)
	same(w, "code", j.Code, s.Code)
	same(w, "reason", j.Reason, s.Reason)
	same(w, "attempts in the row", j.Same, 1)
	same(w, "rekeys", j.Rekeys, 1)
	same(w, "attempts", j.Attempts, 1)
	w.sameTime("due", j.Due, s.Due)
	w.sameTime("since", j.Since, now)
	w.sameTime("lease", j.Lease, time.Time{})
	same(w, "claimed before it is due", len(w.claim(s.Due.Add(-time.Microsecond), "far.example")), 0)
	second := w.claimOne("far.example", s.Due)
	same(w, "code of the next attempt", second.Code, s.Code)
	w.sameTime("first try", second.FirstTry, first.FirstTry)
	w.settle(gateway.Settlement{Job: second.ID, Fence: second.Fence, Now: s.Due, Due: s.Due.Add(time.Hour)})
	j = w.oneJob("far.example").Job
	same(w, "code when there is none", j.Code, "")
	same(w, "rekeys stay", j.Rekeys, 1)
	w.sameTime("since when there is none", j.Since, time.Time{})
}

func troublesAreKept(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example", "b@far.example")
	p := w.claimOne("far.example", w.now())
	now := w.now()
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: now, Due: now.Add(time.Minute),
		Troubles: "1 2 3 4 X\n5 6 7 8 \n"})
	same(w, "troubles", w.oneJob("far.example").Troubles, "1 2 3 4 X\n5 6 7 8 \n")
	p = w.claimOne("far.example", now.Add(time.Minute))
	same(w, "troubles of the next attempt", p.Troubles, "1 2 3 4 X\n5 6 7 8 \n")
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Due: now.Add(time.Hour)})
	same(w, "troubles when there are none", w.oneJob("far.example").Troubles, "")
}

func unmadeIsUndone(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	now := w.now()
	first := w.claimOne("far.example", now)
	due := now.Add(time.Second)
	w.settle(gateway.Settlement{Job: first.ID, Fence: first.Fence, Now: now, Due: due, Unmade: true})
	same(w, "settling it again", errors.Is(w.store.Settle(w.ctx,
		gateway.Settlement{Job: first.ID, Fence: first.Fence, Now: now}), gateway.ErrStale), true)
	same(w, "state of the message", states(w.read(alice, id).Deliveries), "queued")
	j := w.oneJob("far.example").Job
	same(w, "state", j.State, gateway.Queued)
	same(w, "attempts", j.Attempts, 0)
	same(w, "fence", j.Fence, first.Fence)
	w.sameTime("first try", j.FirstTry, time.Time{})
	w.sameTime("last try", j.LastTry, time.Time{})
	w.sameTime("lease", j.Lease, time.Time{})
	w.sameTime("due", j.Due, due)
	got := w.turn(gateway.Claiming{Limit: 1, Part: gateway.Fresh}, due)
	same(w, "leased as new mail", len(got.Jobs), 1)
	again := got.Jobs[0]
	same(w, "attempts when it is leased again", again.Attempts, 1)
	w.settle(gateway.Settlement{Job: again.ID, Fence: again.Fence, Now: due, Due: due, Code: "TEMPORARY_FAILURE",
		Reason: "not now", Since: due, Same: 1})
	third := w.claimOne("far.example", due.Add(time.Minute))
	w.rang()
	w.settle(gateway.Settlement{Job: third.ID, Fence: third.Fence, Now: due.Add(time.Minute), Unmade: true})
	same(w, "rang", w.rang(), "far.example")
	j = w.oneJob("far.example").Job
	same(w, "state after an attempt that was made", j.State, gateway.Retrying)
	same(w, "attempts after it", j.Attempts, 1)
	same(w, "code", j.Code, "TEMPORARY_FAILURE")
	same(w, "attempts in the row", j.Same, 1)
	w.sameTime("first try after it", j.FirstTry, again.FirstTry)
	same(w, "leased as mail that was tried", len(w.turn(gateway.Claiming{Limit: 1, Part: gateway.Tried},
		due.Add(time.Minute)).Jobs), 1)
}

func restStays(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example", "c@far.example")
	p := w.claimOne("far.example", w.now())
	s := p.settled(w, gateway.Success, p.Recipients[1])
	s.Due = s.Now.Add(time.Minute)
	w.settle(s)
	same(w, "states", states(w.read(alice, id).Deliveries), "retrying delivered retrying")
	same(w, "recipients left", addresses(w.oneJob("far.example").Recipients), "a@far.example c@far.example")
	rest := w.claimOne("far.example", s.Due)
	w.settle(rest.settled(w, gateway.Success, rest.Recipients...))
	same(w, "states at the end", states(w.read(alice, id).Deliveries), "delivered delivered delivered")
}

func dueZero(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	w.rang()
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now()})
	same(w, "rang", w.rang(), "far.example")
	same(w, "claimed", w.claimOne("far.example", w.now()).Attempts, 2)
}

// fail lets all deliveries to a destination fail in one attempt.
func (w *world) fail(d gateway.Destination, now time.Time) {
	w.Helper()
	for _, j := range w.claim(now, d) {
		p, err := w.store.Parcel(w.ctx, j.ID, j.Fence)
		w.works("Parcel", err)
		w.settle(parcel{p}.settled(w, gateway.Refuse, p.Recipients...))
	}
}

func reportIsQueued(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example", "c@far.example", "d@far.example")
	p := w.claimOne("far.example", w.now())
	w.rang()
	now := w.now()
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: now, Due: now.Add(time.Hour), Report: true,
		Results: []gateway.Result{
			{Delivery: p.Recipients[0].ID, Event: gateway.Success},
			{Delivery: p.Recipients[1].ID, Event: gateway.Refuse, Code: "AGENT_UNKNOWN"},
			{Delivery: p.Recipients[3].ID, Event: gateway.GiveUp, Code: "RECIPIENT_UNAVAILABLE"},
		}})
	same(w, "rang", w.rang(), string(gateway.Reports))
	r := w.oneJob(gateway.Reports)
	same(w, "message", r.Message, id)
	same(w, "state", r.State, gateway.Queued)
	w.sameTime("begun", r.Begun, now)
	same(w, "recipients", addresses(r.Recipients), "b@far.example d@far.example")
	report := w.claimOne(gateway.Reports, w.now())
	same(w, "recipients of the parcel", addresses(report.Recipients), "b@far.example d@far.example")
	same(w, "states of the parcel", states(report.Recipients), "failed expired")
	same(w, "code of the first", report.Recipients[0].ErrorCode, "AGENT_UNKNOWN")
	same(w, "states of the message", states(w.read(alice, id).Deliveries), "delivered failed retrying expired")
	w.fail("far.example", now.Add(time.Hour))
	same(w, "a second report", len(w.jobs(gateway.JobFilter{Destination: gateway.Reports})), 2)
}

func reportsOfNothing(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	s := p.settled(w, gateway.Success, p.Recipients...)
	s.Report = true
	w.settle(s)
	w.mail(alice, "a@far.example")
	p = w.claimOne("far.example", w.now())
	s = p.settled(w, gateway.Refuse, p.Recipients...)
	s.Report = false
	w.settle(s)
	w.post(letter{remote: "peer@other.example", class: gateway.ClassDomain, to: []person{bob},
		far: []string{"a@far.example"}})
	p = w.claimOne("far.example", w.now())
	s = p.settled(w, gateway.Refuse, p.Recipients...)
	s.Report = true
	w.settle(s)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
}

func reportIsSettled(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	for _, again := range []bool{true, false} {
		p := w.claimOne(gateway.Reports, w.now())
		s := gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Report: true, Code: "TEMPORARY_FAILURE"}
		for _, d := range p.Recipients {
			if !again {
				s.Results = append(s.Results, gateway.Result{Delivery: d.ID, Event: gateway.Success})
			}
		}
		w.settle(s)
	}
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	same(w, "states", states(w.read(alice, id).Deliveries), "failed failed")
	w.mail(alice, "a@far.example")
	w.fail("far.example", w.now())
	w.fail(gateway.Reports, w.now())
	same(w, "jobs when the report is refused", len(w.jobs(gateway.JobFilter{})), 0)
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 3)
}

func reportRestStays(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example", "c@far.example")
	w.fail("far.example", w.now())
	p := w.claimOne(gateway.Reports, w.now())
	before := w.read(alice, id).Deliveries
	w.settle(p.settled(w, gateway.Success, p.Recipients[1]))
	same(w, "recipients of the rest", addresses(w.oneJob(gateway.Reports).Recipients), "a@far.example c@far.example")
	p = w.claimOne(gateway.Reports, w.now())
	same(w, "recipients of its parcel", addresses(p.Recipients), "a@far.example c@far.example")
	w.settle(p.settled(w, gateway.Refuse, p.Recipients...))
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	after := w.read(alice, id).Deliveries
	same(w, "states", states(after), states(before))
	for i := range after {
		w.sameTime("changed", after[i].Changed, before[i].Changed)
		same(w, "attempts", after[i].Attempts, before[i].Attempts)
	}
}

// dead lists dead letters.
func (w *world) dead(f gateway.DeadFilter) []gateway.DeadLetter {
	w.Helper()
	page, err := w.store.DeadLetters(w.ctx, f)
	if err != nil {
		w.Fatalf("DeadLetters = %v, want no error; filter %+v", err, f)
	}
	return page.Letters
}

func failureIsDead(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	id := w.post(letter{from: alice, to: []person{bob}, far: []string{"a@far.example", "b@far.example"}}).ID
	p := w.claimOne("far.example", w.now())
	w.settle(p.settled(w, gateway.Success, p.Recipients[0]))
	same(w, "dead letters of a success", len(w.dead(gateway.DeadFilter{})), 0)
	last := w.now()
	p = w.claimOne("far.example", last)
	s := p.settled(w, gateway.Refuse, p.Recipients...)
	w.settle(s)
	l := w.dead(gateway.DeadFilter{})[0]
	same(w, "recipient", l.Delivery.Recipient.String(), "b@far.example")
	same(w, "state", l.Delivery.State, gateway.Failed)
	same(w, "code", l.Delivery.ErrorCode, "RECIPIENT_NOT_FOUND")
	same(w, "id", l.ID, p.Recipients[0].ID)
	same(w, "destination", l.Destination, "far.example")
	same(w, "message", l.Envelope.ID, id)
	same(w, "generation", l.Generation, 0)
	same(w, "attempts", l.Delivery.Attempts, 2)
	w.sameTime("first try", l.FirstTry, p.FirstTry)
	w.sameTime("last try", l.LastTry, last)
	w.sameTime("at", l.At, s.Now)
	w.fail(gateway.PushTo(bob.ID), w.now())
	list := w.dead(gateway.DeadFilter{})
	same(w, "dead letters", len(list), 2)
	same(w, "destination of the push", list[0].Destination, gateway.PushTo(bob.ID))
	same(w, "recipient of the push", list[0].Delivery.Recipient.String(), bob.Address.String())
}

func attemptsAreKept(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	for range 3 {
		p := w.claimOne("far.example", w.now())
		w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now()})
	}
	p := w.claimOne("far.example", w.now())
	s := p.settled(w, gateway.Success, p.Recipients[0])
	s.Results = append(s.Results, gateway.Result{Delivery: p.Recipients[1].ID, Event: gateway.Refuse})
	w.settle(s)
	for i, d := range w.read(alice, id).Deliveries {
		same(w, "attempts of "+string(rune('a'+i)), d.Attempts, 4)
	}
}

func settleStale(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	first := w.claimOne("far.example", w.now())
	good := first.settled(w, gateway.Refuse, first.Recipients...)
	for what, change := range map[string]func(*gateway.Settlement){
		"an older fence": func(s *gateway.Settlement) { s.Fence-- },
		"a later fence":  func(s *gateway.Settlement) { s.Fence++ },
		"another job":    func(s *gateway.Settlement) { s.Job++ },
	} {
		s := good
		change(&s)
		w.fails("Settle with "+what, w.store.Settle(w.ctx, s), gateway.ErrStale)
	}
	same(w, "state", w.read(alice, id).Deliveries[0].State, gateway.Delivering)
	w.settle(gateway.Settlement{Job: first.ID, Fence: first.Fence, Now: w.now(), Due: w.now()})
	w.rang()
	w.fails("Settle a second time", w.store.Settle(w.ctx, good), gateway.ErrStale)
	same(w, "state after it", w.read(alice, id).Deliveries[0].State, gateway.Retrying)
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 0)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 1)
	same(w, "rang", w.rang(), "")
	second := w.claimOne("far.example", w.now())
	w.settle(second.settled(w, gateway.Success, second.Recipients...))
	w.fails("Settle when it is done", w.store.Settle(w.ctx, good), gateway.ErrStale)
	same(w, "state at the end", w.read(alice, id).Deliveries[0].State, gateway.Delivered)
}

func decidedIsLeft(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	other := w.mail(alice, "a@other.example")
	stranger := w.claimOne("other.example", w.now()).Recipients[0]
	p := w.claimOne("far.example", w.now())
	first := p.Recipients[0]
	s := p.settled(w, gateway.Success, first)
	s.Due = w.now()
	w.settle(s)
	p = w.claimOne("far.example", w.now())
	w.settle(p.settled(w, gateway.Refuse, first, stranger, p.Recipients[0]))
	same(w, "states", states(w.read(alice, id).Deliveries), "delivered failed")
	same(w, "state of another message", states(w.read(alice, other).Deliveries), "delivering")
}

func resultDecidesNothing(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	for _, e := range []gateway.Event{gateway.Postpone, gateway.Claim, gateway.Ack, gateway.Cancel, 0} {
		if err := w.store.Settle(w.ctx, p.settled(w, e, p.Recipients...)); err == nil {
			w.Errorf("Settle with %v = no error, want one", e)
		}
	}
	same(w, "state", w.read(alice, id).Deliveries[0].State, gateway.Delivering)
}

func resultEntersInbox(w *world) {
	alice, bob, carol := w.agent("alice"), w.pushed("bob"), w.agent("carol")
	early := w.post(letter{from: alice, to: []person{bob, carol}})
	p := w.claimOne(gateway.PushTo(bob.ID), w.now())
	bob.DeliveryMode = "pull"
	w.works("UpdateAgent", w.update(w.ctx, bob.Agent))
	late := w.send(alice, bob)
	seen := w.page(bob, wholeInbox).Next
	sameList(w, "inbox before", w.inbox(bob), []amtp.MessageID{late})
	bell, stop := w.store.Watch(bob.ID)
	defer stop()
	s := p.settled(w, gateway.Success, p.Recipients...)
	s.Results[0].Inbox = true
	w.settle(s)
	w.rings(bell, "bob")
	page := w.page(bob, gateway.InboxFilter{After: seen})
	sameList(w, "behind what was seen", ids(page.Items), []amtp.MessageID{early.ID})
	list := w.read(alice, early.ID).Deliveries
	sameList(w, "recipients in their order", agentsOf(list), []gateway.AgentID{bob.ID, carol.ID})
	same(w, "mode", list[0].Mode, "pull")
	same(w, "state", list[0].State, gateway.Delivered)
	w.sameTime("delivered", list[0].Delivered, s.Now)
	w.markRead(bob, early.ID)
	w.ack(bob, early.ID)
	sameList(w, "inbox at the end", w.inbox(bob), []amtp.MessageID{late})
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
}

func pushedIsNotInInbox(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	id := w.send(alice, bob)
	p := w.claimOne(gateway.PushTo(bob.ID), w.now())
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	sameList(w, "inbox", w.inbox(bob), nil)
	unread, pending, err := w.store.Depth(w.ctx, gateway.Acting{Agent: bob.ID}, 10)
	w.works("Depth", err)
	same(w, "depth", unread+pending, 0)
	_, err = w.store.MarkRead(w.ctx, gateway.Acting{Agent: bob.ID}, id, w.now())
	w.fails("MarkRead", err, gateway.ErrNotFound)
	d := w.read(bob, id).Deliveries[0]
	same(w, "state", d.State, gateway.Delivered)
	same(w, "mode", d.Mode, "push")
	bob.DeliveryMode = "pull"
	w.works("UpdateAgent", w.update(w.ctx, bob.Agent))
	sameList(w, "inbox of a pull agent", w.inbox(bob), nil)
	same(w, "mode of what was pushed", w.read(bob, id).Deliveries[0].Mode, "push")
	same(w, "messages received", len(w.list(bob, gateway.MessageFilter{Limit: 10}).Messages), 1)
}

func reportToRemoved(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	w.remove(alice)
	w.fail("far.example", w.now())
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
	r, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, id)
	w.works("Message", err)
	same(w, "states", states(r.Deliveries), "failed")
}
