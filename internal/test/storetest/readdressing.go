package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// elsewhere is the domain to which agents move.
const elsewhere = amtp.Domain("moved.example")

func readdressing() []promise {
	return []promise{
		{"an agent keeps its id, its keys and its mail under the other address", readdressKeeps},
		{"what is remembered of its messages counts as before", readdressRemembers},
		{"removed ones move as well", readdressRemoved},
		{"a living agent whose name is taken there stays where it is", readdressTaken},
		{"done again it changes nothing", readdressAgain},
		{"agents of other domains are left alone", readdressOthers},
		{"the former name is free", readdressFrees},
	}
}

func (w *world) readdress(from, to amtp.Domain) gateway.Readdressed {
	w.Helper()
	done, err := w.store.Readdress(w.ctx, from, to)
	w.works("Readdress", err)
	return done
}

func texts(list []amtp.Address) []string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return all
}

func readdressKeeps(w *world) {
	alice, bob := w.agent("Alice"), w.agent("bob")
	to, from := w.send(alice, bob), w.send(bob, alice)
	key := newKey("more", alice.ID, w.now())
	_, err := w.store.AddKey(w.ctx, gateway.Acting{}, key, false)
	w.works("AddKey", err)
	done := w.readdress(domain, elsewhere)
	sameList(w, "moved", texts(done.Moved), []string{"Alice@moved.example", "bob@moved.example"})
	sameList(w, "stayed", texts(done.Stayed), nil)
	got, err := w.store.AgentNamed(w.ctx, w.address("alice@moved.example"))
	w.works("AgentNamed", err)
	same(w, "id", got.ID, alice.ID)
	owner, _, err := w.store.KeyOwner(w.ctx, key.Hash, w.now())
	w.works("KeyOwner", err)
	same(w, "owner of the key", owner.Address.String(), "Alice@moved.example")
	sameList(w, "inbox", w.inbox(alice), []amtp.MessageID{from})
	same(w, "sender of the former message", w.read(bob, to).Sender.String(), "Alice@moved.example")
	same(w, "its recipient", w.read(alice, to).Deliveries[0].Recipient.String(), "bob@moved.example")
	same(w, "agents", w.store.Agents(w.ctx)[0].Address.String(), "Alice@moved.example")
}

func readdressRemembers(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, id: "token", key: "k", text: "once"}
	first := w.post(l)
	w.readdress(domain, elsewhere)
	again := w.post(l)
	same(w, "replayed", again.Replayed, true)
	same(w, "id", again.ID, first.ID)
	same(w, "by its alias", w.read(alice, "token").ID, first.ID)
}

func readdressRemoved(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(bob, alice)
	w.remove(bob)
	done := w.readdress(domain, elsewhere)
	sameList(w, "moved", texts(done.Moved), []string{"alice@moved.example"})
	same(w, "sender", w.read(alice, id).Sender.String(), "bob@moved.example")
	_, err := w.store.AgentNamed(w.ctx, w.address("bob@moved.example"))
	w.fails("AgentNamed of the removed one", err, gateway.ErrNotFound)
}

func readdressTaken(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	there := gateway.Agent{Address: w.address("ALICE@moved.example"), DeliveryMode: "pull", CreatedAt: w.now(),
		LastActive: w.now()}
	other, err := w.store.AddAgent(w.ctx, there, newKey("there", 0, w.now()))
	w.works("AddAgent", err)
	done := w.readdress(domain, elsewhere)
	sameList(w, "moved", texts(done.Moved), []string{"bob@moved.example"})
	sameList(w, "stayed", texts(done.Stayed), []string{"alice@" + domain})
	for address, id := range map[string]gateway.AgentID{"alice@" + domain: alice.ID, "alice@moved.example": other.ID,
		"bob@moved.example": bob.ID} {
		got, err := w.store.AgentNamed(w.ctx, w.address(address))
		w.works("AgentNamed of "+address, err)
		same(w, "id of "+address, got.ID, id)
	}
}

func readdressAgain(w *world) {
	w.agent("alice")
	w.readdress(domain, elsewhere)
	done := w.readdress(domain, elsewhere)
	same(w, "moved again", len(done.Moved)+len(done.Stayed), 0)
	done = w.readdress(elsewhere, elsewhere)
	same(w, "moved to where they are", len(done.Moved)+len(done.Stayed), 0)
	same(w, "agents", w.store.Agents(w.ctx)[0].Address.String(), "alice@moved.example")
}

func readdressOthers(w *world) {
	w.agent("alice")
	done := w.readdress("third.example", elsewhere)
	same(w, "moved", len(done.Moved), 0)
	same(w, "agents", w.store.Agents(w.ctx)[0].Address.String(), "alice@"+domain)
}

func readdressFrees(w *world) {
	alice := w.agent("alice")
	w.readdress(domain, elsewhere)
	_, err := w.store.AgentNamed(w.ctx, w.address("alice@"+domain))
	w.fails("AgentNamed of the former name", err, gateway.ErrNotFound)
	namesake := w.agent("alice")
	same(w, "the namesake is another", namesake.ID == alice.ID, false)
	sameList(w, "agents", texts([]amtp.Address{w.store.Agents(w.ctx)[0].Address, w.store.Agents(w.ctx)[1].Address}),
		[]string{"alice@moved.example", "alice@" + domain})
}

func readdressAfterRestart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(bob, alice)
	w.remove(bob)
	w.readdress(domain, elsewhere)
	w.restart()
	sameList(w, "agents", texts([]amtp.Address{w.store.Agents(w.ctx)[0].Address}), []string{"alice@moved.example"})
	sameList(w, "inbox", w.inbox(alice), []amtp.MessageID{id})
	same(w, "sender", w.read(alice, id).Sender.String(), "bob@moved.example")
}
