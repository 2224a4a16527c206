package storetest

import (
	"errors"
	"strconv"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// crowd is how many callers act at the same time.
const crowd = 40

// acceptingAtOnce are the promises about concurrent retries and conflicts.
func acceptingAtOnce() []promise {
	return []promise{
		{"of one key at once one message is stored and all others are Replayed", oneKeyAtOnce},
		{"of one id at once one message is stored and all others are Replayed", oneIDAtOnce},
		{"of one key and several contents at once one content wins", oneContentWins},
		{"of one key and several recipients at once one message reaches each once", recipientsAtOnce},
		{"strangers' contents under one key at once are one message each", strangersAtOnce},
		{"of one UUID by several senders at once one becomes canonical", oneUUIDAtOnce},
		{"senders with one key at once are independent", sendersAtOnce},
		{"without key and id every call at once stores a message", nothingInCommon},
		{"all methods at the same time", everythingAtOnce},
	}
}

// attempt is one answer of Accept.
type attempt struct {
	gateway.Accepted
	err error
}

// postAtOnce hands the store one letter for each member of the crowd.
func (w *world) postAtOnce(write func(i int) letter) []attempt {
	w.Helper()
	all := make([]gateway.Acceptance, crowd)
	for i := range all {
		all[i] = w.acceptance(write(i))
	}
	got := make([]attempt, crowd)
	together(crowd, func(i int) { got[i].Accepted, got[i].err = w.store.Accept(w.ctx, all[i]) })
	return got
}

// oneStored checks that the crowd together stored one message.
func (w *world) oneStored(got []attempt) amtp.MessageID {
	w.Helper()
	stored := 0
	for _, a := range got {
		if a.err != nil || a.ID != got[0].ID {
			w.Fatalf("Accept = %s, %v, want %s", a.ID, a.err, got[0].ID)
		}
		if !a.Replayed {
			stored++
		}
	}
	same(w, "answers that are not Replayed", stored, 1)
	return got[0].ID
}

func oneKeyAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, class := range []gateway.Class{gateway.ClassAgent, gateway.ClassAnonymous} {
		id := w.oneStored(w.postAtOnce(func(int) letter {
			return letter{from: alice, to: []person{bob}, class: class, key: "k", text: "once"}
		}))
		sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{id})
		w.ack(bob, id)
	}
}

func oneIDAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "token"} {
		for _, class := range []gateway.Class{gateway.ClassAgent, gateway.ClassAnonymous} {
			got := w.oneStored(w.postAtOnce(func(i int) letter {
				l := letter{from: alice, to: []person{bob}, class: class, id: id, text: "once"}
				if i%2 == 0 {
					l.key = string(id) + strconv.Itoa(i)
				}
				return l
			}))
			sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{got})
			w.ack(bob, got)
		}
	}
}

func oneContentWins(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, l := range []letter{{key: "k"}, {id: amtp.NewMessageID()}, {id: "token"}} {
		l.from, l.to = alice, []person{bob}
		stored, reused, replayed := 0, 0, 0
		for _, a := range w.postAtOnce(func(i int) letter {
			l.text = strconv.Itoa(i % 4)
			return l
		}) {
			switch {
			case errors.Is(a.err, gateway.ErrReused):
				reused++
			case a.err != nil:
				w.Errorf("Accept = %v, want %q or no error", a.err, gateway.ErrReused)
			case a.Replayed:
				replayed++
			default:
				stored++
			}
		}
		same(w, "messages stored", stored, 1)
		same(w, "replayed", replayed, crowd/4-1)
		same(w, "refused", reused, crowd-crowd/4)
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 3)
}

func recipientsAtOnce(w *world) {
	alice := w.agent("alice")
	var all []person
	for i := range 5 {
		all = append(all, w.agent("friend"+strconv.Itoa(i)))
	}
	id := w.oneStored(w.postAtOnce(func(i int) letter {
		return letter{from: alice, to: []person{all[i%5], all[(i+1)%5]}, id: "token", key: "k", text: "once"}
	}))
	for _, p := range all {
		sameList(w, "inbox of "+p.Address.String(), w.inbox(p), []amtp.MessageID{id})
	}
	same(w, "deliveries", len(w.read(alice, id).Deliveries), 5)
}

func strangersAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	stored := 0
	for _, a := range w.postAtOnce(func(i int) letter {
		return letter{from: alice, to: []person{bob}, class: gateway.ClassAnonymous, id: "token", key: "k",
			text: strconv.Itoa(i % 8)}
	}) {
		w.works("Accept", a.err)
		if !a.Replayed {
			stored++
		}
	}
	same(w, "answers that are not Replayed", stored, 8)
	same(w, "messages in the inbox", len(w.inbox(bob)), 8)
}

