package storetest

import (
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// purging are the promises about data that outlives its retention.
func purging() []promise {
	return []promise{
		{"a body goes after its retention", bodiesGo},
		{"the message stays", purgedMessageStays},
		{"the id under which it left goes with the message", purgedAbroad},
		{"a retry of it is recognised as before", purgedRetry},
		{"a retry that adds a recipient brings the body back", purgedComesBack},
		{"as long as any delivery wants it", bodyOfTheLast},
		{"an idempotency key goes", keysGo},
		{"a further key goes after its own time", furtherKeysGo},
		{"a message goes with its deliveries and aliases", messagesGo},
		{"not while its key is remembered", messageWaitsForKey},
		{"what is not decided stays", undecidedStays},
		{"what went elsewhere goes after its own time", sentBodiesGo},
		{"a body that a report needs stays", reportedBodyStays},
		{"later work keeps no body, and the end of a message no longer waits when nobody can take it",
			laterWaitsWithoutBody},
		{"a retry to recipients elsewhere brings the body back", purgedComesBackElsewhere},
		{"what is younger stays", youngerStays},
		{"the domains whose last message is older go", peersGo},
		{"an agent that was removed goes when no message names it", agentsGo},
		{"a domain is remembered for as long as it is held to its signatures", signingPeersStay},
		{"the newest message and the newest delivery stay", newestStays},
		{"Next is the after of the next call", purgeGoesOn},
		{"no other message is looked at", onlyWhatIsDue},
		{"whatever is stored", lifeOfAMessage},
		{"it begins anew when something is to be kept shorter", keptShorter},
		{"it begins anew when the clock went back", purgeClockBack},
		{"those that were received at one moment all have their turn", oneMoment},
		{"a year of it, with every rule looked at after every round", aYear},
	}
}

const days = 24 * time.Hour

// keep has lengths that cannot be confused with one another.
var keep = gateway.Retention{
	Acknowledged: 30 * days, Unacknowledged: 180 * days, Sent: 31 * days, Failed: 32 * days,
	Status: 365 * days, Keys: 10 * days,
}

// purge purges until nothing more can be due.
func (w *world) purge(r gateway.Retention, now time.Time) gateway.Purged {
	w.Helper()
	var sum gateway.Purged
	for range 10_000 {
		did, err := w.store.Purge(w.ctx, r, now, sum.Next, 3)
		if err != nil {
			w.Fatalf("Purge = %v, want no error; after %d", err, sum.Next)
		}
		sum.Bodies += did.Bodies
		sum.Messages += did.Messages
		sum.Agents += did.Agents
		sum.Keys += did.Keys
		sum.Peers += did.Peers
		sum.Unreadable += did.Unreadable
		sum.Looked += did.Looked
		if sum.Next = did.Next; did.Done {
			return sum
		}
	}
	w.Fatalf("Purge is not Done after 10,000 calls; want it to end")
	return sum
}

// later returns the time that long after the last check of the clock.
func (w *world) later(d time.Duration) time.Time {
	return morning.Add(time.Duration(w.ticks.Load())*time.Second + d)
}

// hasBody reports whether the reader gets the message's content.
func (w *world) hasBody(p person, id amtp.MessageID) bool {
	w.Helper()
	return w.read(p, id).Body != nil
}

// newest posts one more message, so that the one before is not the newest.
func (w *world) newest(from, to person) { w.send(from, to) }

func bodiesGo(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	open := w.send(alice, bob)
	acked := w.send(alice, bob)
	at := w.ack(bob, acked).At
	received := w.read(bob, open).ReceivedAt
	for _, c := range []struct {
		now         time.Time
		acked, open bool
	}{
		{at.Add(keep.Acknowledged - time.Microsecond), true, true},
		{at.Add(keep.Acknowledged), false, true},
		{received.Add(keep.Unacknowledged - time.Microsecond), false, true},
		{received.Add(keep.Unacknowledged), false, false},
	} {
		w.purge(keep, c.now)
		same(w, "body of the acknowledged one at "+c.now.String(), w.hasBody(alice, acked), c.acked)
		same(w, "body of the other at "+c.now.String(), w.hasBody(alice, open), c.open)
	}
}

func purgedMessageStays(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, to: []person{bob}, id: "token", key: "k"}).ID
	before := w.read(bob, id)
	w.purge(keep, w.later(keep.Unacknowledged))
	after := w.read(bob, id)
	same(w, "body", after.Body == nil, true)
	after.Body = before.Body
	same(w, "subject", after.Subject, before.Subject)
	w.sameTime("received", after.ReceivedAt, before.ReceivedAt)
	same(w, "status", after.Status(w.now()).Status, before.Status(w.now()).Status)
	same(w, "id behind the alias", w.read(alice, "token").ID, id)
	items := w.page(bob, wholeInbox).Items
	sameList(w, "inbox", ids(items), []amtp.MessageID{id})
	same(w, "body in the inbox", items[0].Body == nil, true)
	w.ack(bob, id)
	sameList(w, "inbox after the ack", w.inbox(bob), nil)
}

