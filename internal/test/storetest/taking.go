package storetest

import (
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// taking are the promises about work that readers take from an inbox.
func taking() []promise {
	return []promise{
		{"Take leases messages that wait, in the order of the inbox", takeInOrder},
		{"each gets a new token and counts one more attempt, and is marked as read", takeLeases},
		{"no live lease or delay hides them; the earliest to return comes first", takeReturned},
		{"a message that was only read is taken, and listing takes nothing", takeRead},
		{"MaxBytes ends a call that has at least one message", takeBytes},
		{"a filter leaves out the others, and the next call goes on behind Next", takeFiltered},
		{"Again is the earliest time at which a message returns", takeAgain},
		{"marking as read writes the receipt that is owed", takeOwes},
		{"two calls never lease the same message", takeAtOnce},
		{"every message is handled, and none under two live leases, whoever stops", takeAndStop},
		{"an acknowledgement shows the token of the newest live lease", ackTaken},
		{"without a token it is ErrConflict while another key holds a live lease", ackOfAnother},
		{"Extend moves the end of a live lease", extended},
		{"GiveBack ends the lease, and rings", givenBack},
		{"Reject makes a dead letter and a report", rejected},
		{"a report of a rejected report is never written", rejectedReport},
		{"the domain of the sender gets the receipt of a refusal", rejectOwes},
		{"a co-recipient learns nothing of all this", takingIsPrivate},
		{"a message that was taken MaxDeliveries times becomes a dead letter", takeTooOften},
		{"a message from another domain that was taken too often owes a receipt", tooOftenOwes},
		{"a dead letter that was in an inbox returns to it", putBack},
		{"a key that has ended takes nothing", takeByEnded},
	}
}

const visibility = time.Minute

// by is the person as the holder of one of several keys.
func (p person) by(key string) gateway.Acting { return gateway.Acting{Agent: p.ID, Key: key} }

// tryTake takes up to limit messages, as the holder of no particular key.
func (w *world) tryTake(p person, limit int, now time.Time) gateway.Taken {
	w.Helper()
	return w.takeBy(gateway.Acting{Agent: p.ID}, gateway.Take{Max: limit, Until: now.Add(visibility)}, now)
}

func (w *world) takeBy(by gateway.Acting, t gateway.Take, now time.Time) gateway.Taken {
	w.Helper()
	got, err := w.store.Take(w.ctx, by, t, now)
	if err != nil {
		w.Fatalf("Take = %v, want no error", err)
	}
	return got
}

// takeOne takes the one message that may be taken.
func (w *world) takeOne(p person, now time.Time) gateway.TakenItem {
	w.Helper()
	got := w.tryTake(p, 1, now)
	if len(got.Items) != 1 {
		w.Fatalf("Take returned %d messages, want 1", len(got.Items))
	}
	return got.Items[0]
}

func ticket(i gateway.TakenItem) gateway.Ticket {
	return gateway.Ticket{ID: i.ID, Token: i.Lease.Token}
}

func takenIDs(t gateway.Taken) (list []amtp.MessageID) {
	for i := range t.Items {
		list = append(list, t.Items[i].ID)
	}
	return list
}

func takeInOrder(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(5, alice, bob)
	sameList(w, "first", takenIDs(w.tryTake(bob, 2, w.now())), sent[:2])
	sameList(w, "second", takenIDs(w.tryTake(bob, 10, w.now())), sent[2:])
	sameList(w, "third", takenIDs(w.tryTake(bob, 10, w.now())), nil)
	sameList(w, "inbox", w.inbox(bob), sent)
}

func takeLeases(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	now := w.now()
	first := w.takeOne(bob, now)
	same(w, "id", first.ID, id)
	same(w, "there is a body", len(first.Body) > 0, true)
	same(w, "attempt", first.Lease.Attempt, 1)
	w.sameTime("end", first.Lease.Until, now.Add(visibility))
	w.sameTime("ReadAt", first.ReadAt, now)
	d := w.read(alice, id).Deliveries[0]
	w.sameTime("Read for the sender", d.Read, now)
	same(w, "claimed for the sender", d.IsClaimed(now.Add(visibility-time.Second)), true)
	same(w, "claimed after its end", d.IsClaimed(now.Add(visibility)), false)
	same(w, "state", d.State, gateway.Delivered)
	second := w.takeOne(bob, now.Add(visibility))
	same(w, "second attempt", second.Lease.Attempt, 2)
	same(w, "delivery count", second.DeliveryCount, 2)
	same(w, "token is new", second.Lease.Token != first.Lease.Token, true)
	w.sameTime("ReadAt stays", second.ReadAt, now)
}

func takeReturned(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(4, alice, bob)
	now := w.now()
	a, b := w.takeOne(bob, now), w.takeOne(bob, now)
	_, err := w.store.GiveBack(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(a),
		gateway.GivenBack{Due: now.Add(30 * time.Second)}, now)
	w.works("GiveBack", err)
	sameList(w, "before the delay", takenIDs(w.tryTake(bob, 1, now)), sent[2:3])
	late := now.Add(visibility)
	sameList(w, "when all have returned", takenIDs(w.tryTake(bob, 10, late)),
		[]amtp.MessageID{a.ID, b.ID, sent[2], sent[3]})
}

func takeRead(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(2, alice, bob)
	w.markRead(bob, sent[1])
	w.page(bob, wholeInbox)
	sameList(w, "taken", takenIDs(w.tryTake(bob, 10, w.now())), []amtp.MessageID{sent[1], sent[0]})
}

func takeBytes(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(3, alice, bob)
	now := w.now()
	t := gateway.Take{Max: 10, MaxBytes: 1, Until: now.Add(visibility)}
	for i := range sent {
		sameList(w, "taken", takenIDs(w.takeBy(gateway.Acting{Agent: bob.ID}, t, now)), sent[i:i+1])
	}
}

func takeFiltered(w *world) {
	alice, carol, bob := w.agent("alice"), w.agent("carol"), w.agent("bob")
	first := w.sendMany(3, alice, bob)
	wanted := w.send(carol, bob)
	answer := w.post(letter{from: alice, to: []person{bob}, answers: first[0]}).ID
	far := w.far("dora@far.example", bob)
	now := w.now()
	for _, c := range []struct {
		what   string
		filter gateway.TakeFilter
		want   []amtp.MessageID
	}{
		{"from a stranger", gateway.TakeFilter{From: w.address("x@far.example")}, nil},
		{"from an agent here", gateway.TakeFilter{From: w.address("CAROL@" + domain)}, []amtp.MessageID{wanted}},
		{"from another domain", gateway.TakeFilter{From: w.address("dora@far.example")}, []amtp.MessageID{far}},
		{"an answer", gateway.TakeFilter{InReplyTo: first[0]}, []amtp.MessageID{answer}},
		{"a thread", gateway.TakeFilter{Thread: first[1]}, []amtp.MessageID{first[1]}},
		{"from two words", gateway.TakeFilter{From: alice.Address, Thread: first[2]}, []amtp.MessageID{first[2]}},
	} {
		var got []amtp.MessageID
		t := gateway.Take{Max: 10, Until: now.Add(visibility), Filter: c.filter}
		for more := true; more; {
			taken := w.takeBy(gateway.Acting{Agent: bob.ID}, t, now)
			got, t.After, more = append(got, takenIDs(taken)...), taken.Next, taken.More
		}
		sameList(w, c.what, got, c.want)
	}
	sameList(w, "the rest", takenIDs(w.tryTake(bob, 10, now)), first[:1])
}

func takeAgain(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	now := w.now()
	w.sameTime("Again of an empty inbox", w.tryTake(bob, 1, now).Again, time.Time{})
	w.sendMany(2, alice, bob)
	now = w.now()
	first := w.takeOne(bob, now)
	w.takeOne(bob, now.Add(time.Second))
	got := w.tryTake(bob, 1, now.Add(2*time.Second))
	same(w, "taken", len(got.Items), 0)
	w.sameTime("Again", got.Again, first.Lease.Until)
}

func takeOwes(w *world) {
	bob := w.agent("bob")
	w.far("alice@far.example", bob)
	now := w.now()
	w.takeOne(bob, now)
	o := w.owedOne("far.example")
	w.sameTime("Read", o.Read, now)
	w.sameTime("Acked", o.Acked, time.Time{})
	w.takeOne(bob, now.Add(visibility))
	w.sameTime("Read after a second time", w.owedOne("far.example").Read, now)
}

func takeAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(64, alice, bob)
	now := w.now()
	var mu sync.Mutex
	times := make(map[amtp.MessageID]int)
	together(8, func(int) {
		for {
			got := w.tryTake(bob, 3, now)
			mu.Lock()
			for _, id := range takenIDs(got) {
				times[id]++
			}
			done := len(times) == len(sent)
			mu.Unlock()
			if len(got.Items) == 0 && done {
				return
			}
		}
	})
	for _, id := range sent {
		same(w, "leases of a message", times[id], 1)
	}
}

