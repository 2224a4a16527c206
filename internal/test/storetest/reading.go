package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// reading are the promises about one message.
func reading() []promise {
	return []promise{
		{"the sender and the recipients see a message", partiesSee},
		{"Everyone sees every message", everyoneSees},
		{"a stranger gets the same answer for absent and for not his", strangersDoNotSee},
		{"who is nobody sees nothing", nobodySees},
		{"what was sent and received stays visible after the ack", visibleAfterAck},
	}
}

func partiesSee(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob, carol)
	for _, p := range []person{alice, bob, carol} {
		r := w.read(p, id)
		same(w, "id for "+p.Address.String(), r.ID, id)
		same(w, "has a body for "+p.Address.String(), len(r.Body) > 0, true)
		sameList(w, "agents for "+p.Address.String(), agentsOf(r.Deliveries), []gateway.AgentID{bob.ID, carol.ID})
	}
}

func everyoneSees(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, id := range []amtp.MessageID{
		w.send(alice, bob), w.post(letter{remote: "peer@far.example", to: []person{bob},
			class: gateway.ClassDomain}).ID,
	} {
		r, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, id)
		w.works("Message for Everyone", err)
		same(w, "id", r.ID, id)
	}
	_, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, amtp.NewMessageID())
	w.fails("Message for Everyone, absent", err, gateway.ErrNotFound)
}

func strangersDoNotSee(w *world) {
	alice, bob, mallory := w.agent("alice"), w.agent("bob"), w.agent("mallory")
	id := w.send(alice, bob)
	by := gateway.Reader{Agent: mallory.ID}
	_, foreign := w.store.Message(w.ctx, by, id)
	w.fails("Message of others", foreign, gateway.ErrNotFound)
	for _, absent := range []amtp.MessageID{amtp.NewMessageID(), "token", ""} {
		if _, err := w.store.Message(w.ctx, by, absent); err == nil || foreign == nil ||
			err.Error() != foreign.Error() {
			w.Errorf("Message of id %q = %v, want the error for another agent's message: %v", absent, err, foreign)
		}
	}
}

func nobodySees(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.unseen(person{}, w.send(alice, bob))
	w.unseen(person{}, w.post(letter{remote: "peer@far.example", to: []person{bob}, class: gateway.ClassDomain}).ID)
	w.unseen(person{}, w.post(letter{remote: "peer@far.example", to: []person{bob}, class: gateway.ClassAnonymous}).ID)
	same(w, "messages of nobody", w.list(person{}, gateway.MessageFilter{Limit: 10}).Total, 0)
	same(w, "messages that nobody sent", w.list(person{}, gateway.MessageFilter{Limit: 10, Sent: true}).Total, 0)
	sameList(w, "inbox of nobody", w.inbox(person{}), nil)
}

func visibleAfterAck(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	mark := w.ack(bob, id)
	for _, p := range []person{alice, bob} {
		d := w.read(p, id).Deliveries[0]
		same(w, "state for "+p.Address.String(), d.State, gateway.Acknowledged)
		w.sameTime("time of the ack for "+p.Address.String(), d.Acked, mark.At)
		same(w, "messages of "+p.Address.String(), w.list(p, gateway.MessageFilter{Limit: 10}).Total, 1)
	}
}