func purgedRetry(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	letters := []letter{
		{from: alice, id: "token"}, {from: alice, id: amtp.NewMessageID()},
		{from: alice, id: "token", class: gateway.ClassAnonymous}, {from: alice, key: "k2", id: "token2"},
	}
	short := keep
	short.Unacknowledged = time.Hour // before the key is forgotten
	letters = append(letters, letter{from: alice, key: "k1"},
		letter{from: alice, key: "k1", class: gateway.ClassAnonymous})
	var first []gateway.Accepted
	for i := range letters {
		letters[i].to, letters[i].text = []person{bob}, "letter "+strconv.Itoa(i)
		first = append(first, w.post(letters[i]))
	}
	same(w, "bodies purged", w.purge(short, w.later(2*time.Hour)).Bodies, len(letters))
	box := w.inbox(bob)
	for i, l := range letters {
		w.isRetry(first[i], w.post(l))
	}
	sameList(w, "inbox", w.inbox(bob), box)
	_, err := w.try(letter{from: alice, to: []person{bob}, key: "k1", text: "other"})
	w.fails("Accept of other content under the key", err, gateway.ErrReused)
	_, err = w.try(letter{from: alice, to: []person{bob}, id: "token", text: "other"})
	w.fails("Accept of other content under the id", err, gateway.ErrReused)
}

func purgedComesBack(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	l := letter{from: alice, to: []person{bob}, id: "token", text: "content"}
	id := w.post(l).ID
	w.ack(bob, id)
	w.purge(keep, w.later(keep.Acknowledged))
	same(w, "body after the purge", w.hasBody(alice, id), false)
	w.ticks.Add(int64((40 * days) / time.Second))
	l.to = []person{bob, carol}
	same(w, "id of the retry", w.post(l).ID, id)
	items := w.page(carol, wholeInbox).Items
	sameList(w, "inbox of carol", ids(items), []amtp.MessageID{id})
	same(w, "carol has the content", items[0].Body != nil, true)
	w.newest(alice, bob)
	w.purge(keep, w.later(keep.Acknowledged))
	same(w, "body while carol has not acknowledged", w.hasBody(carol, id), true)
	w.purge(keep, w.later(keep.Unacknowledged))
	same(w, "body after carol's retention", w.hasBody(carol, id), false)
	w.purge(keep, w.later(keep.Status))
	w.absent(alice, id)
}

func purgedAbroad(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, far: []string{"peer@far.example"}, id: "7b1f3c52-8a3e-4d64-9a46-0a2f1f6d3f10"}).ID
	p := w.claimOne("far.example", w.now())
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	w.send(alice, bob) // the newest message stays
	w.purge(keep, w.later(keep.Status))
	w.purge(keep, w.later(keep.Status))
	w.absent(alice, id)
	again := w.post(letter{from: alice, to: []person{bob}, id: amtp.PeerMessageID(id), text: "another"})
	same(w, "a message under the id that is free again", again.Replayed, false)
}

// absent checks that the store behaves as if the message had never existed.
func (w *world) absent(p person, id amtp.MessageID) {
	w.Helper()
	_, err := w.store.Message(w.ctx, gateway.Reader{Agent: p.ID}, id)
	w.fails("Message "+string(id), err, gateway.ErrNotFound)
}

