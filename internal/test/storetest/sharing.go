package storetest

import (
	"fmt"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// claimShare has a flow with large messages before those of another flow.
func claimShare(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for range 3 {
		w.large(alice, 1000)
	}
	w.mail(alice, "a@far.example")
	w.large(bob, 1000)
	size := int64(w.jobs(gateway.JobFilter{})[0].Size)
	now := w.now()
	share := gateway.Share{Bytes: 3*size - 1, From: 1000, Used: map[gateway.Flow]int64{gateway.Flow(alice.ID): size}}
	got := w.turn(gateway.Claiming{Limit: 9, Share: share, Behind: 9}, now)
	same(w, "whose are leased", flowsOf(got.Jobs, alice, bob), "aba")
	same(w, "what was left", got.Left, gateway.Left{Flow: gateway.Flow(alice.ID), Size: int(size)})
	same(w, "needed", got.Needs, 0)
	same(w, "fresh beside it", got.Fresh, true)
	got = w.turn(gateway.Claiming{Limit: 9, Share: share, Bytes: size - 1}, now)
	same(w, "leased of what has its share and is too large", len(got.Jobs), 0)
	same(w, "needed for that", int64(got.Needs), size)
	same(w, "left of it", got.Left, gateway.Left{})
	share.Used[gateway.Flow(alice.ID)] = 2 * size
	got = w.turn(gateway.Claiming{Limit: 9, Share: share}, now)
	same(w, "leased of a flow that has its share", len(got.Jobs), 0)
	same(w, "what was left of it", got.Left.Flow, gateway.Flow(alice.ID))
	for _, j := range w.jobs(gateway.JobFilter{State: gateway.Delivering}) {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now})
	}
	got = w.turn(gateway.Claiming{Limit: 9, Share: share, Part: gateway.Tried}, now.Add(time.Hour))
	same(w, "whose are leased of what was tried", flowsOf(got.Jobs, alice, bob), "ba")
	same(w, "what was left of that", got.Left.Flow, gateway.Flow(alice.ID))
}

// claimNotDue has many flows with messages that were accepted by a clock slightly
// ahead. After them and between them is a flow with due messages.
func claimNotDue(w *world) {
	late := w.now().Add(2 * time.Hour)
	var due person
	for i := range 230 {
		p := w.agent(fmt.Sprintf("agent%d", i))
		a := w.acceptance(letter{from: p, far: []string{"a@far.example"}})
		if i == 3 || i == 220 {
			due = p
		} else {
			a.ReceivedAt = late
		}
		_, err := w.store.Accept(w.ctx, a)
		w.works("Accept", err)
	}
	now := w.now()
	got := w.turn(gateway.Claiming{Limit: 3, Part: gateway.Fresh}, now)
	same(w, "leased at first", len(got.Jobs), 1)
	same(w, "the claim says where it ended", got.Passed != 0, true)
	got = w.turn(gateway.Claiming{Limit: 3, Part: gateway.Fresh, After: got.Passed}, now)
	same(w, "leased behind that", flowsOf(got.Jobs, due), "a")
	got = w.turn(gateway.Claiming{Limit: 300, Part: gateway.Fresh}, late)
	same(w, "leased when all are due", len(got.Jobs), 228)
	same(w, "the claim ended", got.Passed, 0)
}
