package storetest

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// living are the promises about the store as a whole.
func living() []promise {
	return []promise{
		{"Probe writes a row and reads it back", probe},
		{"Now is the time, and goes on", nowGoesOn},
		{"Failed is open while the store is trusted", failedIsOpen},
		{"after Close every method that does I/O is ErrClosed", closed},
		{"Close may be called again", closedTwice},
		{"a write that fails changes nothing and fails alone", failsAlone},
		{"a context ends the waiting of the caller, a write is whole or not at all", contexts},
		{"a context ends the waiting in every method that writes", contextsElsewhere},
		{"a context that has ended stops no other's write", contextsOfOthers},
	}
}

func probe(w *world) {
	for range 3 {
		w.works("Probe", w.store.Probe(w.ctx, w.now()))
	}
	w.works("Probe with a clock that went back", w.store.Probe(w.ctx, morning))
}

func nowGoesOn(w *world) {
	before := time.Now()
	first := w.store.Now()
	if first.Before(before.Add(-30*time.Second)) || first.After(time.Now().Add(30*time.Second)) {
		w.Errorf("Now = %v, want the time of this machine within half a minute, which was %v", first, before)
	}
	if second := w.store.Now(); second.Before(first.Add(-time.Millisecond)) {
		w.Errorf("Now = %v, want it not before %v", second, first)
	}
}

func failedIsOpen(w *world) {
	w.send(w.agent("alice"), w.agent("bob"))
	select {
	case <-w.store.Failed():
		w.Errorf("Failed is closed, want it open")
	default:
	}
}

func closed(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	a := w.acceptance(letter{from: alice, to: []person{bob}})
	w.works("Close", w.store.Close())
	_, accept := w.store.Accept(w.ctx, a)
	_, message := w.store.Message(w.ctx, gateway.Reader{Agent: bob.ID}, id)
	_, messages := w.store.Messages(w.ctx, gateway.Reader{Agent: bob.ID}, gateway.MessageFilter{Limit: 1})
	_, inbox := w.store.Inbox(w.ctx, gateway.Acting{Agent: bob.ID}, wholeInbox)
	_, _, depth := w.store.Depth(w.ctx, gateway.Acting{Agent: bob.ID}, 1)
	_, mark := w.store.MarkRead(w.ctx, gateway.Acting{Agent: bob.ID}, id, w.now())
	_, ack := w.store.Ack(w.ctx, gateway.Acting{Agent: bob.ID}, id, w.now())
	_, register := w.register("carol")
	_, key := w.store.AddKey(w.ctx, gateway.Acting{}, newKey("late", bob.ID, w.now()), false)
	_, claim := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: "far.example", Limit: 1}}, w.now(), w.now())
	_, parcel := w.store.Parcel(w.ctx, 1, 1)
	_, waiting := w.store.Waiting(w.ctx, "", 1)
	_, expire := w.store.Expire(w.ctx, w.now(), w.now(), 1, func(gateway.Job) bool { return true })
	_, jobs := w.store.JobsPage(w.ctx, gateway.JobFilter{})
	_, dead := w.store.DeadLetters(w.ctx, gateway.DeadFilter{})
	_, letter := w.store.DeadLetter(w.ctx, 1)
	_, redrive := w.store.Redrive(w.ctx, gateway.DeadFilter{}, w.now())
	_, purge := w.store.PurgeDead(w.ctx, gateway.DeadFilter{})
	_, peer := w.store.SenderDomain(w.ctx, "far.example")
	_, peers := w.store.SenderDomainsPage(w.ctx, "", 1)
	_, documents := w.store.Documents(w.ctx, "signing")
	for method, err := range map[string]error{
		"Claim": claim, "Parcel": parcel, "Waiting": waiting, "Expire": expire, "JobsPage": jobs, "DeadLetters": dead,
		"DeadLetter": letter, "Redrive": redrive, "PurgeDead": purge, "SenderDomain": peer, "SenderDomainsPage": peers,
		"Documents": documents, "ChangeDocuments": w.put("signing"),
		"NoteSenderDomain": w.store.NoteSenderDomain(w.ctx, "far.example", true, w.now()),
		"Settle":           w.store.Settle(w.ctx, gateway.Settlement{Job: 1, Fence: 1}),
		"MakeDue":          w.store.MakeDue(w.ctx, 1, w.now()), "Cancel": w.store.Cancel(w.ctx, 1, w.now()),
	} {
		w.fails(method+" after Close", err, gateway.ErrClosed)
	}
	for method, err := range map[string]error{
		"Accept": accept, "Message": message, "Messages": messages, "Inbox": inbox, "Depth": depth, "MarkRead": mark,
		"Ack": ack, "AddAgent": register, "AddKey": key, "UpdateAgent": w.update(w.ctx, bob.Agent),
		"RemoveAgent": w.store.RemoveAgent(w.ctx, gateway.Acting{}, bob.ID, w.now()),
		"RemoveKey":   w.store.RemoveKey(w.ctx, gateway.Acting{}, bob.ID, bob.key.ID),
		"Probe":       w.store.Probe(w.ctx, w.now()),
	} {
		w.fails(method+" after Close", err, gateway.ErrClosed)
	}
}

func closedTwice(w *world) {
	w.works("Close", w.store.Close())
	w.works("Close again", w.store.Close())
}