func bodyOfTheLast(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob, carol)
	w.ack(bob, id)
	w.purge(keep, w.later(keep.Acknowledged))
	same(w, "body that carol wants", w.hasBody(carol, id), true)
	w.ticks.Add(int64((100 * days) / time.Second))
	w.ack(carol, id)
	w.purge(keep, w.later(keep.Acknowledged-time.Second))
	same(w, "body before the end", w.hasBody(carol, id), true)
	w.purge(keep, w.later(keep.Acknowledged))
	same(w, "body after the last", w.hasBody(carol, id), false)
}

func keysGo(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.ack(bob, first.ID)
	short := keep
	short.Acknowledged = time.Hour
	same(w, "keys purged early", w.purge(short, w.later(keep.Keys-time.Second)).Keys, 0)
	w.isRetry(first, w.post(l))
	low := short
	low.Keys = time.Hour // below the least allowed value
	same(w, "keys purged before the least time", w.purge(low, w.later(gateway.MinKeys-time.Minute)).Keys, 0)
	w.isRetry(first, w.post(l))
	same(w, "keys purged", w.purge(short, w.later(keep.Keys)).Keys, 1)
	same(w, "a retry after that is a message of its own", w.post(l).ID != first.ID, true)
	long := l
	long.key = "stays-with-its-body"
	second := w.post(long)
	same(w, "keys of bodies that stay", w.purge(keep, w.later(keep.Unacknowledged-time.Minute)).Keys, 0)
	w.isRetry(second, w.post(long))
}

func furtherKeysGo(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, id: "token", key: "k1", text: "content"}
	first := w.post(l)
	w.ack(bob, first.ID)
	w.purge(keep, w.later(keep.Acknowledged))
	w.ticks.Add(int64((50 * days) / time.Second))
	l.key = "k2"
	w.isRetry(first, w.post(l))
	same(w, "keys purged before the end", w.purge(keep, w.later(keep.Keys-time.Minute)).Keys, 0)
	l.id = ""
	w.isRetry(first, w.post(l))
	same(w, "keys purged", w.purge(keep, w.later(keep.Keys)).Keys, 1)
}

func messagesGo(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	letters := []letter{{from: alice, id: "token"}, {from: alice, id: "token", class: gateway.ClassAnonymous},
		{remote: "peer@far.example", id: "token", class: gateway.ClassAnonymous},
		{from: alice, id: amtp.NewMessageID(), key: "k"}}
	var first []gateway.Accepted
	for i := range letters {
		letters[i].to, letters[i].text = []person{bob}, "letter "+strconv.Itoa(i)
		first = append(first, w.post(letters[i]))
	}
	w.newest(alice, bob)
	same(w, "messages purged before the end", w.purge(keep, morning.Add(keep.Status)).Messages, 0)
	did := w.purge(keep, w.later(keep.Status))
	same(w, "messages purged", did.Messages, len(letters))
	same(w, "messages listed", len(w.listBy(gateway.Reader{Everyone: true}, gateway.MessageFilter{}).Messages), 1)
	same(w, "messages in the inbox", len(w.inbox(bob)), 1)
	w.absent(alice, "token")
	for i, l := range letters {
		w.absent(alice, first[i].ID)
		same(w, "sent again is replayed", w.post(l).Replayed, false)
	}
}

func messageWaitsForKey(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, id: "token", key: "k1", text: "content"}
	first := w.post(l)
	w.newest(alice, bob)
	w.ticks.Add(int64((keep.Status - days) / time.Second))
	l.key = "k2"
	w.isRetry(first, w.post(l))
	w.purge(keep, w.later(2*days))
	w.isRetry(first, w.post(l))
	w.purge(keep, w.later(keep.Keys))
	w.absent(alice, "token")
}