func ackTaken(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.sendMany(2, alice, bob)
	by := gateway.Acting{Agent: bob.ID}
	now := w.now()
	old := w.takeOne(bob, now)
	w.takeOne(bob, now)
	_, err := w.store.AckTaken(w.ctx, by, ticket(old), now.Add(visibility))
	w.fails("AckTaken at the end of the lease", err, gateway.ErrStale)
	next := w.takeOne(bob, now.Add(visibility))
	_, err = w.store.AckTaken(w.ctx, by, ticket(old), now)
	w.fails("AckTaken with the token of another lease", err, gateway.ErrStale)
	at := now.Add(visibility + time.Second)
	mark, err := w.store.AckTaken(w.ctx, by, ticket(next), at)
	w.works("AckTaken", err)
	w.sameTime("time", mark.At, at)
	again, err := w.store.AckTaken(w.ctx, by, ticket(next), at.Add(time.Hour))
	w.works("a second AckTaken", err)
	w.sameTime("time of the second", again.At, at)
	same(w, "a third without a token", w.ack(bob, next.ID).At.Equal(at), true)
	_, err = w.store.AckTaken(w.ctx, by, ticket(old), at)
	w.fails("AckTaken of an acknowledged message with the token of another lease", err, gateway.ErrStale)
	_, err = w.store.AckTaken(w.ctx, by, gateway.Ticket{ID: amtp.NewMessageID(), Token: next.Lease.Token}, at)
	w.fails("AckTaken of no message", err, gateway.ErrNotFound)
}

