package storetest

import "time"

// keptAsLongUnseen: a jump is stored no later than the first write after it, whoever
// checks the clock.
func keptAsLongUnseen(w *world) {
	const by = 400 * days
	w.send(w.agent("first"), w.agent("second"))
	w.look()
	w.hand.Set(-by)
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.hand.Pass(30 * time.Second)
	w.works("Close", w.store.Close())
	w.hand.Set(by)
	w.store = w.reopen()
	w.newest(alice, bob)
	w.passes(25 * time.Hour)
	w.keeps(alice, bob, "by a clock at which nobody looked", l, first, days)
}

func acknowledgedUnseen(w *world) {
	const by = 400 * days
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.newest(alice, bob)
	w.look()
	w.hand.Set(-by)
	w.ack(bob, id)
	w.hand.Pass(30 * time.Second)
	w.works("Close", w.store.Close())
	w.hand.Set(by)
	w.store = w.reopen()
	w.passes(25 * time.Hour)
	same(w, "bodies that go before their time", w.purge(keep, w.now()).Bodies, 0)
	w.passes(keep.Acknowledged)
	same(w, "bodies that go after it", w.purge(keep, w.now()).Bodies, 1)
}
