package storetest

import (
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// lapsing are the promises about what is done when a time is up.
func lapsing() []promise {
	return []promise{
		{"later work is stored with a new message, and is due at its time", laterIsDue},
		{"a retry stores no later work", laterOnce},
		{"later work waits while its attempt is postponed, and is gone when it is done", laterWaits},
		{"Answerers lists the senders of the answers, acknowledged or not", answerers},
		{"an answer names the message by any id that it has", answersByAlias},
		{"what this gateway wrote is no answer", reportsAreNoAnswers},
		{"EndMessage ends what waits in inboxes and for attempts, and reports it", endMessage},
		{"EndMessage leaves what is worked on, and what is done", endLeavesWork},
		{"EndMessage owes the domain of the sender a receipt of each recipient", endOwes},
	}
}

// timed posts a letter with later work, which is due an hour later.
func (w *world) timed(to gateway.Destination, l letter) (amtp.MessageID, time.Time) {
	w.Helper()
	a := w.acceptance(l)
	due := a.ReceivedAt.Add(time.Hour)
	a.Later = []gateway.Later{{Destination: to, At: due}}
	got, err := w.store.Accept(w.ctx, a)
	w.works("Accept", err)
	return got.ID, due
}

func laterIsDue(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id, due := w.timed(gateway.Deadlines, letter{from: alice, to: []person{bob}})
	j := w.oneJob(gateway.Deadlines)
	same(w, "message of the job", j.Message, id)
	w.sameTime("due", j.Due, due)
	w.sameTime("begun", j.Begun, due)
	same(w, "claimed before it is due", len(w.claim(due.Add(-time.Second), gateway.Deadlines)), 0)
	p := w.claimOne(gateway.Deadlines, due)
	same(w, "recipients", len(p.Recipients), 1)
	same(w, "sender", p.SenderAgent, alice.ID)
	same(w, "body is there", len(p.Body) > 0, true)
}

func laterOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "once"}
	w.timed(gateway.Deadlines, l)
	w.timed(gateway.Deadlines, l)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{Destination: gateway.Deadlines})), 1)
}

func laterWaits(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	_, due := w.timed(gateway.Expiries, letter{from: alice, to: []person{bob}})
	p := w.claimOne(gateway.Expiries, due)
	again := due.Add(time.Minute)
	w.works("Settle", w.store.Settle(w.ctx, gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: due, Due: again,
		Code: amtp.CodeTemporaryFailure, Reason: "not yet"}))
	w.sameTime("due again", w.oneJob(gateway.Expiries).Due, again)
	p = w.claimOne(gateway.Expiries, again)
	w.works("Settle", w.store.Settle(w.ctx, gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: again,
		Results: []gateway.Result{{Event: gateway.Success}}}))
	same(w, "jobs", len(w.jobs(gateway.JobFilter{Destination: gateway.Expiries})), 0)
	same(w, "the delivery", w.read(alice, p.Message).Deliveries[0].State, gateway.Delivered)
}

func (w *world) answerers(p person, id amtp.MessageID, want ...string) {
	w.Helper()
	list, err := w.store.Answerers(w.ctx, gateway.Acting{Agent: p.ID}, id)
	w.works("Answerers", err)
	var got []string
	for _, a := range list {
		got = append(got, a.String())
	}
	sameList(w, "Answerers", got, want)
}

func answerers(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob, carol)
	w.answerers(alice, id)
	other := w.post(letter{from: bob, to: []person{alice}, answers: id}).ID
	w.post(letter{from: bob, to: []person{alice}, answers: id})
	w.ack(alice, other)
	w.post(letter{from: carol, to: []person{alice}, answers: other}) // in the thread, about another message
	w.answerers(alice, id, bob.Address.String())
	w.post(letter{from: carol, to: []person{alice}, answers: id})
	w.answerers(alice, id, bob.Address.String(), carol.Address.String())
	_, err := w.store.Answerers(w.ctx, gateway.Acting{Agent: carol.ID}, amtp.NewMessageID())
	w.fails("Answerers of an unknown message", err, gateway.ErrNotFound)
}