func ackOfAnother(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second := newKey("second", bob.ID, w.now())
	_, err := w.store.AddKey(w.ctx, gateway.Acting{}, second, false)
	w.works("AddKey", err)
	own, other := bob.by(bob.key.ID), bob.by(second.ID)
	w.sendMany(3, alice, bob)
	now := w.now()
	got := w.takeBy(own, gateway.Take{Max: 3, Until: now.Add(visibility)}, now)
	t := gateway.Ticket{ID: got.Items[0].ID}
	_, err = w.store.AckTaken(w.ctx, other, t, now)
	w.fails("AckTaken by another key", err, gateway.ErrConflict)
	_, err = w.store.Ack(w.ctx, other, t.ID, now)
	w.fails("Ack by another key", err, gateway.ErrConflict)
	_, err = w.store.Reject(w.ctx, other, t, "", now)
	w.fails("Reject by another key", err, gateway.ErrConflict)
	_, err = w.store.AckTaken(w.ctx, own, t, now)
	w.works("AckTaken by the holder without a token", err)
	_, err = w.store.AckTaken(w.ctx, other, ticket(got.Items[1]), now)
	w.works("AckTaken by another key with the token", err)
	_, err = w.store.Ack(w.ctx, other, got.Items[2].ID, now.Add(visibility))
	w.works("Ack by another key after the end", err)
}