func undecidedStays(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	l := letter{from: alice, to: []person{bob}, far: []string{"a@far.example", "b@far.example"}, key: "k",
		text: "content"}
	first := w.post(l)
	p := w.claimOne("far.example", w.now())
	w.settle(p.settled(w, gateway.Success, p.Recipients[0]))
	w.newest(alice, alice)
	did := w.purge(keep, w.later(3*keep.Status))
	same(w, "purged", did.Messages, 0)
	same(w, "body", w.hasBody(alice, first.ID), true)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 2)
	w.isRetry(first, w.post(l))
	for _, d := range []gateway.Destination{"far.example", gateway.PushTo(bob.ID)} {
		p := w.claimOne(d, w.now())
		w.settle(p.settled(w, gateway.Success, p.Recipients...))
	}
	w.purge(keep, w.later(keep.Status))
	w.absent(alice, first.ID)
}

func sentBodiesGo(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	sent, failed, pushed := w.mail(alice, "a@far.example"), w.mail(alice, "a@bad.example"), w.send(alice, bob)
	decide := func(d gateway.Destination, e gateway.Event) time.Time {
		p := w.claimOne(d, w.now())
		s := p.settled(w, e, p.Recipients...)
		w.settle(s)
		return s.Now
	}
	for _, c := range []struct {
		id  amtp.MessageID
		end time.Time
	}{
		{sent, decide("far.example", gateway.Success).Add(keep.Sent)},
		{pushed, decide(gateway.PushTo(bob.ID), gateway.Success).Add(keep.Sent)},
		{failed, decide("bad.example", gateway.Refuse).Add(keep.Failed)},
	} {
		w.fail(gateway.Reports, w.now())
		w.purge(keep, c.end.Add(-time.Microsecond))
		same(w, "body before its end", w.hasBody(alice, c.id), true)
		w.purge(keep, c.end)
		same(w, "body after its end", w.hasBody(alice, c.id), false)
	}
}

func reportedBodyStays(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	w.fail("far.example", w.now())
	w.newest(alice, alice)
	w.purge(keep, w.later(2*keep.Status))
	same(w, "body", w.hasBody(alice, id), true)
	same(w, "recipients of the report", addresses(w.oneJob(gateway.Reports).Recipients), "a@far.example")
	w.fail(gateway.Reports, w.now())
	w.purge(keep, w.later(2*keep.Status+gateway.LookTime))
	w.absent(alice, id)
}

// laterWaitsWithoutBody: the bodies of messages with later work go like any other.
func laterWaitsWithoutBody(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	far := func(to gateway.Destination) (amtp.MessageID, time.Time) {
		a := w.acceptance(letter{from: alice, to: []person{bob}})
		at := a.ReceivedAt.Add(365 * 24 * time.Hour)
		a.Later = []gateway.Later{{Destination: to, At: at}}
		got, err := w.store.Accept(w.ctx, a)
		w.works("Accept", err)
		return got.ID, at
	}
	asked, due := far(gateway.Deadlines)
	ended, _ := far(gateway.Expiries)
	open, end := far(gateway.Expiries)
	w.newest(alice, bob)
	w.ack(bob, asked)
	at := w.ack(bob, ended).At
	w.purge(keep, at.Add(keep.Acknowledged-time.Second))
	same(w, "body before its end", w.hasBody(alice, ended), true)
	w.purge(keep, at.Add(keep.Acknowledged))
	same(w, "body with a deadline", w.hasBody(alice, asked), false)
	same(w, "body of what is acknowledged", w.hasBody(alice, ended), false)
	same(w, "the end of the message that is open", w.oneJob(gateway.Expiries).Message, open)
	w.purge(keep, w.later(2*keep.Status))
	w.absent(alice, ended)
	same(w, "body of what is open", w.hasBody(alice, open), false)
	p := w.claimOne(gateway.Deadlines, due)
	same(w, "message of the deadline", p.Envelope.ID, asked)
	w.sameTime("its time", p.At, due)
	again := due.Add(time.Minute)
	w.works("Settle", w.store.Settle(w.ctx, gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: due, Due: again,
		Code: amtp.CodeTemporaryFailure, Reason: "not yet"}))
	p = w.claimOne(gateway.Deadlines, again)
	w.sameTime("its time after an attempt", p.At, due)
	w.works("Settle", w.store.Settle(w.ctx, gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: again,
		Results: []gateway.Result{{Event: gateway.Success}}}))
	p = w.claimOne(gateway.Expiries, end)
	_, err := w.store.EndMessage(w.ctx, p.Envelope.ID, end)
	w.works("EndMessage", err)
	same(w, "state", w.read(alice, open).Deliveries[0].State, gateway.Expired)
	same(w, "dead letters without a body", len(w.dead(gateway.DeadFilter{})), 0)
	w.works("Settle", w.store.Settle(w.ctx, gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: end,
		Results: []gateway.Result{{Event: gateway.Success}}}))
	w.purge(keep, end.Add(2*keep.Status))
	w.absent(alice, asked)
	w.absent(alice, open)
}

