package storetest

import (
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// queueing are the promises about messages that do not go to an inbox at once.
func queueing() []promise {
	return []promise{
		{"a delivery elsewhere is Queued with the message's job for its destination", queuedElsewhere},
		{"the job is due at once and rings", dueAtOnce},
		{"one job per message and destination", oneJobPerDestination},
		{"a push agent's delivery is Queued", queuedForPush},
		{"beside a local inbox", queuedBesideInbox},
		{"a retry adds a recipient to the job that there is", retryJoinsJob},
		{"a retry makes a new job when the former is done", retryMakesJob},
		{"a retry to recipients elsewhere has their present states", retryOfQueued},
		{"a signed retry adds a recipient", retryOfDomainAddsRecipient},
		{"a message that came unsigned is recognised when it is signed", unsignedIsRecognised},
		{"and no other message", unsignedIsNoOther},
		{"what strangers sent in the name makes nothing impossible", unsignedConfused},
		{"the job shows in the message, the list and its filters", jobShows},
		{"what was refused leaves no job", refusedLeavesNoJob},
	}
}

// jobs lists all jobs.
func (w *world) jobs(f gateway.JobFilter) []gateway.Parcel {
	w.Helper()
	page, err := w.store.JobsPage(w.ctx, f)
	if err != nil {
		w.Fatalf("JobsPage = %v, want no error; filter %+v", err, f)
	}
	return page.Jobs
}

// oneJob returns the only job for a destination.
func (w *world) oneJob(d gateway.Destination) gateway.Parcel {
	w.Helper()
	list := w.jobs(gateway.JobFilter{Destination: d})
	if len(list) != 1 {
		w.Fatalf("%d jobs for %s, want 1", len(list), d)
	}
	return list[0]
}

func addresses(deliveries []gateway.Delivery) string {
	list := make([]string, len(deliveries))
	for i := range deliveries {
		list[i] = deliveries[i].Recipient.String()
	}
	return strings.Join(list, " ")
}

func states(deliveries []gateway.Delivery) string {
	list := make([]string, len(deliveries))
	for i := range deliveries {
		list[i] = deliveries[i].State.String()
	}
	return strings.Join(list, " ")
}

func queuedElsewhere(w *world) {
	alice := w.agent("alice")
	a := w.acceptance(letter{from: alice, far: []string{"Peer@far.example"}})
	got, err := w.store.Accept(w.ctx, a)
	if err != nil {
		w.Fatalf("Accept = %v, want no error", err)
	}
	for where, d := range map[string]gateway.Delivery{"answer": got.Deliveries[0],
		"record": w.read(alice, got.ID).Deliveries[0]} {
		same(w, "state in the "+where, d.State, gateway.Queued)
		same(w, "recipient in the "+where, d.Recipient.String(), "Peer@far.example")
		same(w, "agent in the "+where, d.Agent, gateway.AgentID(0))
		same(w, "mode in the "+where, d.Mode, "")
		same(w, "attempts in the "+where, d.Attempts, 0)
		same(w, "there is an id in the "+where, d.ID != 0, where == "record")
		w.sameTime("time of delivery in the "+where, d.Delivered, time.Time{})
		w.sameTime("time of the last change in the "+where, d.Changed, a.ReceivedAt)
		w.sameTime("next due time in the "+where, d.NextDue, a.ReceivedAt)
	}
	j := w.oneJob("far.example")
	same(w, "message of the job", j.Message, got.ID)
	same(w, "id of the envelope", j.Envelope.ID, got.ID)
	same(w, "state of the job", j.State, gateway.Queued)
	same(w, "fence", j.Fence, 0)
	same(w, "attempts", j.Attempts, 0)
	same(w, "size", j.Size, len(a.Message.Raw()))
	same(w, "class", j.Class, gateway.ClassAgent)
	same(w, "agent of the sender", j.SenderAgent, alice.ID)
	same(w, "recipients", addresses(j.Recipients), "Peer@far.example")
	for what, at := range map[string]time.Time{"first try": j.FirstTry, "last try": j.LastTry, "lease": j.Lease,
		"redriven": j.Redriven, "since": j.Since} {
		w.sameTime(what, at, time.Time{})
	}
	w.sameTime("begun", j.Begun, a.ReceivedAt)
	w.sameTime("due", j.Due, a.ReceivedAt)
}

// rang returns the destinations that the queue's bell names, "all" for all.
func (w *world) rang() string {
	w.Helper()
	select {
	case <-w.store.Work().C():
	default:
	}
	list, all := w.store.Work().Take()
	if all {
		return "all"
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = string(list[i])
	}
	return strings.Join(names, " ")
}

func dueAtOnce(w *world) {
	alice := w.agent("alice")
	same(w, "rang before", w.rang(), "")
	w.post(letter{from: alice, far: []string{"a@one.example", "b@two.example"}})
	select {
	case <-w.store.Work().C():
	default:
		w.Errorf("the bell did not ring, want a ring after Accept")
	}
	same(w, "rang", w.rang(), "one.example two.example")
	now := w.now()
	claimed := w.claim(now, "one.example", "two.example")
	same(w, "jobs claimed", len(claimed), 2)
}

func oneJobPerDestination(w *world) {
	alice := w.agent("alice")
	w.post(letter{from: alice, far: []string{"a@one.example", "b@two.example", "c@ONE.example"}})
	w.post(letter{from: alice, far: []string{"a@one.example"}})
	list := w.jobs(gateway.JobFilter{Destination: "one.example"})
	if len(list) != 2 {
		w.Fatalf("%d jobs for one.example, want one for each message", len(list))
	}
	same(w, "recipients of the first", addresses(list[0].Recipients), "a@one.example c@one.example")
	same(w, "recipients elsewhere", addresses(w.oneJob("two.example").Recipients), "b@two.example")
}

func queuedForPush(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	got := w.post(letter{from: alice, to: []person{bob}})
	for where, d := range map[string]gateway.Delivery{"answer": got.Deliveries[0],
		"record": w.read(bob, got.ID).Deliveries[0]} {
		same(w, "state in the "+where, d.State, gateway.Queued)
		same(w, "recipient in the "+where, d.Recipient.String(), bob.Address.String())
		same(w, "agent in the "+where, d.Agent, bob.ID)
		same(w, "mode in the "+where, d.Mode, "push")
		same(w, "attempts in the "+where, d.Attempts, 0)
	}
	sameList(w, "inbox", w.inbox(bob), nil)
	same(w, "rang", w.rang(), string(gateway.PushTo(bob.ID)))
	same(w, "recipients of the job", addresses(w.oneJob(gateway.PushTo(bob.ID)).Recipients), bob.Address.String())
	_, err := w.store.Ack(w.ctx, gateway.Acting{Agent: bob.ID}, got.ID, w.now())
	w.fails("Ack before it was delivered", err, gateway.ErrNotFound)
}

func queuedBesideInbox(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.pushed("carol")
	got := w.post(letter{from: alice, to: []person{bob, carol}, far: []string{"x@far.example"}})
	same(w, "states of the answer", states(got.Deliveries), "delivered queued queued")
	same(w, "states of the record", states(w.read(alice, got.ID).Deliveries), "delivered queued queued")
	sameList(w, "inbox of bob", w.inbox(bob), []amtp.MessageID{got.ID})
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 2)
	same(w, "status", gateway.Summary(w.read(alice, got.ID).Deliveries), amtp.StatusQueued)
}

