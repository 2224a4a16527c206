package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// waiting are the promises about the destinations that have jobs.
func waiting() []promise {
	return []promise{
		{"Waiting lists destinations in the order of their names", waitingInOrder},
		{"the bell rings for what is due at once", workRings},
		{"the bell says all when there were too many", bellSaysAll},
		{"a local message neither rings nor waits", localIsNoWork},
	}
}

func waitingInOrder(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	var want []gateway.Waiting
	for i := range 7 {
		name := gateway.Destination(fmt.Sprintf("d%d.example", i))
		due := w.now()
		for k := range 3 {
			a := w.acceptance(letter{from: alice, far: []string{"a@" + string(name)}})
			a.ReceivedAt = due.Add(time.Duration(2-k) * time.Microsecond)
			_, err := w.store.Accept(w.ctx, a)
			w.works("Accept", err)
		}
		want = append(want, gateway.Waiting{Destination: name, Due: due})
	}
	push := w.acceptance(letter{from: alice, to: []person{bob}})
	_, err := w.store.Accept(w.ctx, push)
	w.works("Accept", err)
	want = append(want, gateway.Waiting{Destination: gateway.PushTo(bob.ID), Due: push.ReceivedAt})
	w.waiting("all", "", 100, want)
	w.waiting("some", "", 3, want[:3])
	w.waiting("some behind", want[2].Destination, 3, want[3:6])
	w.waiting("all behind", "d2", 100, want[2:])
	w.waiting("behind all", want[7].Destination, 3, nil)
	now := w.now()
	j := w.claim(now, "d0.example")
	want[0].Due = w.jobs(gateway.JobFilter{Destination: "d0.example"})[0].Due
	w.waiting("one leased", "", 1, want[:1])
	for _, j := range j {
		w.works("Cancel", w.store.Cancel(w.ctx, j.ID, j.Lease))
	}
	w.waiting("one done", "", 2, want[1:3])
}

func (w *world) waiting(what string, after gateway.Destination, limit int, want []gateway.Waiting) {
	w.Helper()
	got, err := w.store.Waiting(w.ctx, after, limit)
	w.works("Waiting", err)
	same(w, "destinations of "+what, len(got), len(want))
	for i := range min(len(got), len(want)) {
		same(w, "destination of "+what, got[i].Destination, want[i].Destination)
		w.sameTime("due of "+what+" "+string(want[i].Destination), got[i].Due, want[i].Due)
	}
}

func workRings(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@b.example")
	w.mail(alice, "a@a.example", "a@b.example")
	same(w, "rang", w.rang(), "a.example b.example")
	same(w, "rang again", w.rang(), "")
	for _, j := range w.claim(w.now(), "a.example", "b.example") {
		s := gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: w.now()} // at once
		if j.Destination == "b.example" {
			s.Due = s.Now.Add(time.Minute)
		}
		w.settle(s)
	}
	same(w, "rang after Settle", w.rang(), "a.example")
}

func bellSaysAll(w *world) {
	alice := w.agent("alice")
	var to []string
	for i := range 1024 {
		to = append(to, fmt.Sprintf("a@d%d.example", i))
	}
	for part := range slices.Chunk(to, 100) {
		w.mail(alice, part...)
	}
	list, all := w.store.Work().Take()
	same(w, "destinations", len(list), len(to))
	same(w, "all", all, false)
	for part := range slices.Chunk(append(to, "a@more.example"), 100) {
		w.mail(alice, part...)
	}
	list, all = w.store.Work().Take()
	same(w, "destinations of too many", len(list), 0)
	same(w, "all of too many", all, true)
	w.mail(alice, "a@b.example")
	list, all = w.store.Work().Take()
	sameList(w, "destinations after that", list, []gateway.Destination{"b.example"})
	same(w, "all after that", all, false)
}

func localIsNoWork(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.send(alice, bob)
	same(w, "rang", w.rang(), "")
	w.waiting("nothing", "", 10, nil)
}