func purgedComesBackElsewhere(w *world) {
	alice := w.agent("alice")
	l := letter{from: alice, far: []string{"a@far.example"}, id: "token", text: "content"}
	id := w.post(l).ID
	p := w.claimOne("far.example", w.now())
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	w.purge(keep, w.later(keep.Sent))
	same(w, "body after the purge", w.hasBody(alice, id), false)
	l.far = append(l.far, "b@far.example")
	same(w, "states", states(w.post(l).Deliveries), "delivered queued")
	added := w.claimOne("far.example", w.now())
	same(w, "recipients", addresses(added.Recipients), "b@far.example")
	same(w, "there is a body", len(added.Body) > 0, true)
}

func youngerStays(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for i := range 10 {
		id := w.post(letter{from: alice, to: []person{bob}, key: "k" + strconv.Itoa(i)}).ID
		if i%2 == 0 {
			w.ack(bob, id)
		}
	}
	before := w.snapshot(alice, bob)
	did := w.purge(keep, morning.Add(keep.Acknowledged))
	same(w, "purged", did.Bodies+did.Keys+did.Messages, 0)
	sameList(w, "everything", w.snapshot(alice, bob), before)
}

func newestStays(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	gone := w.send(alice, bob)
	l := letter{from: alice, to: []person{bob}, id: "grows", text: "content"}
	grows := w.post(l).ID
	newest := w.send(alice, bob)
	l.to = []person{bob, carol}
	w.post(l) // and has the newest delivery
	w.purge(keep, w.later(10*keep.Status))
	w.absent(alice, gone)
	same(w, "body of the one with the newest delivery", w.hasBody(alice, grows), false)
	same(w, "body of the newest", w.hasBody(alice, newest), false)
}

func purgeGoesOn(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for range 7 {
		w.ack(bob, w.send(alice, bob))
	}
	now := w.later(keep.Acknowledged)
	var next int64
	for i, want := range []int{3, 3, 1} {
		did, err := w.store.Purge(w.ctx, keep, now, next, 3)
		w.works("Purge", err)
		same(w, "bodies of call "+strconv.Itoa(i), did.Bodies, want)
		same(w, "done after call "+strconv.Itoa(i), did.Done, want < 3)
		same(w, "it goes on", did.Next > next, true)
		next = did.Next
	}
	young, err := w.store.Purge(w.ctx, keep, morning.Add(days), 0, 3)
	w.works("Purge", err)
	same(w, "done where all is young", young.Done, true)
}

// onlyWhatIsDue has more messages that are kept than messages that are due.
func onlyWhatIsDue(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for i := range 12 {
		id := w.send(alice, bob)
		if i < 2 {
			w.ack(bob, id)
		}
	}
	young := w.purge(keep, morning.Add(keep.Acknowledged))
	same(w, "looked at while all is young", young.Looked, 0)
	now := w.later(keep.Acknowledged)
	first := w.purge(keep, now)
	same(w, "bodies", first.Bodies, 2)
	same(w, "looked at the first time", first.Looked, 12)
	same(w, "looked at after that", w.purge(keep, now.Add(keep.Acknowledged-time.Second)).Looked, 0)
	w.send(alice, bob)
	same(w, "looked at with one that has come", w.purge(keep, now.Add(keep.Acknowledged-time.Second)).Looked, 1)
}

