package storetest

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// naming are the promises about the ids of messages.
func naming() []promise {
	return []promise{
		{"without a given id the minted one is canonical", mintedID},
		{"a UUID that no message has becomes canonical", givenUUID},
		{"a UUID in upper case becomes canonical in lower case", givenUpperCase},
		{"a UUID that another message has becomes an alias", takenUUID},
		{"a UUID is taken in any case of letters", takenUpperCase},
		{"any other id becomes an alias", givenToken},
		{"an alias is known to its sender only", aliasIsPrivate},
		{"an alias is its sender's whatever others call theirs", sameAliasTwice},
		{"a canonical id goes before an alias", canonicalBeforeAlias},
		{"a stored message is never overwritten", neverOverwritten},
	}
}

func mintedID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	a := w.acceptance(letter{from: alice, to: []person{bob}})
	got, err := w.store.Accept(w.ctx, a)
	w.works("Accept", err)
	same(w, "id", got.ID, a.ID)
	same(w, "GivenID", w.read(alice, got.ID).GivenID, "")
}

func givenUUID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		"11111111-2222-4333-8444-555555555555"} {
		got := w.post(letter{from: alice, to: []person{bob}, id: id})
		same(w, "id", got.ID, id)
		r := w.read(bob, id)
		same(w, "id of the record", r.ID, id)
		same(w, "GivenID of the record", r.GivenID, "")
	}
}

func givenUpperCase(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	lower := amtp.MessageID("0190b3c2-aaaa-7bbb-8ccc-dddddddddddd")
	upper := amtp.MessageID(strings.ToUpper(string(lower)))
	l := letter{from: alice, to: []person{bob}, id: upper, text: "once"}
	first := w.post(l)
	same(w, "id", first.ID, lower)
	same(w, "GivenID of the record", w.read(alice, lower).GivenID, upper)
	same(w, "id found under the given one", w.read(alice, upper).ID, lower)
	w.isRetry(first, w.post(l))
	l.id = lower
	w.isRetry(first, w.post(l))
}

func takenUUID(w *world) {
	alice, bob, mallory := w.agent("alice"), w.agent("bob"), w.agent("mallory")
	id := amtp.NewMessageID()
	theirs := w.post(letter{from: mallory, to: []person{mallory}, id: id})
	l := letter{from: alice, to: []person{bob}, id: id, text: "once"}
	mine := w.post(l)
	if mine.ID == id || mine.Replayed {
		w.Fatalf("answer = %s, replayed %v, want a minted id other than %s", mine.ID, mine.Replayed, theirs.ID)
	}
	r := w.read(alice, id)
	same(w, "id found under the given one", r.ID, mine.ID)
	same(w, "GivenID of the record", r.GivenID, id)
	same(w, "id that mallory finds", w.read(mallory, id).ID, id)
	w.isRetry(mine, w.post(l))
}

func takenUpperCase(w *world) {
	alice, bob, mallory := w.agent("alice"), w.agent("bob"), w.agent("mallory")
	id := amtp.NewMessageID()
	w.post(letter{from: mallory, to: []person{mallory}, id: id})
	upper := amtp.MessageID(strings.ToUpper(string(id)))
	mine := w.post(letter{from: alice, to: []person{bob}, id: upper})
	if mine.ID == id {
		w.Fatalf("id = %s, want a minted one: mallory's message has it", mine.ID)
	}
	same(w, "id found under the given one", w.read(alice, upper).ID, mine.ID)
}

func givenToken(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, id := range []amtp.MessageID{
		"a", "order:1_2.3-4", "0190b3c2aaaa7bbb8cccdddddddddddd", "0190b3c2-aaaa-7bbb-8ccc-ddddddddddd",
		amtp.MessageID(strings.Repeat("m", 128)),
	} {
		a := w.acceptance(letter{from: alice, to: []person{bob}, id: id})
		got, err := w.store.Accept(w.ctx, a)
		w.works("Accept", err)
		same(w, "id", got.ID, a.ID)
		r := w.read(alice, id)
		same(w, "id found under the given one", r.ID, got.ID)
		same(w, "GivenID of the record", r.GivenID, id)
	}
}

// unseen checks that an agent cannot find a message.
func (w *world) unseen(p person, id amtp.MessageID) {
	w.Helper()
	r, err := w.store.Message(w.ctx, gateway.Reader{Agent: p.ID}, id)
	if err == nil {
		w.Errorf("Message = %s from %s, want the error %q; reader %s, id %s", r.ID, r.Sender, gateway.ErrNotFound,
			p.Address, id)
		return
	}
	w.fails("Message for "+p.Address.String(), err, gateway.ErrNotFound)
}

func aliasIsPrivate(w *world) {
	alice, bob, mallory := w.agent("alice"), w.agent("bob"), w.agent("mallory")
	w.post(letter{from: alice, to: []person{bob}, id: "token"})
	w.unseen(bob, "token")
	w.unseen(mallory, "token")
	w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{bob}, id: "remote"})
	w.unseen(bob, "remote")
	w.unseen(person{}, "remote")
}

func sameAliasTwice(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.post(letter{from: alice, to: []person{carol}, id: "token"})
	second := w.post(letter{from: bob, to: []person{carol}, id: "token"})
	same(w, "id that alice finds", w.read(alice, "token").ID, first.ID)
	same(w, "id that bob finds", w.read(bob, "token").ID, second.ID)
}

func canonicalBeforeAlias(w *world) {
	alice, mallory := w.agent("alice"), w.agent("mallory")
	id := amtp.NewMessageID()
	w.post(letter{from: mallory, to: []person{alice}, id: id})
	w.post(letter{from: alice, to: []person{mallory}, id: id})
	r := w.read(alice, id)
	same(w, "id", r.ID, id)
	same(w, "sender", r.SenderAgent, mallory.ID)
}

func neverOverwritten(w *world) {
	alice, bob, mallory := w.agent("alice"), w.agent("bob"), w.agent("mallory")
	id := amtp.NewMessageID()
	w.post(letter{from: alice, to: []person{bob}, id: id, key: "k", text: "true"})
	before := w.read(bob, id)
	for _, l := range []letter{
		{from: mallory, to: []person{bob}, id: id, key: "k"},
		{from: alice, to: []person{mallory}, id: id},
		{from: alice, to: []person{bob}, id: id, class: gateway.ClassAnonymous},
		{remote: "peer@far.example", to: []person{bob}, id: id, class: gateway.ClassDomain},
		{remote: "alice@far.example", to: []person{bob}, id: id, class: gateway.ClassAnonymous},
		{remote: "mailer-daemon@" + domain, to: []person{bob}, id: id, class: gateway.ClassGateway},
	} {
		if got, err := w.try(l); err == nil && got.ID == id {
			w.Errorf("answer to %s = %s, want another id: alice's message has it", l.sender(), got.ID)
		}
	}
	after := w.read(bob, id)
	w.sameEnvelope("record", after.Envelope, before.Envelope)
	same(w, "body", string(after.Body), string(before.Body))
	sameList(w, "agents", agentsOf(after.Deliveries), agentsOf(before.Deliveries))
}