func oneUUIDAtOnce(w *world) {
	bob := w.agent("bob")
	var senders []person
	for i := range crowd {
		senders = append(senders, w.agent("sender"+strconv.Itoa(i)))
	}
	id := amtp.NewMessageID()
	got := w.postAtOnce(func(i int) letter { return letter{from: senders[i], to: []person{bob}, id: id, text: "once"} })
	canonical := 0
	for i, a := range got {
		w.works("Accept", a.err)
		same(w, "Replayed", a.Replayed, false)
		same(w, "id that the sender finds", w.read(senders[i], id).ID, a.ID)
		if a.ID == id {
			canonical++
		}
	}
	same(w, "messages with the given id", canonical, 1)
	same(w, "messages in the inbox", len(w.inbox(bob)), crowd)
}

func sendersAtOnce(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	stored := make(map[gateway.AgentID]int)
	from := func(i int) person { return []person{alice, bob}[i%2] }
	for i, a := range w.postAtOnce(func(i int) letter {
		return letter{from: from(i), to: []person{carol}, id: "token", key: "k", text: "the same"}
	}) {
		w.works("Accept", a.err)
		if !a.Replayed {
			stored[from(i).ID]++
		}
	}
	same(w, "messages of alice", stored[alice.ID], 1)
	same(w, "messages of bob", stored[bob.ID], 1)
	same(w, "messages in the inbox", len(w.inbox(carol)), 2)
}

func nothingInCommon(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	seen := make(map[amtp.MessageID]bool)
	for _, a := range w.postAtOnce(func(int) letter {
		return letter{from: alice, to: []person{bob}, text: "the same"}
	}) {
		w.works("Accept", a.err)
		seen[a.ID] = true
	}
	same(w, "different ids", len(seen), crowd)
	same(w, "messages in the inbox", len(w.inbox(bob)), crowd)
}

// everythingAtOnce is for the race detector. Each operation must succeed.
func everythingAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	acts := everyAct(w, alice, bob, id)
	together(4*len(acts), func(i int) {
		for n := range 10 {
			if err := acts[i%len(acts)](100*i + n); err != nil {
				w.Errorf("act %d = %v, want no error", i%len(acts), err)
			}
		}
	})
	w.depth(bob, 1000, 40, 40)
}

// everyAct returns one function for every method of the store. n is different at every
// call.
func everyAct(w *world, alice, bob person, id amtp.MessageID) []func(n int) error {
	by := gateway.Reader{Agent: bob.ID}
	return []func(n int) error{
		func(int) error {
			_, err := w.try(letter{from: alice, to: []person{bob}, text: "one of many"})
			return err
		},
		func(int) error { _, err := w.store.Message(w.ctx, by, id); return err },
		func(int) error { _, err := w.store.Messages(w.ctx, by, gateway.MessageFilter{Limit: 5}); return err },
		func(int) error {
			_, err := w.store.Inbox(w.ctx, gateway.Acting{Agent: bob.ID}, gateway.InboxFilter{Limit: 5, MaxBytes: 1})
			return err
		},
		func(int) error { _, _, err := w.store.Depth(w.ctx, gateway.Acting{Agent: bob.ID}, 1000); return err },
		func(int) error { _, err := w.store.Ack(w.ctx, gateway.Acting{Agent: bob.ID}, id, w.now()); return err },
		func(int) error { _, stop := w.store.Watch(bob.ID); stop(); return nil },
		func(int) error { return w.update(w.ctx, bob.Agent) },
		func(int) error { _, err := w.store.AgentNamed(w.ctx, bob.Address); return err },
		func(int) error { _, err := w.store.Keys(w.ctx, bob.ID); return err },
		func(int) error { _, _, err := w.store.KeyOwner(w.ctx, bob.key.Hash, w.now()); return err },
		func(int) error { return w.store.Probe(w.ctx, w.now()) },
		func(int) error { _ = w.store.Agents(w.ctx); return nil },
		func(n int) error {
			k := newKey("many "+strconv.Itoa(n), alice.ID, w.now())
			_, err := w.store.AddKey(w.ctx, gateway.Acting{}, k, false)
			return errors.Join(err, w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, k.ID))
		},
		func(n int) error {
			now := w.now()
			a, err := w.store.AddAgent(w.ctx, gateway.Agent{
				Address: w.address("many" + strconv.Itoa(n) + "@" + domain), CreatedAt: now, LastActive: now,
			}, newKey("agent "+strconv.Itoa(n), 0, now))
			return errors.Join(err, w.store.RemoveAgent(w.ctx, gateway.Acting{}, a.ID, now))
		},
		func(int) error {
			_, err := w.store.MarkRead(w.ctx, gateway.Acting{Agent: alice.ID}, id, w.now())
			if errors.Is(err, gateway.ErrNotFound) {
				return nil // alice sent it; bob has it
			}
			return errors.New("marked a message that is in another's inbox")
		},
	}
}