// failsAlone adds keys that exist already, which every store must refuse, while
// messages are accepted.
func failsAlone(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	got := make([]attempt, 80)
	together(len(got), func(i int) {
		if i%4 == 0 {
			if _, err := w.store.AddKey(w.ctx, gateway.Acting{}, alice.key, true); err == nil {
				w.Errorf("AddKey of a key that exists = no error, want one")
			}
			return
		}
		got[i].Accepted, got[i].err = w.try(letter{from: alice, to: []person{bob}, key: "k" + strconv.Itoa(i),
			text: strconv.Itoa(i)})
		w.works("Accept", got[i].err)
	})
	same(w, "messages in the inbox", len(w.inbox(bob)), 60)
	for i, a := range got {
		if i%4 != 0 {
			again, err := w.try(letter{from: alice, to: []person{bob}, key: "k" + strconv.Itoa(i),
				text: strconv.Itoa(i)})
			w.works("Accept again", err)
			same(w, "id of the retry", again.ID, a.ID)
		}
	}
	w.owns(alice, alice.key)
	w.keys(alice, alice.key.ID)
}

// contexts cancels a write at every moment. A caller that got no answer repeats it.
func contexts(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	const n = 120
	all := make([]gateway.Acceptance, n)
	for i := range all {
		all[i] = w.acceptance(letter{from: alice, to: []person{bob}, key: "k" + strconv.Itoa(i), text: strconv.Itoa(i)})
	}
	together(n, func(i int) {
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		go cancel()
		_, err := w.store.Accept(ctx, all[i])
		w.cancelled("Accept", err)
	})
	for i := range all {
		_, err := w.store.Accept(w.ctx, all[i])
		w.works("Accept of the retry", err)
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), n)
}

func (w *world) cancelled(method string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		w.Errorf("%s = %v, want no error or that of the context", method, err)
	}
}

// contextsElsewhere cancels every method that writes while the store works on it. The
// race detector finds a store that still writes into values it has returned.
func contextsElsewhere(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	const rounds = 15
	var acts []func()
	for i := range rounds {
		far := "d" + strconv.Itoa(i) + ".example"
		w.mail(alice, "a@x"+far)
		leased := w.claimOne(gateway.Destination("x"+far), w.now())
		w.mail(alice, "a@"+far)
		waits := w.oneJob(gateway.Destination(far)).ID
		ack, mark := w.send(alice, bob), w.send(alice, bob)
		short := w.agent("short" + strconv.Itoa(i))
		w.addKey(bob, "old"+strconv.Itoa(i), false)
		now := w.now()
		added := gateway.Agent{Address: w.address("added" + strconv.Itoa(i) + "@" + domain), CreatedAt: now,
			LastActive: now}
		first, more := newKey("first"+strconv.Itoa(i), 0, now), newKey("more"+strconv.Itoa(i), alice.ID, now)
		acts = append(acts,
			func() { _, err := w.store.Ack(ctx, gateway.Acting{Agent: bob.ID}, ack, now); w.cancelled("Ack", err) },
			func() {
				_, err := w.store.MarkRead(ctx, gateway.Acting{Agent: bob.ID}, mark, now)
				w.cancelled("MarkRead", err)
			},
			func() { _, err := w.store.AddAgent(ctx, added, first); w.cancelled("AddAgent", err) },
			func() { _, err := w.store.AddKey(ctx, gateway.Acting{}, more, true); w.cancelled("AddKey", err) },
			func() {
				w.cancelled("RemoveKey", w.store.RemoveKey(ctx, gateway.Acting{}, bob.ID, "key_old"+strconv.Itoa(i)))
			},
			func() { w.cancelled("RemoveAgent", w.store.RemoveAgent(ctx, gateway.Acting{}, short.ID, now)) },
			func() { w.cancelled("UpdateAgent", w.update(ctx, bob.Agent)) },
			func() {
				_, err := w.store.Claim(ctx, []gateway.Claiming{{Destination: gateway.Destination(far), Limit: 1}}, now,
					now.Add(leaseTime))
				w.cancelled("Claim", err)
			},
			func() {
				w.cancelled("Settle", w.store.Settle(ctx,
					gateway.Settlement{Job: leased.ID, Fence: leased.Fence, Now: now, Due: now}))
			},
			func() { _ = w.store.MakeDue(ctx, waits, now) }, // leased or not, depending on the moment
			func() { _, err := w.store.Expire(ctx, now, now, 5, nobody); w.cancelled("Expire", err) },
			func() { _, err := w.store.Redrive(ctx, gateway.DeadFilter{}, now); w.cancelled("Redrive", err) },
			func() { w.cancelled("NoteSenderDomain", w.store.NoteSenderDomain(ctx, amtp.Domain(far), true, now)) },
			func() {
				w.cancelled("ChangeDocuments", w.store.ChangeDocuments(ctx, far,
					func(list []gateway.Document) ([]gateway.Document, error) { return list, nil }))
			},
			func() { w.cancelled("Probe", w.store.Probe(ctx, now)) },
		)
	}
	together(len(acts), func(i int) { acts[i]() })
	w.works("Probe", w.store.Probe(w.ctx, w.now()))
}

func nobody(gateway.Job) bool { return false }

func contextsOfOthers(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	dead, cancel := context.WithCancel(w.ctx)
	cancel()
	sent := make([]bool, 60)
	together(len(sent), func(i int) {
		a := w.acceptance(letter{from: alice, to: []person{bob}, text: strconv.Itoa(i)})
		if i%2 == 0 {
			_, _ = w.store.Accept(dead, a) // stored or not, depending on the moment
			return
		}
		if _, err := w.store.Accept(w.ctx, a); err != nil {
			w.Errorf("Accept = %v, want no error", err)
		}
		sent[i] = true
	})
	if got := len(w.inbox(bob)); got < len(sent)/2 {
		w.Errorf("messages in the inbox = %d, want at least %d", got, len(sent)/2)
	}
	same(w, "last one was sent", sent[len(sent)-1], true)
}