func answersByAlias(w *world) {
	alice := w.agent("alice")
	id := w.post(letter{from: alice, id: "my-own-id", far: []string{"bob@far.example"}}).ID
	w.post(letter{remote: "bob@far.example", class: gateway.ClassDomain, to: []person{alice}, answers: "my-own-id"})
	w.answerers(alice, id, "bob@far.example")
	w.answerers(alice, "my-own-id", "bob@far.example")
}

func reportsAreNoAnswers(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.post(letter{remote: "mailer-daemon@" + domain, class: gateway.ClassGateway, to: []person{alice}, answers: id})
	w.answerers(alice, id)
}

// ended ends the message and returns the states of its deliveries.
func (w *world) endedStates(p person, id amtp.MessageID, open bool) (states []gateway.State) {
	w.Helper()
	got, err := w.store.EndMessage(w.ctx, id, w.now())
	w.works("EndMessage", err)
	same(w, "open", got, open)
	for _, d := range w.read(p, id).Deliveries {
		states = append(states, d.State)
	}
	return states
}

func endMessage(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, to: []person{bob}, far: []string{"x@far.example", "y@other.example"}}).ID
	sameList(w, "states", w.endedStates(alice, id, false),
		[]gateway.State{gateway.Expired, gateway.Expired, gateway.Expired})
	for _, d := range w.read(alice, id).Deliveries {
		same(w, "code", d.ErrorCode, amtp.CodeMessageExpired)
	}
	same(w, "the inbox", len(w.inbox(bob)), 0)
	same(w, "jobs for other domains", len(w.jobs(gateway.JobFilter{Destination: "far.example"})), 0)
	reported := 0
	for _, j := range w.jobs(gateway.JobFilter{Destination: gateway.Reports}) {
		reported += len(j.Recipients)
	}
	same(w, "reported", reported, 3)
	w.endedStates(alice, id, false)
	again := 0
	for _, j := range w.jobs(gateway.JobFilter{Destination: gateway.Reports}) {
		again += len(j.Recipients)
	}
	same(w, "reported once", again, 3)
	_, err := w.store.EndMessage(w.ctx, amtp.NewMessageID(), w.now())
	w.fails("EndMessage of an unknown message", err, gateway.ErrNotFound)
}

func endOwes(w *world) {
	bob, carol, dora := w.agent("bob"), w.agent("carol"), w.agent("dora")
	id := w.far("alice@far.example", bob, carol, dora)
	w.markRead(bob, id)
	w.ack(carol, id)
	now := w.now()
	open, err := w.store.EndMessage(w.ctx, id, now)
	w.works("EndMessage", err)
	same(w, "open", open, false)
	refused := map[gateway.AgentID]bool{}
	for _, o := range w.owed("far.example") {
		if !o.Refused.IsZero() {
			w.sameTime("Refused", o.Refused, now)
			refused[o.Agent] = true
		}
		same(w, "Read is set", o.Read.IsZero(), o.Agent != bob.ID)
	}
	same(w, "of bob", refused[bob.ID], true)
	same(w, "of carol, who acknowledged it", refused[carol.ID], false)
	same(w, "of dora", refused[dora.ID], true)
}

func endLeavesWork(w *world) {
	alice, bob, carol, dave := w.agent("alice"), w.agent("bob"), w.agent("carol"), w.agent("dave")
	id := w.post(letter{from: alice, to: []person{bob, carol, dave}, far: []string{"x@far.example"}}).ID
	w.ack(bob, id)
	work := w.takeOne(carol, w.now())
	w.claimOne("far.example", w.now())
	sameList(w, "states", w.endedStates(alice, id, true),
		[]gateway.State{gateway.Acknowledged, gateway.Delivered, gateway.Expired, gateway.Delivering})
	_, err := w.store.AckTaken(w.ctx, gateway.Acting{Agent: carol.ID}, ticket(work), w.now())
	w.works("AckTaken after EndMessage", err)
}
