package storetest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// acting are the promises about calls with an acting key.
func acting() []promise {
	return []promise{
		{"an acting key that goes on changes nothing", keyGoesOn},
		{"a call with an acting key is ErrRevoked when the key ended before, whatever method takes it",
			func(w *world) { w.ended(w.store, w.endKey) }},
		{"a call with an acting key is ErrRevoked when its agent ended before",
			func(w *world) { w.ended(w.store, w.remove) }},
		{"a key ends itself, its agent, and the others", keyEndsItself},
		{"each method that takes an acting key is among those tried", actsAreAll},
	}
}

// RunTwo checks what one process on a store does with a key that another process ended.
// open returns two processes on a new and empty store, and ends them after the test.
func RunTwo(t *testing.T, open func(t *testing.T) (one, two gateway.Store)) {
	for name, end := range map[string]func(*world, person){
		"revoked":                  (*world).endKey,
		"revoked by a new one":     func(w *world, p person) { w.addKey(p, "new", true) },
		"of an agent that is gone": (*world).remove,
	} {
		t.Run(name, func(t *testing.T) {
			one, two := open(t)
			w := newWorld(t, one)
			w.ended(two, func(p person) { end(w, p) })
		})
	}
}

// act is one operation that an agent does with its key.
type act struct {
	name string
	do   func(gateway.Acting, gateway.Store) error
}

// desk is an agent with one of every thing on which it can act.
type desk struct {
	person
	friend        person
	first, second amtp.MessageID // in its inbox
	out           amtp.MessageID // on its way to another domain
	job           gateway.JobID
}

func (w *world) desk() *desk {
	w.Helper()
	d := &desk{person: w.agent("alice"), friend: w.agent("bob")}
	d.first, d.second = w.send(d.friend, d.person), w.send(d.friend, d.person)
	d.out = w.post(letter{from: d.person, far: []string{"carol@far.example"}}).ID
	page, err := w.store.JobsPage(w.ctx, gateway.JobFilter{Limit: 1})
	if err != nil || len(page.Jobs) != 1 {
		w.Fatalf("JobsPage = %d jobs, %v, want one", len(page.Jobs), err)
	}
	d.job = page.Jobs[0].ID
	return d
}

// acts is every operation of the agent, in an order in which all of them succeed.
func (w *world) acts(d *desk) []act {
	reader := func(by gateway.Acting) gateway.Reader { return gateway.Reader{Agent: by.Agent, Key: by.Key} }
	accept := func(by gateway.Acting, s gateway.Store, l letter) error {
		a := w.acceptance(l)
		a.By = by
		_, err := s.Accept(w.ctx, a)
		return err
	}
	rename := func(a *gateway.Agent) error { a.Role = "changed"; return nil }
	document := gateway.DocumentChange{Kind: "some", Change: func([]gateway.Document) ([]gateway.Document, error) {
		return []gateway.Document{{Kind: "some", Name: "one", Created: w.now()}}, nil
	}}
	var taken gateway.Ticket
	return append(w.conversationActs(d), []act{
		{"Accept", func(by gateway.Acting, s gateway.Store) error {
			return accept(by, s, letter{from: d.person, to: []person{d.friend}})
		}},
		{"Accept to another domain", func(by gateway.Acting, s gateway.Store) error {
			return accept(by, s, letter{from: d.person, far: []string{"carol@far.example"}, key: "k"})
		}},
		{"Message", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Message(w.ctx, reader(by), d.first)
			return err
		}},
		{"Messages", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Messages(w.ctx, reader(by), gateway.MessageFilter{Limit: 10})
			return err
		}},
		{"Inbox", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Inbox(w.ctx, by, wholeInbox)
			return err
		}},
		{"Newest", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Newest(w.ctx, by)
			return err
		}},
		{"Depth", func(by gateway.Acting, s gateway.Store) error {
			_, _, err := s.Depth(w.ctx, by, 10)
			return err
		}},
		{"Search", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Search(w.ctx, by, gateway.SearchFilter{Query: w.query("letter"), Limit: 1})
			return err
		}},
		{"MarkRead", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.MarkRead(w.ctx, by, d.first, w.now())
			return err
		}},
		{"Take", func(by gateway.Acting, s gateway.Store) error {
			now := w.now()
			t, err := s.Take(w.ctx, by, gateway.Take{Max: 1, Until: now.Add(time.Hour)}, now)
			if len(t.Items) > 0 {
				taken = ticket(t.Items[0])
			}
			return err
		}},
		{"Extend", func(by gateway.Acting, s gateway.Store) error {
			now := w.now()
			_, err := s.Extend(w.ctx, by, taken, now.Add(time.Hour), now)
			return err
		}},
		{"GiveBack", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.GiveBack(w.ctx, by, taken, gateway.GivenBack{Due: w.now()}, w.now())
			return err
		}},
		{"AckTaken", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.AckTaken(w.ctx, by, gateway.Ticket{ID: taken.ID}, w.now())
			return err
		}},
		{"Reject", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Reject(w.ctx, by, gateway.Ticket{ID: d.second}, "", w.now())
			return err
		}},
		{"Ack", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Ack(w.ctx, by, d.first, w.now())
			return err
		}},
		{"UpdateAgent", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.UpdateAgent(w.ctx, by, d.ID, rename)
			return err
		}},
		{"UpdateAgent with documents", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.UpdateAgent(w.ctx, by, d.ID, rename, document)
			return err
		}},
		{"AddKey", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.AddKey(w.ctx, by, newKey("more", d.ID, w.now()), false)
			return err
		}},
		{"RemoveKey", func(by gateway.Acting, s gateway.Store) error {
			return s.RemoveKey(w.ctx, by, d.ID, "key_more")
		}},
	}...)
}

