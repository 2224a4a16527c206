package storetest

import (
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// holders are the promises about leases whose holders may no longer act.
func holders() []promise {
	return []promise{
		{"a lease ends with the membership of its holder", leaseOfLeaver},
		{"a lease ends when the agent of its holder is removed", leaseOfRemoved},
		{"a lease in a mailbox ends with the key of the member", leaseOfMemberKey},
		{"a lease ends with the key that holds it", leaseOfKey},
		{"a lease ends with a key that is replaced", leaseOfReplacedKey},
		{"a lease that is given while its key ends does not outlive it", leaseRace},
	}
}

// farAhead is the end of a lease that lives by the times of these promises and by the
// store's own clock, which may be years ahead of them.
func farAhead(now time.Time) time.Time { return now.Add(10 * 365 * 24 * time.Hour) }

// leaseEnds checks that a message which a key holds returns when the key or its right ends.
// stays acts in the inbox for another holder, who keeps its own lease.
func (w *world) leaseEnds(inbox person, holder, stays string, end func() error) {
	w.Helper()
	writer := w.agent("writer")
	id, kept := w.send(writer, inbox), w.send(writer, inbox)
	now := w.now()
	take := gateway.Take{Max: 1, Until: farAhead(now)}
	held := w.takeBy(inbox.by(holder), take, now).Items[0]
	same(w, "taken", held.ID, id)
	other := w.takeBy(inbox.by(stays), take, now).Items[0]
	same(w, "taken by the other", other.ID, kept)
	_, err := w.store.Ack(w.ctx, inbox.by(stays), id, now)
	w.fails("Ack while the lease lives", err, gateway.ErrConflict)
	bell, stop := w.store.Watch(inbox.ID)
	defer stop()
	w.works("the end", end())
	w.rings(bell, inbox.Address.Local())
	again := w.takeBy(inbox.by(stays), take, now)
	sameList(w, "taken again", takenIDs(again), []amtp.MessageID{id})
	_, err = w.store.AckTaken(w.ctx, inbox.by(stays), ticket(held), now)
	w.fails("AckTaken with the token of the lease that ended", err, gateway.ErrStale)
	_, err = w.store.AckTaken(w.ctx, inbox.by(stays), ticket(other), now)
	w.works("AckTaken of what the other holds", err)
	_, err = w.store.Ack(w.ctx, inbox.by(stays), id, now)
	w.works("Ack", err)
}

func leaseOfLeaver(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	support := w.shared(gateway.SharedMailbox, "support", alice, bob)
	w.leaseEnds(support, bob.key.ID, alice.key.ID, func() error {
		_, err := w.store.UpdateAgent(w.ctx, gateway.Acting{}, support.ID, func(a *gateway.Agent) error {
			a.Members = []gateway.AgentID{alice.ID}
			return nil
		})
		return err
	})
}

func leaseOfRemoved(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	support := w.shared(gateway.SharedMailbox, "support", alice, bob)
	w.leaseEnds(support, bob.key.ID, alice.key.ID, func() error {
		return w.store.RemoveAgent(w.ctx, gateway.Acting{}, bob.ID, w.now())
	})
}

func leaseOfMemberKey(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	support := w.shared(gateway.SharedMailbox, "support", alice, bob)
	w.leaseEnds(support, bob.key.ID, alice.key.ID, func() error {
		return w.store.RemoveKey(w.ctx, gateway.Acting{}, bob.ID, bob.key.ID)
	})
}

// second gives the person a second key.
func (w *world) second(p person) gateway.Key {
	w.Helper()
	k := newKey("second", p.ID, w.now())
	_, err := w.store.AddKey(w.ctx, gateway.Acting{}, k, false)
	w.works("AddKey", err)
	return k
}

func leaseOfKey(w *world) {
	bob := w.agent("bob")
	stolen := w.second(bob)
	w.leaseEnds(bob, stolen.ID, bob.key.ID, func() error {
		return w.store.RemoveKey(w.ctx, gateway.Acting{}, bob.ID, stolen.ID)
	})
}

func leaseOfReplacedKey(w *world) {
	bob := w.agent("bob")
	id := w.send(w.agent("alice"), bob)
	now := w.now()
	take := gateway.Take{Max: 1, Until: farAhead(now)}
	same(w, "taken", len(w.takeBy(bob.by(bob.key.ID), take, now).Items), 1)
	fresh := newKey("fresh", bob.ID, w.now())
	ended, err := w.store.AddKey(w.ctx, gateway.Acting{}, fresh, true)
	w.works("AddKey", err)
	same(w, "ended", ended, 1)
	sameList(w, "taken again", takenIDs(w.takeBy(bob.by(fresh.ID), take, now)), []amtp.MessageID{id})
}

// leaseRace takes a message while the key of the taker ends. Either the call is refused, or
// its lease ends.
func leaseRace(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for i := range 20 {
		k := newKey("raced"+strconv.Itoa(i), bob.ID, w.now())
		_, err := w.store.AddKey(w.ctx, gateway.Acting{}, k, false)
		w.works("AddKey", err)
		id := w.send(alice, bob)
		now := w.now()
		take := gateway.Take{Max: 1, Until: farAhead(now)}
		var took, ended error
		together(2, func(n int) {
			if n == 0 {
				_, took = w.store.Take(w.ctx, bob.by(k.ID), take, now)
			} else {
				ended = w.store.RemoveKey(w.ctx, gateway.Acting{}, bob.ID, k.ID)
			}
		})
		w.works("RemoveKey", ended)
		if took != nil {
			w.fails("Take", took, gateway.ErrRevoked)
		}
		_, err = w.store.Ack(w.ctx, bob.by(bob.key.ID), id, now)
		w.works("Ack by the owner", err)
	}
}
