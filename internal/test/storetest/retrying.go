package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// retrying are the promises about a message that its sender repeats.
func retrying() []promise {
	return []promise{
		{"the same key and the same content is a retry", retryByKey},
		{"the same id and the same content is a retry", retryByID},
		{"a retry may be spelled in another way", retrySpelledDifferently},
		{"nothing is stored by a retry", retryStoresNothing},
		{"a retry returns the present states", retryReturnsPresentStates},
		{"a retry is delivered to recipients that it did not have yet", retryGainsRecipients},
		{"an address that it had is no new recipient, whoever has the name now", retryAfterNamesake},
		{"a retry is recognised after the ack", retryAfterAck},
		{"other content is ErrReused", otherContent},
		{"ErrReused leaves nothing changed", reusedChangesNothing},
		{"a key and an id of two messages store nothing", keyAndIDDisagree},
		{"of two messages of another domain with one content it is the one of the key", keyGoesBeforeID},
		{"senders with the same key and id are independent", sendersAreIndependent},
		{"domains with the same key and id are independent", domainsAreIndependent},
	}
}

// keyGoesBeforeID: another gateway first gives a further recipient an id of its own.
// Later, when it knows more of us, it gives it the id of the message. The key stays the
// same.
func keyGoesBeforeID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	own, shared := amtp.NewMessageID(), amtp.NewMessageID()
	l := letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{alice}, text: "one"}
	l.id, l.key = own, "key-of-alice"
	first := w.post(l)
	l.id, l.key, l.to = shared, "key-of-bob", []person{bob}
	w.post(l)
	l.id, l.key, l.to = shared, "key-of-alice", []person{alice}
	w.isRetry(first, w.post(l))
	sameList(w, "inbox of alice", w.inbox(alice), []amtp.MessageID{own})
	sameList(w, "inbox of bob", w.inbox(bob), []amtp.MessageID{shared})
	l.text = "another"
	_, err := w.store.Accept(w.ctx, w.acceptance(l))
	w.fails("Accept of other content", err, gateway.ErrReused)
}

// retryAfterNamesake: an agent does not inherit messages of a removed agent of the same
// name, even if their sender got no answer and repeats them.
func retryAfterNamesake(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	for _, l := range []letter{
		{from: alice, id: "one", text: "of an agent"},
		{remote: "peer@far.example", class: gateway.ClassDomain, key: "k", text: "of a domain"},
		{remote: "peer@far.example", class: gateway.ClassAnonymous, key: "k", text: "of a stranger"},
	} {
		l.to = []person{bob}
		first := w.post(l)
		w.ack(bob, first.ID)
		w.remove(bob)
		next, err := w.register("Bob")
		w.works("AddAgent", err)
		l.to = []person{next, carol}
		got := w.post(l)
		sameList(w, "agents of the retry", agentsOf(got.Deliveries), []gateway.AgentID{bob.ID, carol.ID})
		sameList(w, "inbox of the namesake", w.inbox(next), nil)
		_, err = w.store.Message(w.ctx, gateway.Reader{Agent: next.ID}, first.ID)
		w.fails("Message, read by the namesake", err, gateway.ErrNotFound)
		bob = next
		bob.Address = w.address("bob@" + domain)
	}
	same(w, "messages that carol has", len(w.inbox(carol)), 3)
}

func retryByKey(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "once"}
	w.isRetry(w.post(l), w.post(l))
	same(w, "messages in the inbox", len(w.inbox(bob)), 1)
}

func (w *world) isRetry(first, second gateway.Accepted) {
	w.Helper()
	same(w, "id of the retry", second.ID, first.ID)
	same(w, "Replayed of the first", first.Replayed, false)
	same(w, "Replayed of the retry", second.Replayed, true)
	sameList(w, "agents of the retry", agentsOf(second.Deliveries), agentsOf(first.Deliveries))
}

func retryByID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "order:1.a"} {
		l := letter{from: alice, to: []person{bob}, id: id, text: "once"}
		first := w.post(l)
		w.isRetry(first, w.post(l))
		l.key = "late-" + string(id)
		w.isRetry(first, w.post(l))
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 2)
}