// conversationActs are the operations on threads.
func (w *world) conversationActs(d *desk) []act {
	return []act{
		{"Thread", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Thread(w.ctx, by, d.first, gateway.ThreadFilter{Limit: 1})
			return err
		}},
		{"Threads", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Threads(w.ctx, by, gateway.ThreadsFilter{Limit: 1})
			return err
		}},
		{"Label", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Label(w.ctx, by, d.first, gateway.LabelChange{Add: []string{"done"}})
			return err
		}},
		{"Answerers", func(by gateway.Acting, s gateway.Store) error {
			_, err := s.Answerers(w.ctx, by, d.out)
			return err
		}},
	}
}

// acting returns the person with its key.
func (p person) acting() gateway.Acting { return gateway.Acting{Agent: p.ID, Key: p.key.ID} }

func (w *world) endKey(p person) {
	w.Helper()
	w.works("RemoveKey", w.store.RemoveKey(w.ctx, gateway.Acting{}, p.ID, p.key.ID))
}

func keyGoesOn(w *world) {
	d := w.desk()
	for _, a := range w.acts(d) {
		w.works(a.name, a.do(d.acting(), w.store))
	}
	same(w, "messages in bob's inbox", len(w.inbox(d.friend)), 1)
	same(w, "messages in alice's inbox", len(w.inbox(d.person)), 0)
}

// removeFriend is the act after which the friend does nothing more.
func removeFriend(w *world, d *desk) act {
	return act{"RemoveAgent", func(by gateway.Acting, s gateway.Store) error {
		return s.RemoveAgent(w.ctx, by, d.friend.ID, w.now())
	}}
}

// actsAreAll compares the acts with the signatures of the contract.
func actsAreAll(w *world) {
	d := w.desk()
	tried := make(map[string]bool)
	for _, a := range append(w.acts(d), removeFriend(w, d)) {
		name, _, _ := strings.Cut(a.name, " ")
		tried[name] = true
	}
	takers := []reflect.Type{reflect.TypeFor[gateway.Acting](), reflect.TypeFor[gateway.Reader](),
		reflect.TypeFor[gateway.Acceptance]()}
	contract := reflect.TypeFor[gateway.Store]()
	for i := range contract.NumMethod() {
		m := contract.Method(i)
		for j := range m.Type.NumIn() {
			if slices.Contains(takers, m.Type.In(j)) && !tried[m.Name] {
				w.Errorf("%s takes an acting key, and no act calls it", m.Name)
			}
		}
	}
}

// ended has the store s, which may be in another process than the world's, do every
// operation with a key that has just ended. The store refuses all of them at once.
func (w *world) ended(s gateway.Store, end func(person)) {
	w.Helper()
	d := w.desk()
	if _, _, err := s.KeyOwner(w.ctx, d.key.Hash, w.now()); err != nil { // it knows the key
		w.Errorf("KeyOwner = %v, want alice", err)
	}
	end(d.person)
	for _, a := range append(w.acts(d), removeFriend(w, d)) {
		w.fails(a.name+" by a key that has ended", a.do(d.acting(), s), gateway.ErrRevoked)
	}
	w.owns(d.friend, d.friend.key)
	same(w, "messages in bob's inbox", len(w.inbox(d.friend)), 0)
	page, err := w.store.JobsPage(w.ctx, gateway.JobFilter{Limit: 10})
	if err != nil || len(page.Jobs) != 1 || page.Jobs[0].ID != d.job {
		w.Errorf("jobs = %+v, %v, want the same as before", page.Jobs, err)
	}
	w.works("Depth without an acting key", func() error {
		_, _, err := s.Depth(w.ctx, gateway.Acting{Agent: d.ID}, 1)
		return err
	}())
	some, err := w.store.Documents(w.ctx, "some")
	if err != nil || len(some) != 0 {
		w.Errorf("documents = %+v, %v, want none", some, err)
	}
	if here, err := w.store.AgentNamed(w.ctx, d.Address); err == nil {
		same(w, "role of alice", here.Role, d.Role)
		same(w, "messages in alice's inbox", len(w.inbox(d.person)), 2)
		return
	}
	records, err := w.store.Messages(w.ctx, gateway.Reader{Everyone: true}, gateway.MessageFilter{Limit: 10})
	if err != nil || len(records.Messages) != 3 {
		w.Errorf("Messages = %d, %v, want the same 3 as before", len(records.Messages), err)
	}
}

func keyEndsItself(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second, _ := w.addKey(alice, "second", false)
	w.works("RemoveKey of itself", w.store.RemoveKey(w.ctx, alice.acting(), alice.ID, alice.key.ID))
	w.keys(alice, second.ID)
	third := newKey("third", alice.ID, w.now())
	_, err := w.store.AddKey(w.ctx, gateway.Acting{Agent: alice.ID, Key: second.ID}, third, true)
	w.works("AddKey instead of itself", err)
	w.keys(alice, third.ID)
	w.works("RemoveAgent by itself", w.store.RemoveAgent(w.ctx, bob.acting(), bob.ID, w.now()))
	w.noOwner("bob's key", bob.key.Hash)
}
