package storetest

import (
	"errors"
	"slices"

	"github.com/amtp-go/amtp/internal/gateway"
)

// membership are the promises about shared mailboxes and groups.
func membership() []promise {
	return []promise{
		{"a key of a member acts in a shared mailbox, and no other key does", memberActs},
		{"a member that has left acts in the mailbox no more", memberLeaves},
		{"a member whose agent was removed acts in the mailbox no more", memberRemoved},
		{"members find their mailboxes, and not those that were removed", membersFindThem},
		{"a group gives its members no inbox", groupHasNoInbox},
		{"the kind and the members are stored", membersAreStored},
		{"the member that wrote for a mailbox is stored with the message", authorIsStored},
	}
}

// shared registers a shared mailbox or a group with members. It has no key.
func (w *world) shared(kind gateway.AgentKind, name string, members ...person) person {
	w.Helper()
	a := gateway.Agent{Address: w.address(name + "@" + domain), DeliveryMode: "pull", Listed: true, Kind: kind,
		CreatedAt: w.now(), LastActive: w.now()}
	for _, m := range members {
		a.Members = append(a.Members, m.ID)
	}
	made, err := w.store.AddAgent(w.ctx, a, gateway.Key{})
	w.works("AddAgent", err)
	return person{Agent: made}
}

// actsIn returns what the store says when the person reads the mailbox, marks the message
// read and acknowledges it.
func (w *world) actsIn(p, mailbox person) []error {
	w.Helper()
	by := gateway.Acting{Agent: mailbox.ID, Key: p.key.ID}
	id := w.send(w.agent("writer"+p.Address.Local()+mailbox.Address.Local()), mailbox)
	_, inbox := w.store.Inbox(w.ctx, by, wholeInbox)
	_, read := w.store.MarkRead(w.ctx, by, id, w.now())
	_, ack := w.store.Ack(w.ctx, by, id, w.now())
	return []error{inbox, read, ack}
}

func (w *world) refusesIn(p, mailbox person) {
	w.Helper()
	for i, err := range w.actsIn(p, mailbox) {
		if !errors.Is(err, gateway.ErrRevoked) {
			w.Errorf("act %d of %s in %s = %v, want ErrRevoked", i, p.Address, mailbox.Address, err)
		}
	}
}

func memberActs(w *world) {
	alice, bob, mallory := w.agent("alice"), w.agent("bob"), w.agent("mallory")
	support := w.shared(gateway.SharedMailbox, "support", alice, bob)
	for _, p := range []person{alice, bob} {
		for i, err := range w.actsIn(p, support) {
			if err != nil {
				w.Errorf("act %d of %s = %v, want no error", i, p.Address, err)
			}
		}
	}
	w.refusesIn(mallory, support)
	w.refusesIn(bob, alice)
}

// finds checks the mailboxes of a member.
func (w *world) finds(p person, mailboxes ...person) {
	w.Helper()
	var got, want []string
	for _, a := range w.store.Mailboxes(p.ID) {
		got = append(got, a.Address.String())
	}
	for _, m := range mailboxes {
		want = append(want, m.Address.String())
	}
	if !slices.Equal(got, want) {
		w.Errorf("Mailboxes of %s = %v, want %v", p.Address, got, want)
	}
}

func membersFindThem(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	support := w.shared(gateway.SharedMailbox, "support", alice, bob)
	sales := w.shared(gateway.SharedMailbox, "sales", alice)
	w.shared(gateway.MemberGroup, "team", alice, bob)
	w.finds(alice, support, sales)
	w.finds(bob, support)
	w.remove(support)
	w.finds(alice, sales)
	w.finds(bob)
}

func memberLeaves(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	support := w.shared(gateway.SharedMailbox, "support", alice, bob)
	_, err := w.store.UpdateAgent(w.ctx, gateway.Acting{}, support.ID, func(a *gateway.Agent) error {
		a.Members = []gateway.AgentID{alice.ID}
		return nil
	})
	w.works("UpdateAgent", err)
	w.finds(alice, support)
	w.finds(bob)
	w.refusesIn(bob, support)
}

func memberRemoved(w *world) {
	alice := w.agent("alice")
	support := w.shared(gateway.SharedMailbox, "support", alice)
	w.remove(alice)
	w.refusesIn(alice, support)
}

func groupHasNoInbox(w *world) {
	alice := w.agent("alice")
	w.refusesIn(alice, w.shared(gateway.MemberGroup, "team", alice))
}

func membersAreStored(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	team := w.shared(gateway.MemberGroup, "team", alice, bob)
	found, err := w.store.AgentNamed(w.ctx, team.Address)
	w.works("AgentNamed", err)
	if found.Kind != gateway.MemberGroup || !slices.Equal(found.Members, []gateway.AgentID{alice.ID, bob.ID}) {
		w.Errorf("the group = kind %q, members %v; want group with %d and %d", found.Kind, found.Members, alice.ID,
			bob.ID)
	}
	if keys, err := w.store.Keys(w.ctx, team.ID); err != nil || len(keys) != 0 {
		w.Errorf("Keys of a group = %v, %v; want none", keys, err)
	}
}

func authorIsStored(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	support := w.shared(gateway.SharedMailbox, "support", alice)
	a := w.acceptance(letter{from: support, to: []person{bob}})
	a.By, a.Author = gateway.Acting{Agent: alice.ID, Key: alice.key.ID}, alice.ID
	got, err := w.store.Accept(w.ctx, a)
	w.works("Accept", err)
	if r := w.read(support, got.ID); r.Author != alice.ID || r.SenderAgent != support.ID {
		w.Errorf("the message = author %d, sender %d; want %d and %d", r.Author, r.SenderAgent, alice.ID, support.ID)
	}
}
