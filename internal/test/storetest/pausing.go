package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// pausing are the promises about a store that accepts nothing.
func pausing() []promise {
	return []promise{
		{"every Accept fails, also of a retry", pausedAccept},
		{"all else goes on", pausedOthers},
		{"the time of the first Pause stays", pausedSince},
		{"Resume is no error when there is no pause", resumeTwice},
	}
}

func pausedAccept(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.works("Pause", w.store.Pause(w.ctx, w.now()))
	_, err := w.try(l)
	w.fails("Accept of a retry", err, gateway.ErrPaused)
	_, err = w.try(letter{from: alice, to: []person{bob}})
	w.fails("Accept", err, gateway.ErrPaused)
	sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{first.ID})
	w.works("Resume", w.store.Resume(w.ctx))
	w.isRetry(first, w.post(l))
}

func pausedOthers(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.works("Pause", w.store.Pause(w.ctx, w.now()))
	w.markRead(bob, id)
	w.ack(bob, id)
	w.addKey(alice, "second", false)
	w.remove(w.agent("carol"))
	w.works("Probe", w.store.Probe(w.ctx, w.now()))
	same(w, "status", w.read(alice, id).Deliveries[0].State, gateway.Acknowledged)
}

func pausedSince(w *world) {
	same(w, "not paused", w.store.Paused().IsZero(), true)
	first := w.now()
	w.works("Pause", w.store.Pause(w.ctx, first))
	w.works("Pause", w.store.Pause(w.ctx, w.now()))
	w.sameTime("paused since", w.store.Paused(), first)
}

func resumeTwice(w *world) {
	w.works("Resume", w.store.Resume(w.ctx))
	w.works("Pause", w.store.Pause(w.ctx, w.now()))
	w.works("Resume", w.store.Resume(w.ctx))
	w.works("Resume", w.store.Resume(w.ctx))
	same(w, "not paused", w.store.Paused().IsZero(), true)
}

// pauseAfterRestart is one of the promises about what a store remembers.
func pauseAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	since := w.now()
	w.works("Pause", w.store.Pause(w.ctx, since))
	w.restart()
	w.sameTime("paused since", w.store.Paused(), since)
	_, err := w.try(letter{from: alice, to: []person{bob}})
	w.fails("Accept", err, gateway.ErrPaused)
	w.works("Resume", w.store.Resume(w.ctx))
	w.restart()
	same(w, "not paused", w.store.Paused().IsZero(), true)
	w.send(alice, bob)
}
