package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// strangers are the promises about senders that prove nothing. They can neither change
// nor suppress messages of other senders, nor one another's.
func strangers() []promise {
	return []promise{
		{"for ClassAnonymous other content is another message", strangersOtherContent},
		{"for ClassAnonymous the same content is a retry", strangersSameContent},
		{"a stranger does not suppress an agent's message", strangerBeforeAgent},
		{"a stranger does not suppress a domain's message", strangerBeforeDomain},
		{"a stranger does not suppress another's message", strangerBeforeStranger},
		{"a recipient does not suppress another recipient's copy", recipientBeforeSender},
		{"a stranger's message does not change an agent's", strangerAfterAgent},
		{"a stranger does not take the alias of an agent", strangerKeepsOffAlias},
	}
}

func strangersOtherContent(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	uuid := amtp.NewMessageID()
	for _, l := range []letter{{key: "k"}, {id: "token"}, {id: uuid}, {id: "token2", key: "k2"}} {
		l.from, l.to, l.class = alice, []person{bob}, gateway.ClassAnonymous
		seen := make(map[amtp.MessageID]bool)
		for _, text := range []string{"one", "two", "three"} {
			l.text = text
			got := w.post(l)
			if got.Replayed || seen[got.ID] {
				w.Errorf("answer = %s, replayed %v, want a separate message; key %q, id %q, text %s", got.ID,
					got.Replayed, l.key, l.id, text)
			}
			seen[got.ID] = true
		}
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 12)
}

func strangersSameContent(w *world) {
	bob := w.agent("bob")
	for _, l := range []letter{{key: "k"}, {id: "token"}, {id: amtp.NewMessageID()}, {id: "token2", key: "k2"}} {
		l.remote, l.to, l.class = "peer@far.example", []person{bob}, gateway.ClassAnonymous
		var first []gateway.Accepted
		for _, text := range []string{"one", "two", "three"} {
			l.text = text
			first = append(first, w.post(l))
		}
		for i, text := range []string{"one", "two", "three"} {
			l.text = text
			w.isRetry(first[i], w.post(l))
		}
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 12)
}

// isNew posts the letter, and checks that no earlier message could suppress it.
func (w *world) isNew(l letter) gateway.Accepted {
	w.Helper()
	got := w.post(l)
	same(w, "Replayed", got.Replayed, false)
	for _, p := range l.to {
		box := w.inbox(p)
		if len(box) == 0 || box[len(box)-1] != got.ID {
			w.Errorf("inbox of %s = %v, want %s at its end", p.Address, box, got.ID)
		}
	}
	return got
}

func strangerBeforeAgent(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, text := range []string{"forged", "true"} {
		for _, id := range []amtp.MessageID{amtp.NewMessageID(), amtp.MessageID("token-" + text)} {
			l := letter{from: alice, to: []person{bob}, id: id, key: "k" + string(id), text: text,
				class: gateway.ClassAnonymous}
			w.post(l)
			l.text, l.class = "true", gateway.ClassAgent
			got := w.isNew(l)
			same(w, "class of the record", w.read(bob, got.ID).Class, gateway.ClassAgent)
		}
	}
}

func strangerBeforeDomain(w *world) {
	bob := w.agent("bob")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "token"} {
		l := letter{remote: "peer@far.example", to: []person{bob}, id: id, key: "k" + string(id), text: "forged",
			class: gateway.ClassAnonymous}
		w.post(l)
		l.text, l.class = "true", gateway.ClassDomain
		w.isNew(l)
	}
}

func strangerBeforeStranger(w *world) {
	bob := w.agent("bob")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "token"} {
		l := letter{to: []person{bob}, id: id, key: "k" + string(id), class: gateway.ClassAnonymous}
		l.remote, l.text = "mallory@far.example", "the same"
		w.post(l)
		l.remote = "peer@far.example"
		w.isNew(l)
	}
}

// recipientBeforeSender: mallory got the message as well, and writes before the
// sender's second request, the one for bob.
func recipientBeforeSender(w *world) {
	bob, mallory := w.agent("bob"), w.agent("mallory")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "token"} {
		l := letter{remote: "peer@far.example", to: []person{mallory}, id: id, key: "k" + string(id), text: "true",
			class: gateway.ClassAnonymous}
		first := w.post(l)
		forged := l
		forged.to, forged.text = []person{bob}, "forged"
		w.isNew(forged)
		l.to = []person{bob}
		second := w.post(l)
		same(w, "id for bob", second.ID, first.ID)
		box := w.inbox(bob)
		same(w, "end of bob's inbox", box[len(box)-1], first.ID)
	}
}

func strangerAfterAgent(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	for _, id := range []amtp.MessageID{amtp.NewMessageID(), "token"} {
		l := letter{from: alice, to: []person{bob}, id: id, key: "k" + string(id), text: "true"}
		first := w.post(l)
		before := w.read(alice, first.ID)
		for _, text := range []string{"true", "forged"} {
			forged := l
			forged.text, forged.to, forged.class = text, []person{bob, carol}, gateway.ClassAnonymous
			if got := w.post(forged); got.ID == first.ID {
				w.Errorf("answer to the stranger = %s, want another message than alice's", got.ID)
			}
		}
		after := w.read(alice, first.ID)
		w.sameEnvelope("record", after.Envelope, before.Envelope)
		sameList(w, "agents", agentsOf(after.Deliveries), agentsOf(before.Deliveries))
		w.isRetry(first, w.post(l))
	}
}

func strangerKeepsOffAlias(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, id: "token", text: "true"}
	first := w.post(l)
	l.text, l.class = "forged", gateway.ClassAnonymous
	w.post(l)
	same(w, "id behind the alias", w.read(alice, "token").ID, first.ID)
}