func retryJoinsJob(w *world) {
	alice := w.agent("alice")
	l := letter{from: alice, key: "k", text: "content", far: []string{"a@far.example"}}
	first := w.post(l)
	j := w.claimOne("far.example", w.now())
	later := w.now().Add(time.Hour)
	w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: w.now(), Due: later, Code: "TEMPORARY_FAILURE"})
	w.rang()
	l.far = append(l.far, "b@far.example")
	second := w.post(l)
	same(w, "id", second.ID, first.ID)
	same(w, "states", states(second.Deliveries), "retrying retrying")
	same(w, "rang", w.rang(), "far.example")
	joined := w.oneJob("far.example")
	same(w, "job", joined.ID, j.ID)
	same(w, "recipients", addresses(joined.Recipients), "a@far.example b@far.example")
	same(w, "attempts", joined.Attempts, 1)
	again := w.claimOne("far.example", w.now()) // due at once
	l.far = append(l.far, "c@far.example")      // while the job is leased
	same(w, "states while it is leased", states(w.post(l).Deliveries), "delivering delivering delivering")
	w.settle(again.settled(w, gateway.Success, again.Recipients...))
	left := w.oneJob("far.example")
	same(w, "recipients left", addresses(left.Recipients), "c@far.example")
	same(w, "claimed at once", w.claimOne("far.example", w.now()).ID, j.ID)
}