func extended(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.send(alice, bob)
	by := gateway.Acting{Agent: bob.ID}
	now := w.now()
	item := w.takeOne(bob, now)
	l, err := w.store.Extend(w.ctx, by, ticket(item), now.Add(time.Hour), now)
	w.works("Extend", err)
	w.sameTime("end", l.Until, now.Add(time.Hour))
	same(w, "attempt", l.Attempt, 1)
	same(w, "taken meanwhile", len(w.tryTake(bob, 1, now.Add(time.Hour-time.Second)).Items), 0)
	_, err = w.store.Extend(w.ctx, by, ticket(item), now.Add(2*time.Hour), now.Add(time.Hour))
	w.fails("Extend at the end", err, gateway.ErrStale)
	for what, t := range map[string]gateway.Ticket{"another token": {ID: item.ID, Token: 5},
		"no token": {ID: item.ID}} {
		_, err = w.store.Extend(w.ctx, by, t, now.Add(time.Hour), now)
		w.fails("Extend with "+what, err, gateway.ErrStale)
	}
	_, err = w.store.Extend(w.ctx, gateway.Acting{Agent: alice.ID}, ticket(item), now.Add(time.Hour), now)
	w.fails("Extend by the sender", err, gateway.ErrNotFound)
	w.ack(bob, item.ID)
	_, err = w.store.Extend(w.ctx, by, ticket(item), now.Add(time.Hour), now)
	w.fails("Extend of an acknowledged message", err, gateway.ErrStale)
}

func givenBack(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.send(alice, bob)
	by := gateway.Acting{Agent: bob.ID}
	now := w.now()
	item := w.takeOne(bob, now)
	bell, stop := w.store.Watch(bob.ID)
	defer stop()
	_, err := w.store.GiveBack(w.ctx, by, ticket(item), gateway.GivenBack{Due: now, Reason: "no time"}, now)
	w.works("GiveBack", err)
	w.rings(bell, "bob")
	d := w.read(alice, item.ID).Deliveries[0]
	same(w, "claimed", d.IsClaimed(now), false)
	same(w, "text for the sender", d.ErrorText, "")
	_, err = w.store.GiveBack(w.ctx, by, ticket(item), gateway.GivenBack{Due: now}, now)
	w.fails("GiveBack again", err, gateway.ErrStale)
	next := w.takeOne(bob, now)
	same(w, "attempt", next.Lease.Attempt, 2)
	_, err = w.store.AckTaken(w.ctx, by, ticket(item), now)
	w.fails("AckTaken after it was given back", err, gateway.ErrStale)
}

func rejected(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	by := gateway.Acting{Agent: bob.ID}
	now := w.now()
	item := w.takeOne(bob, now)
	at := now.Add(time.Second)
	mark, err := w.store.Reject(w.ctx, by, ticket(item), "not my work", at)
	w.works("Reject", err)
	same(w, "id", mark.ID, id)
	w.sameTime("time", mark.At, at)
	again, err := w.store.Reject(w.ctx, by, ticket(item), "again", at.Add(time.Hour))
	w.works("Reject again", err)
	w.sameTime("time of the second", again.At, at)
	sameList(w, "inbox", w.inbox(bob), nil)
	d := w.read(alice, id).Deliveries[0]
	same(w, "state", d.State, gateway.Rejected)
	same(w, "code", d.ErrorCode, amtp.CodeAccessDenied)
	same(w, "text", d.ErrorText, "the recipient rejected the message: not my work")
	w.sameTime("Refused", d.Refused, at)
	letters := w.dead(gateway.DeadFilter{})
	same(w, "dead letters", len(letters), 1)
	same(w, "has an id", letters[0].ID > 0 && letters[0].Delivery.ID == letters[0].ID && d.ID == letters[0].ID, true)
	letter, err := w.store.DeadLetter(w.ctx, letters[0].ID)
	w.works("DeadLetter", err)
	same(w, "id of the letter", letter.ID, letters[0].ID)
	p := w.claimOne(gateway.Reports, w.now())
	same(w, "message of the report", p.Envelope.ID, id)
	same(w, "recipients of the report", len(p.Recipients), 1)
	_, err = w.store.Ack(w.ctx, by, id, at)
	w.fails("Ack of a rejected message", err, gateway.ErrNotFound)
	_, err = w.store.Reject(w.ctx, by, gateway.Ticket{ID: amtp.NewMessageID()}, "", at)
	w.fails("Reject of no message", err, gateway.ErrNotFound)
}

