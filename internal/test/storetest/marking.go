package storetest

import (
	"errors"
	"sync"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// marking are the promises about read marks, acknowledgements and counts.
func marking() []promise {
	return []promise{
		{"Depth counts the unread and all", depthCounts},
		{"Depth counts up to limit each", depthIsLimited},
		{"MarkRead returns when that first happened", firstReadMark},
		{"MarkRead is ErrNotFound when it is not in the inbox", readMarkElsewhere},
		{"Ack takes a message out of the inbox for good", ackTakesOut},
		{"Ack concerns its agent only", ackIsPrivate},
		{"a second Ack answers as the first", secondAck},
		{"of many Acks at once all answer the same", acksAtOnce},
		{"Ack is ErrNotFound when the agent never had it", ackOfOthers},
	}
}

// depth checks both counts.
func (w *world) depth(p person, limit, unread, pending int) {
	w.Helper()
	gotUnread, gotPending, err := w.store.Depth(w.ctx, gateway.Acting{Agent: p.ID}, limit)
	if err != nil {
		w.Fatalf("Depth = %v, want no error; agent %s", err, p.Address)
	}
	if gotUnread != unread || gotPending != pending {
		w.Errorf("Depth = %d unread of %d, want %d of %d; limit %d", gotUnread, gotPending, unread, pending, limit)
	}
}

func depthCounts(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	w.depth(bob, 100, 0, 0)
	sent := w.sendMany(5, alice, bob, carol)
	w.depth(bob, 100, 5, 5)
	w.markRead(bob, sent[0])
	w.markRead(bob, sent[1])
	w.depth(bob, 100, 3, 5)
	w.ack(bob, sent[0])
	w.ack(bob, sent[2])
	w.depth(bob, 100, 2, 3)
	w.depth(carol, 100, 5, 5)
}

func depthIsLimited(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(5, alice, bob)
	w.depth(bob, 3, 3, 3)
	for _, id := range sent[:3] {
		w.markRead(bob, id)
	}
	w.depth(bob, 3, 2, 3)
	w.depth(bob, 1, 1, 1)
}

func firstReadMark(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	at := w.now()
	first, err := w.store.MarkRead(w.ctx, gateway.Acting{Agent: bob.ID}, id, at)
	w.works("MarkRead", err)
	same(w, "id of the mark", first.ID, id)
	w.sameTime("time of the mark", first.At, at)
	second := w.markRead(bob, id)
	same(w, "id of the second", second.ID, id)
	w.sameTime("time of the second", second.At, at)
	w.sameTime("ReadAt in the inbox", w.page(bob, wholeInbox).Items[0].ReadAt, at)
}

func readMarkElsewhere(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob)
	token := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	for _, c := range []struct {
		by person
		id amtp.MessageID
	}{{alice, id}, {carol, id}, {alice, token}, {alice, "token"}, {bob, "token"}, {bob, amtp.NewMessageID()}, {bob, ""},
		{person{}, id}} {
		_, err := w.store.MarkRead(w.ctx, gateway.Acting{Agent: c.by.ID}, c.id, w.now())
		w.fails("MarkRead by "+c.by.Address.String()+" of "+string(c.id), err, gateway.ErrNotFound)
	}
	w.depth(bob, 10, 2, 2)
	w.ack(bob, id)
	_, err := w.store.MarkRead(w.ctx, gateway.Acting{Agent: bob.ID}, id, w.now())
	w.fails("MarkRead after the ack", err, gateway.ErrNotFound)
}

func ackTakesOut(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(3, alice, bob)
	delivered := w.read(alice, sent[1]).Deliveries[0].Delivered
	mark := w.ack(bob, sent[1])
	same(w, "id of the mark", mark.ID, sent[1])
	sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{sent[0], sent[2]})
	d := w.read(alice, sent[1]).Deliveries[0]
	same(w, "state", d.State, gateway.Acknowledged)
	w.sameTime("Acked", d.Acked, mark.At)
	w.sameTime("Changed", d.Changed, mark.At)
	w.sameTime("Delivered", d.Delivered, delivered)
	w.ack(bob, sent[0])
	w.ack(bob, sent[2])
	sameList(w, "inbox after all acks", w.inbox(bob), nil)
}

func ackIsPrivate(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob, carol)
	w.ack(bob, id)
	sameList(w, "inbox of carol", w.inbox(carol), []amtp.MessageID{id})
	r := w.read(alice, id)
	same(w, "state for carol", r.Deliveries[1].State, gateway.Delivered)
	same(w, "Acked for carol is zero", r.Deliveries[1].Acked.IsZero(), true)
}

func secondAck(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	first := w.ack(bob, id)
	second := w.ack(bob, id)
	same(w, "id of the second", second.ID, first.ID)
	w.sameTime("time of the second", second.At, first.At)
	w.sameTime("Changed", w.read(alice, id).Deliveries[0].Changed, first.At)
}

func acksAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	var mu sync.Mutex
	times := make(map[int64]bool)
	together(32, func(int) {
		mark, err := w.store.Ack(w.ctx, gateway.Acting{Agent: bob.ID}, id, w.now())
		if err != nil {
			w.Errorf("Ack = %v, want no error", err)
		}
		mu.Lock()
		defer mu.Unlock()
		times[mark.At.UnixMicro()] = true
	})
	same(w, "number of different times", len(times), 1)
	same(w, "time is the stored one", times[w.read(alice, id).Deliveries[0].Acked.UnixMicro()], true)
}

func ackOfOthers(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob)
	w.post(letter{from: alice, to: []person{bob}, id: "token"})
	_, foreign := w.store.Ack(w.ctx, gateway.Acting{Agent: carol.ID}, id, w.now())
	w.fails("Ack of others' message", foreign, gateway.ErrNotFound)
	for _, c := range []struct {
		by person
		id amtp.MessageID
	}{{alice, id}, {alice, "token"}, {bob, "token"}, {carol, "token"}, {carol, amtp.NewMessageID()}, {person{}, id}} {
		_, err := w.store.Ack(w.ctx, gateway.Acting{Agent: c.by.ID}, c.id, w.now())
		if !errors.Is(err, gateway.ErrNotFound) || foreign == nil || err.Error() != foreign.Error() {
			w.Errorf("Ack = %v, want the error for another agent's message: %v; agent %s, id %s", err, foreign,
				c.by.Address, c.id)
		}
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 2)
}