func retryMakesJob(w *world) {
	alice := w.agent("alice")
	l := letter{from: alice, key: "k", text: "content", far: []string{"a@far.example"}}
	first := w.post(l)
	j := w.claimOne("far.example", w.now())
	w.settle(j.settled(w, gateway.Success, j.Recipients...))
	w.isRetry(first, w.post(l))
	same(w, "jobs after a retry", len(w.jobs(gateway.JobFilter{})), 0)
	l.far = append(l.far, "b@far.example")
	same(w, "states", states(w.post(l).Deliveries), "delivered queued")
	added := w.oneJob("far.example")
	same(w, "another job", added.ID > j.ID, true)
	same(w, "recipients", addresses(added.Recipients), "b@far.example")
}

func retryOfQueued(w *world) {
	alice := w.agent("alice")
	l := letter{from: alice, key: "k", text: "content", far: []string{"A@far.example", "b@far.example"}}
	first := w.post(l)
	j := w.claimOne("far.example", w.now())
	w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: w.now(), Due: w.now(), Results: []gateway.Result{
		{Delivery: j.Recipients[0].ID, Event: gateway.Success},
	}})
	w.rang()
	l.far = []string{"a@FAR.example", "b@far.example"}
	second := w.post(l)
	w.isRetry(first, second)
	same(w, "states", states(second.Deliveries), "delivered retrying")
	same(w, "an id in the answer", second.Deliveries[0].ID, gateway.DeliveryID(0))
	same(w, "rang", w.rang(), "")
	same(w, "deliveries", len(w.read(alice, first.ID).Deliveries), 2)
}

func retryOfDomainAddsRecipient(w *world) {
	bob, carol := w.agent("bob"), w.agent("carol")
	for i, class := range []gateway.Class{gateway.ClassDomain, gateway.ClassAnonymous} {
		l := letter{remote: "peer@far.example", class: class, to: []person{bob}, key: "k" + strconv.Itoa(i),
			id: amtp.NewMessageID(), text: "content"}
		first := w.post(l)
		l.to = []person{carol}
		second := w.post(l)
		same(w, "id", second.ID, first.ID)
		same(w, "replayed", second.Replayed, true)
		sameList(w, "agents", agentsOf(second.Deliveries), []gateway.AgentID{bob.ID, carol.ID})
		w.ack(carol, first.ID)
		w.ack(bob, first.ID)
	}
}

// unsignedLetters are the names under which a message can be known.
func unsignedLetters(to ...person) []letter {
	list := []letter{{key: "k1"}, {id: "token"}, {id: amtp.NewMessageID()}, {id: "token2", key: "k2"},
		{id: amtp.NewMessageID(), key: "k3"}}
	for i := range list {
		list[i].remote, list[i].to, list[i].class = "peer@far.example", to, gateway.ClassAnonymous
		list[i].text = "letter " + strconv.Itoa(i)
	}
	return list
}

func unsignedIsRecognised(w *world) {
	bob, carol := w.agent("bob"), w.agent("carol")
	for _, l := range unsignedLetters(bob) {
		first := w.post(l)
		l.class, l.early = gateway.ClassDomain, true
		w.isRetry(first, w.post(l))
		w.isRetry(first, w.post(l)) // and a second time
		l.to = []person{bob, carol}
		same(w, "id with a recipient more", w.post(l).ID, first.ID)
		same(w, "class", w.read(carol, first.ID).Class, gateway.ClassAnonymous)
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 5)
	same(w, "messages in the other inbox", len(w.inbox(carol)), 5)
}