func rejectedReport(w *world) {
	bob := w.agent("bob")
	w.post(letter{remote: "mailer-daemon@" + domain, class: gateway.ClassGateway, to: []person{bob}})
	item := w.takeOne(bob, w.now())
	_, err := w.store.Reject(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(item), "", w.now())
	w.works("Reject", err)
	same(w, "reports", len(w.claim(w.now(), gateway.Reports)), 0)
}

func rejectOwes(w *world) {
	bob := w.agent("bob")
	id := w.far("alice@far.example", bob)
	now := w.now()
	_, err := w.store.Reject(w.ctx, gateway.Acting{Agent: bob.ID}, gateway.Ticket{ID: id}, "", now)
	w.works("Reject", err)
	o := w.owedOne("far.example")
	w.sameTime("Refused", o.Refused, now)
	w.sameTime("Acked", o.Acked, time.Time{})
	same(w, "reports", len(w.claim(w.now(), gateway.Reports)), 0)
}

func takingIsPrivate(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob, carol)
	now := w.now()
	item := w.takeOne(bob, now)
	seen := func(what string) {
		r := w.read(carol, id).For(gateway.Reader{Agent: carol.ID})
		s := r.Status(now).Recipients[0]
		same(w, "status "+what, s.Status, amtp.StatusDelivered)
		same(w, "claimed, read, refused or why "+what, s.Claimed || s.Read || s.Refused || s.ErrorMessage != "", false)
	}
	seen("while it is leased")
	w.sender(alice, id, now, true)
	_, err := w.store.Reject(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(item), "no", now)
	w.works("Reject", err)
	seen("after it was rejected")
	w.sender(alice, id, now, false)
}

// sender checks what the sender sees of the first recipient.
func (w *world) sender(p person, id amtp.MessageID, now time.Time, claimed bool) {
	w.Helper()
	r := w.read(p, id)
	same(w, "claimed for the sender", r.Status(now).Recipients[0].Claimed, claimed)
}

func takeTooOften(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	bob.MaxDeliveries = 2
	w.works("UpdateAgent", w.update(w.ctx, bob.Agent))
	sent := w.sendMany(2, alice, bob)
	now := w.now()
	w.takeOne(bob, now)
	now = now.Add(visibility)
	item := w.takeOne(bob, now)
	same(w, "id", item.ID, sent[0])
	same(w, "attempt", item.Lease.Attempt, 2)
	_, err := w.store.GiveBack(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(item),
		gateway.GivenBack{Due: now, Reason: "it is too hard"}, now)
	w.works("GiveBack", err)
	same(w, "the next", w.takeOne(bob, now).ID, sent[1])
	d := w.read(alice, sent[0]).Deliveries[0]
	same(w, "state", d.State, gateway.Expired)
	same(w, "code", d.ErrorCode, amtp.CodeRecipientUnavailable)
	same(w, "text", d.ErrorText,
		"the recipient took the message 2 times and never acknowledged it; its last reason: it is too hard")
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 1)
	same(w, "report", w.claimOne(gateway.Reports, now).Envelope.ID, sent[0])
	_, err = w.store.AckTaken(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(item), now)
	w.fails("AckTaken of the dead letter", err, gateway.ErrStale)
}

func tooOftenOwes(w *world) {
	bob := w.agent("bob")
	bob.MaxDeliveries = 1
	w.works("UpdateAgent", w.update(w.ctx, bob.Agent))
	id := w.far("alice@far.example", bob)
	first := w.now()
	w.takeOne(bob, first)
	same(w, "refused while it is leased", w.owedOne("far.example").Refused.IsZero(), true)
	end := first.Add(visibility)
	same(w, "taken once more", len(w.tryTake(bob, 1, end).Items), 0)
	o := w.owedOne("far.example")
	same(w, "message", o.Message, w.read(bob, id).ID)
	w.sameTime("Read", o.Read, first)
	w.sameTime("Refused", o.Refused, end)
}