func retrySpelledDifferently(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	doc := `{"sender":"alice@shop.example","recipients":["bob@shop.example"],"idempotency_key":"k","subject":"ü","payload":{"a":1.0,"b":2}}`
	again := ` { "timestamp":"2026-03-01T08:00:00Z", "payload":{ "b":2, "a":1.0 }, "subject":"\u00fc", "message_id":"m",
		"recipients":["bob@shop.example"],"idempotency_key":"k","sender":"alice@shop.example" }`
	first := w.post(letter{from: alice, to: []person{bob}, doc: doc})
	w.isRetry(first, w.post(letter{from: alice, to: []person{bob}, doc: again}))
	same(w, "body", string(w.read(bob, first.ID).Body), doc)
}

func retryStoresNothing(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, id: "m", key: "k", text: "once"}
	first := w.post(l)
	before, list := w.read(alice, first.ID), w.list(alice, gateway.MessageFilter{Limit: 10}).Total
	w.post(l)
	after := w.read(alice, first.ID)
	w.sameTime("ReceivedAt", after.ReceivedAt, before.ReceivedAt)
	same(w, "body", string(after.Body), string(before.Body))
	same(w, "messages of the sender", w.list(alice, gateway.MessageFilter{Limit: 10}).Total, list)
	same(w, "messages in the inbox", len(w.inbox(bob)), 1)
}

func retryReturnsPresentStates(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	l := letter{from: alice, to: []person{bob, carol}, key: "k", text: "once"}
	first := w.post(l)
	mark := w.ack(carol, first.ID)
	got := w.post(l)
	same(w, "state for bob", got.Deliveries[0].State, gateway.Delivered)
	same(w, "state for carol", got.Deliveries[1].State, gateway.Acknowledged)
	w.sameTime("ack of carol", got.Deliveries[1].Acked, mark.At)
}

func retryGainsRecipients(w *world) {
	alice, bob, carol, dave := w.agent("alice"), w.agent("bob"), w.agent("carol"), w.agent("dave")
	for _, l := range []letter{
		{from: alice, key: "k", text: "by key"},
		{from: alice, id: "token", text: "by id"},
		{from: alice, id: amtp.NewMessageID(), key: "k2", text: "by both"},
		{from: alice, key: "k", text: "stranger", class: gateway.ClassAnonymous},
	} {
		l.to = []person{bob}
		first := w.post(l)
		l.to = []person{carol, bob, dave}
		second := w.post(l)
		same(w, "id of the retry", second.ID, first.ID)
		same(w, "Replayed of the retry", second.Replayed, true)
		want := []gateway.AgentID{bob.ID, carol.ID, dave.ID}
		sameList(w, "agents of the answer", agentsOf(second.Deliveries), want)
		sameList(w, "agents of the record", agentsOf(w.read(carol, first.ID).Deliveries), want)
		for _, p := range []person{bob, carol, dave} {
			sameList(w, "inbox of "+p.Address.String()+" for the letter "+l.text, w.inbox(p),
				[]amtp.MessageID{first.ID})
			w.ack(p, first.ID)
		}
	}
}

func retryAfterAck(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, l := range []letter{
		{key: "k", text: "by key"}, {id: "token", text: "by token"}, {id: amtp.NewMessageID(), text: "by id"},
		{key: "k", text: "by a stranger's key", class: gateway.ClassAnonymous},
		{id: "token", text: "by a stranger's id", class: gateway.ClassAnonymous},
	} {
		l.from, l.to = alice, []person{bob}
		first := w.post(l)
		w.ack(bob, first.ID)
		second := w.post(l)
		same(w, "id of the retry "+l.text, second.ID, first.ID)
		same(w, "Replayed of the retry "+l.text, second.Replayed, true)
		sameList(w, "inbox after the retry "+l.text, w.inbox(bob), nil)
	}
}