func unsignedIsNoOther(w *world) {
	bob := w.agent("bob")
	for _, l := range unsignedLetters(bob) {
		first := w.post(l)
		signed := l
		signed.class = gateway.ClassDomain
		own := w.post(signed) // not early: it is a separate message
		same(w, "is another message", own.ID != first.ID, true)
		signed.early = true
		w.isRetry(own, w.post(signed))
	}
	for i, l := range unsignedLetters(bob) {
		l.text = "forged"
		l.key = "other-" + strconv.Itoa(i)
		if l.id != "" {
			l.id = amtp.NewMessageID()
		}
		first := w.post(l)
		l.class, l.early, l.text = gateway.ClassDomain, true, "true"
		got := w.post(l)
		same(w, "other content is another message", got.ID != first.ID && !got.Replayed, true)
		l.text = "other"
		_, err := w.try(l)
		w.fails("Accept of other content under the domain's own name", err, gateway.ErrReused)
	}
}

// unsignedConfused: a sender sent the same content twice, once under the id and once
// under the key of a later message.
func unsignedConfused(w *world) {
	bob, mallory := w.agent("bob"), w.agent("mallory")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "token"} {
		l := letter{remote: "peer@far.example", class: gateway.ClassAnonymous, to: []person{mallory},
			text: "content " + string(id)}
		byID, byKey := l, l
		byID.id, byKey.key = id, "k"+string(id)
		w.post(byID)
		w.post(byKey)
		l.id, l.key, l.to, l.class, l.early = id, "k"+string(id), []person{bob}, gateway.ClassDomain, true
		got := w.post(l)
		box := w.inbox(bob)
		same(w, "end of bob's inbox", box[len(box)-1], got.ID)
		same(w, "a retry", w.post(l).ID, got.ID)
	}
}

func jobShows(w *world) {
	alice := w.agent("alice")
	id := w.post(letter{from: alice, far: []string{"a@far.example"}}).ID
	listed := func(status amtp.Status) int {
		return len(w.list(alice, gateway.MessageFilter{Status: status, Limit: 10}).Messages)
	}
	same(w, "queued ones", listed(amtp.StatusQueued), 1)
	same(w, "pending ones when queued", listed(amtp.StatusPending), 1)
	now := w.now()
	j := w.claimOne("far.example", now)
	d := w.read(alice, id).Deliveries[0]
	same(w, "state when claimed", d.State, gateway.Delivering)
	same(w, "attempts when claimed", d.Attempts, 1)
	w.sameTime("change when claimed", d.Changed, now)
	w.sameTime("due when claimed", d.NextDue, time.Time{})
	same(w, "delivering ones", listed(amtp.StatusDelivering), 1)
	same(w, "pending ones when claimed", listed(amtp.StatusPending), 1)
	now = w.now()
	w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Minute),
		Code: "TEMPORARY_FAILURE", Reason: "it was not well"})
	r := w.read(alice, id)
	d = r.Deliveries[0]
	same(w, "state after a failure", d.State, gateway.Retrying)
	same(w, "attempts after a failure", d.Attempts, 1)
	same(w, "code after a failure", d.ErrorCode, "TEMPORARY_FAILURE")
	same(w, "reason after a failure", d.ErrorText, "it was not well")
	w.sameTime("change after a failure", d.Changed, now)
	w.sameTime("due after a failure", d.NextDue, now.Add(time.Minute))
	same(w, "retrying ones", listed(amtp.StatusRetrying), 1)
	same(w, "pending ones after a failure", listed(amtp.StatusPending), 1)
	same(w, "queued ones after a failure", listed(amtp.StatusQueued), 0)
	w.sameTime("next retry of the status", r.Status(w.now()).NextRetry.Time, now.Add(time.Minute))
	found := w.list(alice, gateway.MessageFilter{Recipient: w.address("A@far.example"), Limit: 10})
	same(w, "messages to the recipient", len(found.Messages), 1)
}

func refusedLeavesNoJob(w *world) {
	alice := w.agent("alice")
	l := letter{from: alice, key: "k", text: "content", far: []string{"a@far.example"}}
	w.post(l)
	w.rang()
	l.text, l.far = "other", []string{"b@other.example"}
	_, err := w.try(l)
	w.fails("Accept of other content", err, gateway.ErrReused)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 1)
	same(w, "rang", w.rang(), "")
}