func putBack(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	item := w.takeOne(bob, w.now())
	_, err := w.store.Reject(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(item), "", w.now())
	w.works("Reject", err)
	after := w.send(alice, bob)
	bell, stop := w.store.Watch(bob.ID)
	defer stop()
	again := gateway.DeadFilter{IDs: []gateway.DeliveryID{w.dead(gateway.DeadFilter{})[0].ID}}
	n, err := w.store.Redrive(w.ctx, again, w.now())
	w.works("Redrive", err)
	same(w, "redriven", n, 1)
	w.rings(bell, "bob")
	sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{after, id})
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 0)
	same(w, "reports", len(w.claim(w.now(), gateway.Reports)), 0)
	d := w.read(alice, id).Deliveries[0]
	same(w, "state", d.State, gateway.Delivered)
	same(w, "read or refused", !d.Read.IsZero() || !d.Refused.IsZero(), false)
	got := w.tryTake(bob, 2, w.now())
	same(w, "attempt", got.Items[1].Lease.Attempt, 1)
}

func takeByEnded(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.send(alice, bob)
	now := w.now()
	by := bob.by("key_ended")
	_, err := w.store.Take(w.ctx, by, gateway.Take{Max: 1, Until: now.Add(visibility)}, now)
	w.fails("Take", err, gateway.ErrRevoked)
	item := w.takeOne(bob, now)
	_, err = w.store.Extend(w.ctx, by, ticket(item), now.Add(time.Hour), now)
	w.fails("Extend", err, gateway.ErrRevoked)
	_, err = w.store.GiveBack(w.ctx, by, ticket(item), gateway.GivenBack{Due: now}, now)
	w.fails("GiveBack", err, gateway.ErrRevoked)
	_, err = w.store.Reject(w.ctx, by, ticket(item), "", now)
	w.fails("Reject", err, gateway.ErrRevoked)
	_, err = w.store.AckTaken(w.ctx, by, ticket(item), now)
	w.fails("AckTaken", err, gateway.ErrRevoked)
}

func takenAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(3, alice, bob)
	now := w.now()
	first, second := w.takeOne(bob, now), w.takeOne(bob, now)
	_, err := w.store.GiveBack(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(second),
		gateway.GivenBack{Due: now.Add(time.Hour)}, now)
	w.works("GiveBack", err)
	w.restart()
	sameList(w, "taken after the restart", takenIDs(w.tryTake(bob, 3, now)), sent[2:])
	_, err = w.store.AckTaken(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(second), now)
	w.fails("AckTaken of what was given back", err, gateway.ErrStale)
	_, err = w.store.AckTaken(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(first), now)
	w.works("AckTaken", err)
	again := w.takeOne(bob, now.Add(time.Hour))
	same(w, "what returned first", again.ID, sent[2])
	same(w, "attempt", again.Lease.Attempt, 2)
}

// takenAhead takes one message and reads another while the clock is ahead.
func takenAhead(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(2, alice, bob)
	w.hand.Set(10 * days)
	w.look()
	item := w.takeOne(bob, w.now())
	w.markRead(bob, sent[1])
	w.hand.Set(-10 * days)
	w.look()
	same(w, "what was read", w.takeOne(bob, w.now()).ID, sent[1])
	same(w, "taken under the lease", len(w.tryTake(bob, 2, w.now()).Items), 0)
	w.hand.Pass(visibility)
	again := w.tryTake(bob, 2, w.now())
	same(w, "taken after the lease", len(again.Items), 2)
	_, err := w.store.AckTaken(w.ctx, gateway.Acting{Agent: bob.ID}, ticket(item), w.now())
	w.fails("AckTaken by the first holder", err, gateway.ErrStale)
}