// lifeOfAMessage counts how often the purge examines a message in two years.
func lifeOfAMessage(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	const acknowledged, not = 20, 4
	for i := range acknowledged + not {
		l := letter{from: alice, to: []person{bob}, id: amtp.MessageID("token-" + strconv.Itoa(i)),
			key: "k" + strconv.Itoa(i)}
		if id := w.post(l).ID; i < acknowledged {
			w.ack(bob, id)
		}
	}
	w.ticks.Add(int64((300 * days) / time.Second))
	newest := w.send(alice, bob)
	var sum gateway.Purged
	for now := morning; now.Before(morning.Add(640 * days)); now = now.Add(3 * days) {
		did := w.purge(keep, now)
		sum.Bodies, sum.Keys, sum.Messages, sum.Looked = sum.Bodies+did.Bodies, sum.Keys+did.Keys,
			sum.Messages+did.Messages, sum.Looked+did.Looked
	}
	same(w, "bodies", sum.Bodies, acknowledged+not+1)
	same(w, "messages", sum.Messages, acknowledged+not)
	w.read(alice, newest)
	// A message is examined once when it is old enough for anything, once at the end of
	// its body, and once at its own end. A message that was never acknowledged is also
	// examined every thirty days.
	most := 3*acknowledged + (3+int(keep.Unacknowledged/keep.Acknowledged))*(not+1)
	if sum.Looked > most {
		w.Errorf("the purge examined messages %d times to remove %d bodies and %d messages, want %d times at most",
			sum.Looked, sum.Bodies, sum.Messages, most)
	}
}

func keptShorter(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.newest(alice, bob)
	now := w.later(keep.Acknowledged)
	same(w, "bodies", w.purge(keep, now).Bodies, 0)
	short := keep
	short.Unacknowledged = 20 * days
	same(w, "bodies that are kept shorter now", w.purge(short, now).Bodies, 2)
	same(w, "body", w.hasBody(alice, id), false)
	w.purge(keep, now)
	short.Status = 25 * days
	same(w, "messages that are kept shorter now", w.purge(short, now).Messages, 1)
	w.absent(alice, id)
}

// purgeClockBack purges at a time in the future. Its next checks of undecided messages
// would be years away.
func purgeClockBack(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	w.newest(alice, alice)
	same(w, "bodies", w.purge(keep, w.later(3650*days)).Bodies, 1)
	p := w.claimOne("far.example", w.now())
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	w.purge(keep, w.later(keep.Sent-time.Minute))
	same(w, "body before its end", w.hasBody(alice, id), true)
	w.purge(keep, w.later(keep.Sent))
	same(w, "body after its end", w.hasBody(alice, id), false)
}

// oneMoment has more messages of one microsecond than one call examines.
func oneMoment(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	const n = 11
	for i := range n {
		a := w.acceptance(letter{from: alice, to: []person{bob}, text: "letter " + strconv.Itoa(i)})
		a.ReceivedAt, a.Timestamp = morning, morning
		_, err := w.store.Accept(w.ctx, a)
		w.works("Accept", err)
	}
	did := w.purge(keep, morning.Add(keep.Unacknowledged))
	same(w, "bodies", did.Bodies, n)
	same(w, "looked at", did.Looked, n)
	same(w, "messages", w.purge(keep, morning.Add(keep.Status)).Messages, n-1)
}

func agentsGo(w *world) {
	alice, bob, quiet, named := w.agent("alice"), w.agent("bob"), w.agent("quiet"), w.agent("named")
	w.ack(named, w.send(alice, named))
	w.send(alice, bob) // the newest message stays
	w.remove(quiet)
	w.remove(named)
	left := w.now()
	same(w, "agents forgotten at once", w.purge(keep, left.Add(keep.Agent()/2)).Agents, 0)
	same(w, "agents forgotten a day later", w.purge(keep, left.Add(2*keep.Agent())).Agents, 1)
	same(w, "agents forgotten again", w.purge(keep, left.Add(3*keep.Agent())).Agents, 0)
	gone := 0
	for range 3 { // first the body is removed, then the message, then the agents that it names
		gone += w.purge(keep, left.Add(2000*days)).Agents
	}
	same(w, "agents forgotten after their messages", gone, 1)
	later := w.agent("quiet")
	same(w, "an id is given twice", later.ID == quiet.ID || later.ID == named.ID, false)
	_, err := w.store.Agent(alice.ID)
	w.works("Agent of who lives", err)
}
