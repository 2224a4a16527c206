package storetest

import (
	"time"

	"github.com/amtp-go/amtp"
)

// watching are the promises about the bell.
func watching() []promise {
	return []promise{
		{"the bell rings after a message entered the inbox", bellRings},
		{"what rang is in the inbox", bellRingsAfterCommit},
		{"a recipient that a retry adds is rung for", bellRingsForAdded},
		{"every watch is rung, for its own agent only", bellsAreOwn},
		{"the channel has room for one ring", bellHasOneRing},
		{"a watch that was stopped does not ring", bellStops},
	}
}

// patience is how long a ring may take. Only a test that fails waits that long.
const patience = 5 * time.Minute

func (w *world) rings(bell <-chan struct{}, what string) {
	w.Helper()
	select {
	case <-bell:
	case <-time.After(patience):
		w.Fatalf("the bell of %s is silent, want a ring", what)
	}
}

// silent checks that a bell has not rung. It is for bells that could only have rung
// already.
func (w *world) silent(bell <-chan struct{}, what string) {
	w.Helper()
	select {
	case <-bell:
		w.Errorf("the bell of %s rang, want silence", what)
	default:
	}
}

func bellRings(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	bell, stop := w.store.Watch(bob.ID)
	defer stop()
	w.silent(bell, "bob before anything was sent")
	for range 3 {
		w.send(alice, bob)
		w.rings(bell, "bob")
	}
}

func bellRingsAfterCommit(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	bell, stop := w.store.Watch(bob.ID)
	defer stop()
	for n := 1; n <= 50; n++ {
		sent := make(chan amtp.MessageID, 1)
		go func() {
			defer close(sent)
			got, err := w.try(letter{from: alice, to: []person{bob}})
			if err != nil {
				w.Errorf("Accept = %v, want no error", err)
			}
			sent <- got.ID
		}()
		// A store that may have missed a message rings without need. A store that rang
		// before the message was there would not ring again.
		for held := n - 1; held != n; {
			w.rings(bell, "bob")
			if held = len(w.inbox(bob)); held != n && held != n-1 {
				w.Fatalf("messages in the inbox when message %d was sent = %d", n, held)
			}
		}
		<-sent
	}
}

func bellRingsForAdded(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "once"}
	w.post(l)
	bell, stop := w.store.Watch(carol.ID)
	defer stop()
	l.to = []person{bob, carol}
	w.post(l)
	w.rings(bell, "carol")
}

func bellsAreOwn(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first, stopFirst := w.store.Watch(bob.ID)
	defer stopFirst()
	second, stopSecond := w.store.Watch(bob.ID)
	defer stopSecond()
	other, stopOther := w.store.Watch(carol.ID)
	defer stopOther()
	w.send(alice, bob)
	w.rings(first, "bob's first watch")
	w.rings(second, "bob's second watch")
	w.silent(other, "carol")
	w.send(alice, bob, carol)
	w.rings(other, "carol")
}

func bellHasOneRing(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	bell, stop := w.store.Watch(bob.ID)
	defer stop()
	same(w, "room of the channel", cap(bell), 1)
	w.sendMany(5, alice, bob)
	w.rings(bell, "bob")
	w.send(alice, bob)
	w.rings(bell, "bob again")
}

func bellStops(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	stopped, stop := w.store.Watch(bob.ID)
	heard, stopHeard := w.store.Watch(bob.ID)
	defer stopHeard()
	stop()
	w.send(alice, bob)
	w.rings(heard, "bob's other watch")
	w.silent(stopped, "bob's stopped watch")
}
