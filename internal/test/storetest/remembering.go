package storetest

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// remembering are the promises about a store that was closed and opened again.
func remembering() []promise {
	return []promise{
		{"everything is as it was", asItWas},
		{"retries are recognised", retriesAfterRestart},
		{"a second ack has the first time", marksAfterRestart},
		{"replies find their threads", threadsAfterRestart},
		{"deleted agents and keys stay deleted", deletedAfterRestart},
		{"a pause lasts", pauseAfterRestart},
		{"a cursor misses nothing, even when all was acknowledged", cursorAfterRestart},
		{"the id of an agent is never used again", agentIDsAfterRestart},
		{"who was active is known to the minute", activityAfterRestart},
		{"what waited waits", jobsAfterRestart},
		{"a lease ends with the process that had it", leasesAfterRestart},
		{"what was settled stays settled", settledAfterRestart},
		{"dead letters and reports stay", deadAfterRestart},
		{"the id of a job is never used again", jobIDsAfterRestart},
		{"peers are remembered", peersAfterRestart},
		{"documents are remembered", documentsAfterRestart},
		{"an agent's mode and target are remembered", targetAfterRestart},
		{"agents stay where they were moved", readdressAfterRestart},
		{"what was answered while the store was closed is there", closedWhileWriting},
		{"the search index goes on where it was", indexAfterRestart},
		{"the purge remembers where it stands", purgeAfterRestart},
		{"leases on messages in an inbox last", takenAfterRestart},
	}
}

// snapshot returns everything that can be read, with a line for each thing.
func (w *world) snapshot(people ...person) []string {
	w.Helper()
	var lines []string
	add := func(what string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			w.Fatalf("Marshal = %v, want no error; %s", err, what)
		}
		lines = append(lines, what+" "+string(b))
	}
	for _, r := range w.listBy(gateway.Reader{Everyone: true}, gateway.MessageFilter{Limit: 1000}).Messages {
		add("listed", r)
		whole, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, r.ID)
		w.works("Message", err)
		add("message", whole)
	}
	for _, a := range w.store.Agents(w.ctx) {
		add("agent", a)
	}
	for _, p := range people {
		add("inbox of "+p.Address.String(), w.page(p, wholeInbox))
		keys, err := w.store.Keys(w.ctx, p.ID)
		w.works("Keys", err)
		add("keys of "+p.Address.String(), keys)
	}
	return lines
}

// sameAfterRestart checks that everything that can be read is the same after a restart.
func (w *world) sameAfterRestart(people ...person) {
	w.Helper()
	before := w.snapshot(people...)
	w.restart()
	after := w.snapshot(people...)
	same(w, "number of things after the restart", len(after), len(before))
	for i := range min(len(before), len(after)) {
		if after[i] != before[i] {
			w.Errorf("after the restart = %s, want %s", after[i], before[i])
			return
		}
	}
}

func asItWas(w *world) {
	alice, bob, carol := w.agent("Alice"), w.agent("bob"), w.agent("carol")
	first := w.post(letter{from: alice, to: []person{carol, bob}, id: "token", key: "k"}).ID
	second := w.reply(first, bob, alice, carol)
	w.sameAfterRestart(alice, bob, carol)
	w.ack(carol, first)
	w.markRead(bob, first)
	w.post(letter{remote: "Peer@far.example", class: gateway.ClassAnonymous, to: []person{bob},
		doc: ` { "sender":"peer@far.example",
		"recipients":["bob@shop.example"], "payload":[1.0,9007199254740993,"\u00fc"], "subject":"\u00fc" } `})
	w.reply(second, alice, bob)
	w.reply("elsewhere", alice, carol)
	w.remove(carol)
	w.addKey(alice, "second", false)
	bob.Description, bob.Capabilities = "new", []string{"x", "y"}
	w.works("UpdateAgent", w.update(w.ctx, bob.Agent))
	w.sameAfterRestart(alice, bob, carol)
	w.sameAfterRestart(alice, bob, carol)
	same(w, "id behind the alias", w.read(alice, "token").ID, first)
}

func retriesAfterRestart(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	letters := []letter{
		{from: alice, key: "k1"}, {from: alice, id: "token"}, {from: alice, id: amtp.NewMessageID()},
		{from: alice, key: "k1", class: gateway.ClassAnonymous},
		{from: alice, id: "token", class: gateway.ClassAnonymous},
		{remote: "peer@far.example", key: "k1", id: "token", class: gateway.ClassDomain},
	}
	var first []gateway.Accepted
	for i := range letters {
		letters[i].to, letters[i].text = []person{bob}, "letter "+strconv.Itoa(i)
		first = append(first, w.post(letters[i]))
		if i%2 == 0 {
			w.ack(bob, first[i].ID)
		}
	}
	box := w.inbox(bob)
	w.restart()
	for i, l := range letters {
		w.isRetry(first[i], w.post(l))
	}
	sameList(w, "inbox", w.inbox(bob), box)
	_, err := w.try(letter{from: alice, to: []person{carol}, key: "k1", text: "other"})
	w.fails("Accept of other content", err, gateway.ErrReused)
	letters[0].to = []person{bob, carol}
	w.post(letters[0])
	sameList(w, "inbox of carol", w.inbox(carol), []amtp.MessageID{first[0].ID})
}

func marksAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	acked, marked := w.send(alice, bob), w.send(alice, bob)
	firstAck, firstMark := w.ack(bob, acked), w.markRead(bob, marked)
	w.restart()
	w.sameTime("second ack", w.ack(bob, acked).At, firstAck.At)
	w.sameTime("second mark", w.markRead(bob, marked).At, firstMark.At)
	sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{marked})
}

func threadsAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	second := w.reply(first, bob, alice)
	w.restart()
	w.threadIn(bob, w.reply(second, alice, bob), first)
	w.threadIn(alice, w.reply("elsewhere", bob, alice), "elsewhere")
	same(w, "thread of a reply to the alias", w.read(alice, w.reply("token", alice, bob)).Thread, first)
}

func deletedAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second, _ := w.addKey(alice, "second", false)
	w.works("RemoveKey", w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, alice.key.ID))
	w.send(alice, bob)
	w.remove(bob)
	w.restart()
	w.noOwner("the removed key", alice.key.Hash)
	w.owns(alice, second)
	w.noOwner("the removed agent's key", bob.key.Hash)
	_, err := w.store.AgentNamed(w.ctx, bob.Address)
	w.fails("AgentNamed", err, gateway.ErrNotFound)
	_, err = w.try(letter{from: alice, to: []person{bob}})
	w.fails("Accept for a deleted recipient", err, gateway.ErrNotFound)
	later := w.agent("bob")
	sameList(w, "inbox of the namesake", w.inbox(later), nil)
}

func cursorAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, id := range w.sendMany(3, alice, bob) {
		w.ack(bob, id)
	}
	last := w.send(alice, bob)
	f := wholeInbox
	f.After = w.page(bob, f).Next
	w.ack(bob, last)
	w.restart()
	id := w.send(alice, bob)
	sameList(w, "inbox behind the cursor", w.pageIDs(bob, f), []amtp.MessageID{id})
}

func agentIDsAfterRestart(w *world) {
	seen := make(map[gateway.AgentID]bool)
	for range 3 {
		for _, name := range []string{"alice", "bob"} {
			p := w.agent(name)
			if seen[p.ID] {
				w.Errorf("id of a new agent = %d, want one that no agent had", p.ID)
			}
			seen[p.ID] = true
			w.remove(p)
		}
		w.restart()
	}
}

func activityAfterRestart(w *world) {
	alice := w.agent("alice")
	now := morning.Add(100 * time.Hour)
	_, _, err := w.store.KeyOwner(w.ctx, alice.key.Hash, now)
	w.works("KeyOwner", err)
	w.restart()
	got, err := w.store.AgentNamed(w.ctx, alice.Address)
	w.works("AgentNamed", err)
	w.toTheMinute("LastActive", got.LastActive, now)
	keys, err := w.store.Keys(w.ctx, alice.ID)
	w.works("Keys", err)
	w.toTheMinute("LastUsed", keys[0].LastUsed, now)
}

// closedWhileWriting closes the store during writes. A message whose Accept succeeded
// is there, and one whose Accept failed can be repeated.
func closedWhileWriting(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	const n = 200
	all := make([]gateway.Acceptance, n)
	for i := range all {
		all[i] = w.acceptance(letter{from: alice, to: []person{bob}, key: "k" + strconv.Itoa(i), text: strconv.Itoa(i)})
	}
	answers := make([]attempt, n)
	together(n, func(i int) {
		if i == n/2 {
			if err := w.store.Close(); err != nil {
				w.Errorf("Close = %v, want no error", err)
			}
		}
		answers[i].Accepted, answers[i].err = w.store.Accept(w.ctx, all[i])
	})
	w.store = w.reopen()
	stored := make(map[amtp.MessageID]bool)
	for _, id := range w.inbox(bob) {
		stored[id] = true
	}
	for i, a := range answers {
		if a.err == nil && !stored[a.ID] {
			w.Errorf("message %s was accepted and is gone, want it in the inbox", a.ID)
		}
		if a.err != nil && !errors.Is(a.err, gateway.ErrClosed) {
			w.Errorf("Accept while closing = %v, want no error or %q", a.err, gateway.ErrClosed)
		}
		if _, err := w.store.Accept(w.ctx, all[i]); err != nil {
			w.Errorf("Accept again = %v, want no error", err)
		}
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), n)
}

func purgeAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for range 5 {
		w.send(alice, bob)
	}
	now := w.later(keep.Acknowledged)
	same(w, "looked at", w.purge(keep, now).Looked, 5)
	w.restart()
	same(w, "looked at after a restart", w.purge(keep, now).Looked, 0)
	same(w, "bodies in the end", w.purge(keep, w.later(keep.Unacknowledged)).Bodies, 5)
}
