package storetest

import (
	"context"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// acting are the promises about calls with an acting key.
func acting() []promise {
	return []promise{
		{"a context that names a key that goes on changes nothing", keyGoesOn},
		{"a context that names a key is ErrRevoked when the key ended before, whatever the method",
			func(w *world) { w.ended(w.store, w.endKey) }},
		{"a context that names a key is ErrRevoked when its agent ended before",
			func(w *world) { w.ended(w.store, w.remove) }},
		{"a key ends itself, its agent, and the others", keyEndsItself},
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
	do   func(context.Context, gateway.Store) error
}

// desk is an agent with one of every thing on which it can act.
type desk struct {
	person
	friend     person
	first, out amtp.MessageID // in its inbox; on its way to another domain
	job        gateway.JobID
}

func (w *world) desk() *desk {
	w.Helper()
	d := &desk{person: w.agent("alice"), friend: w.agent("bob")}
	d.first = w.send(d.friend, d.person)
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
	by := gateway.Reader{Agent: d.ID}
	kept := func(list []gateway.Document) ([]gateway.Document, error) { return list, nil }
	return []act{
		{"Accept", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Accept(ctx, w.acceptance(letter{from: d.person, to: []person{d.friend}}))
			return err
		}},
		{"Accept to another domain", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Accept(ctx, w.acceptance(letter{from: d.person, far: []string{"carol@far.example"}, key: "k"}))
			return err
		}},
		{"Message", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Message(ctx, by, d.first)
			return err
		}},
		{"Messages", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Messages(ctx, by, gateway.MessageFilter{Limit: 10})
			return err
		}},
		{"Inbox", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Inbox(ctx, d.ID, wholeInbox)
			return err
		}},
		{"Depth", func(ctx context.Context, s gateway.Store) error { _, _, err := s.Depth(ctx, d.ID, 10); return err }},
		{"MarkRead", func(ctx context.Context, s gateway.Store) error {
			_, err := s.MarkRead(ctx, d.ID, d.first, w.now())
			return err
		}},
		{"Ack", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Ack(ctx, d.ID, d.first, w.now())
			return err
		}},
		{"JobsPage", func(ctx context.Context, s gateway.Store) error {
			_, err := s.JobsPage(ctx, gateway.JobFilter{Limit: 1})
			return err
		}},
		{"Cancel", func(ctx context.Context, s gateway.Store) error { return s.Cancel(ctx, d.job, w.now()) }},
		{"Documents", func(ctx context.Context, s gateway.Store) error {
			_, err := s.Documents(ctx, "some")
			return err
		}},
		{"ChangeDocuments", func(ctx context.Context, s gateway.Store) error {
			return s.ChangeDocuments(ctx, "some", kept)
		}},
		{"UpdateAgent", func(ctx context.Context, s gateway.Store) error {
			_, err := s.UpdateAgent(ctx, d.ID, func(a *gateway.Agent) error { a.Role = "changed"; return nil })
			return err
		}},
		{"AddKey", func(ctx context.Context, s gateway.Store) error {
			_, err := s.AddKey(ctx, newKey("more", d.ID, w.now()), false)
			return err
		}},
		{"RemoveKey", func(ctx context.Context, s gateway.Store) error { return s.RemoveKey(ctx, d.ID, "key_more") }},
	}
}

func (w *world) endKey(p person) {
	w.Helper()
	w.works("RemoveKey", w.store.RemoveKey(w.ctx, p.ID, p.key.ID))
}

func keyGoesOn(w *world) {
	d := w.desk()
	ctx := gateway.WithKey(w.ctx, d.ID, d.key.ID)
	for _, a := range w.acts(d) {
		w.works(a.name, a.do(ctx, w.store))
	}
	same(w, "messages in bob's inbox", len(w.inbox(d.friend)), 1)
	same(w, "messages in alice's inbox", len(w.inbox(d.person)), 0)
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
	ctx := gateway.WithKey(w.ctx, d.ID, d.key.ID)
	for _, a := range append(w.acts(d), act{"RemoveAgent", func(ctx context.Context, s gateway.Store) error {
		return s.RemoveAgent(ctx, d.friend.ID, w.now())
	}}) {
		w.fails(a.name+" by a key that has ended", a.do(ctx, s), gateway.ErrRevoked)
	}
	w.owns(d.friend, d.friend.key)
	same(w, "messages in bob's inbox", len(w.inbox(d.friend)), 0)
	page, err := w.store.JobsPage(w.ctx, gateway.JobFilter{Limit: 10})
	if err != nil || len(page.Jobs) != 1 || page.Jobs[0].ID != d.job {
		w.Errorf("jobs = %+v, %v, want the same as before", page.Jobs, err)
	}
	w.works("Depth in nobody's name", func() error {
		_, _, err := s.Depth(gateway.WithoutKey(ctx), d.ID, 1)
		return err
	}())
	if here, err := w.store.AgentNamed(w.ctx, d.Address); err == nil {
		same(w, "role of alice", here.Role, d.Role)
		same(w, "messages in alice's inbox", len(w.inbox(d.person)), 1)
		return
	}
	records, err := w.store.Messages(w.ctx, gateway.Reader{Everyone: true}, gateway.MessageFilter{Limit: 10})
	if err != nil || len(records.Messages) != 2 {
		w.Errorf("Messages = %d, %v, want the same 2 as before", len(records.Messages), err)
	}
}

func keyEndsItself(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second, _ := w.addKey(alice, "second", false)
	w.works("RemoveKey of itself", w.store.RemoveKey(gateway.WithKey(w.ctx, alice.ID, alice.key.ID), alice.ID,
		alice.key.ID))
	w.keys(alice, second.ID)
	third := newKey("third", alice.ID, w.now())
	_, err := w.store.AddKey(gateway.WithKey(w.ctx, alice.ID, second.ID), third, true)
	w.works("AddKey instead of itself", err)
	w.keys(alice, third.ID)
	w.works("RemoveAgent by itself", w.store.RemoveAgent(gateway.WithKey(w.ctx, bob.ID, bob.key.ID), bob.ID, w.now()))
	w.noOwner("bob's key", bob.key.Hash)
}