func otherContent(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	uuid := amtp.NewMessageID()
	w.post(letter{from: alice, to: []person{bob}, key: "k", text: "one"})
	w.post(letter{from: alice, to: []person{bob}, id: uuid, text: "one"})
	w.post(letter{from: alice, to: []person{bob}, id: "token", text: "one"})
	w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{bob}, id: "r", key: "r",
		text: "one"})
	for what, l := range map[string]letter{
		"the same key":                         {from: alice, to: []person{bob}, key: "k"},
		"the same key for another recipient":   {from: alice, to: []person{carol}, key: "k"},
		"the same key with a new id":           {from: alice, to: []person{bob}, key: "k", id: "new"},
		"the same UUID":                        {from: alice, to: []person{bob}, id: uuid},
		"the same UUID with a new key":         {from: alice, to: []person{bob}, id: uuid, key: "new"},
		"the same token":                       {from: alice, to: []person{bob}, id: "token"},
		"the same token for another recipient": {from: alice, to: []person{carol}, id: "token"},
		"the same key of a domain": {remote: "peer@far.example", class: gateway.ClassDomain,
			to: []person{bob}, key: "r"},
		"the same id of a domain": {remote: "Peer@far.example", class: gateway.ClassDomain, to: []person{bob}, id: "r"},
	} {
		l.text = "two"
		_, err := w.try(l)
		w.fails("Accept of other content under "+what, err, gateway.ErrReused)
	}
}

func reusedChangesNothing(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.post(letter{from: alice, to: []person{bob}, key: "k", text: "one"})
	before := w.read(alice, first.ID)
	for _, l := range []letter{
		{from: alice, to: []person{bob, carol}, key: "k", id: "fresh", text: "two"},
		{from: alice, to: []person{carol}, key: "fresh", id: first.ID, text: "three"},
	} {
		_, err := w.try(l)
		w.fails("Accept of other content", err, gateway.ErrReused)
	}
	after := w.read(alice, first.ID)
	w.sameEnvelope("record", after.Envelope, before.Envelope)
	same(w, "body", string(after.Body), string(before.Body))
	sameList(w, "agents", agentsOf(after.Deliveries), agentsOf(before.Deliveries))
	sameList(w, "inbox of carol", w.inbox(carol), nil)
	w.unseen(alice, "fresh")
	got := w.post(letter{from: alice, to: []person{carol}, key: "fresh", id: "fresh", text: "four"})
	same(w, "Replayed under the key and id that were refused", got.Replayed, false)
}

func keyAndIDDisagree(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.post(letter{from: alice, to: []person{bob}, key: "k1", id: "id1", text: "one"})
	w.post(letter{from: alice, to: []person{bob}, key: "k2", id: "id2", text: "two"})
	got, err := w.try(letter{from: alice, to: []person{bob}, key: "k1", id: "id2", text: "one"})
	if err == nil && !got.Replayed {
		w.Errorf("Accept = %s, want no new message under the key of one and the id of another", got.ID)
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 2)
}

func sendersAreIndependent(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	for i, text := range []string{"the same", ""} {
		l := letter{to: []person{carol}, key: "k", id: "m", text: text}
		if i == 1 {
			l.key, l.id = "k1", "m1"
		}
		l.from = alice
		first := w.post(l)
		l.from = bob
		second := w.post(l)
		if second.Replayed || second.ID == first.ID {
			w.Errorf("answer to bob = %s, replayed %v, want a message beside alice's %s", second.ID,
				second.Replayed, first.ID)
		}
	}
	same(w, "messages in the inbox", len(w.inbox(carol)), 4)
}

func domainsAreIndependent(w *world) {
	bob := w.agent("bob")
	uuid := amtp.NewMessageID()
	for _, sender := range []string{"a@far.example", "b@far.example", "a@other.example"} {
		l := letter{remote: sender, class: gateway.ClassDomain, to: []person{bob}, key: "k", id: uuid}
		l.text = "from " + sender
		first := w.post(l)
		same(w, "Replayed for "+sender, first.Replayed, false)
		w.isRetry(first, w.post(l))
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 3)
}
