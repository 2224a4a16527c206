package storetest

import (
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// accepting are the promises about a new message.
func accepting() []promise {
	return []promise{
		{"stores a message with one delivery per recipient", oneDeliveryPerRecipient},
		{"a delivery to a local pull agent is Delivered at once", deliveredAtOnce},
		{"the envelope is kept as it was given", envelopeIsKept},
		{"the bytes are kept as they arrived", bytesAreKept},
		{"times are kept to the microsecond", timesAreKept},
		{"an agent may write to itself", writingToItself},
		{"with neither key nor id every call stores a message", withoutKeyOrID},
		{"a recipient that was deleted meanwhile is left out", deletedRecipientIsLeftOut},
		{"a sender that was deleted sends nothing more", deletedSender},
		{"ErrNotFound when no recipient is left", noRecipientIsLeft},
		{"what was refused leaves no trace", refusalLeavesNoTrace},
	}
}

func oneDeliveryPerRecipient(w *world) {
	alice, bob, carol, dave := w.agent("alice"), w.agent("bob"), w.agent("carol"), w.agent("dave")
	got := w.post(letter{from: alice, to: []person{carol, bob, dave}})
	same(w, "Replayed", got.Replayed, false)
	want := []gateway.AgentID{carol.ID, bob.ID, dave.ID}
	sameList(w, "agents of the answer", agentsOf(got.Deliveries), want)
	sameList(w, "agents of the record", agentsOf(w.read(alice, got.ID).Deliveries), want)
	for _, p := range []person{bob, carol, dave} {
		sameList(w, "inbox of "+p.Address.String(), w.inbox(p), []amtp.MessageID{got.ID})
	}
	sameList(w, "inbox of the sender", w.inbox(alice), nil)
}

func agentsOf(deliveries []gateway.Delivery) []gateway.AgentID {
	list := make([]gateway.AgentID, len(deliveries))
	for i := range deliveries {
		list[i] = deliveries[i].Agent
	}
	return list
}

func deliveredAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("Bob")
	a := w.acceptance(letter{from: alice, to: []person{bob}})
	got, err := w.store.Accept(w.ctx, a)
	if err != nil {
		w.Fatalf("Accept = %v, want no error", err)
	}
	for where, d := range map[string]gateway.Delivery{"answer": got.Deliveries[0],
		"record": w.read(alice, got.ID).Deliveries[0]} {
		same(w, "state in the "+where, d.State, gateway.Delivered)
		same(w, "recipient in the "+where, d.Recipient.String(), "Bob@"+domain)
		same(w, "mode in the "+where, d.Mode, "pull")
		same(w, "attempts in the "+where, d.Attempts, 1)
		w.sameTime("time of delivery in the "+where, d.Delivered, a.ReceivedAt)
		w.sameTime("time of the last change in the "+where, d.Changed, a.ReceivedAt)
		w.sameTime("time of acknowledgement in the "+where, d.Acked, time.Time{})
		w.sameTime("next due time in the "+where, d.NextDue, time.Time{})
	}
}

func envelopeIsKept(w *world) {
	alice, bob := w.agent("Alice"), w.agent("bob")
	pass := gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}
	none := gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthNone}}
	far := gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass, Domain: "far.example",
		Selector: "s1", Algorithm: "ES256", FirstContact: true}}
	bad := gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthFail, Reason: "no key <&> \u00fc"},
		Policy: gateway.PolicyFlag}
	accepted := gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthNone, Reason: "unsigned"},
		Policy: gateway.PolicyAccept}
	mail := gateway.Finding{Authentication: none.Authentication, Bridged: true}
	for _, c := range []struct {
		class  gateway.Class
		remote string
		trust  amtp.Trust
		found  gateway.Finding
	}{
		{gateway.ClassAgent, "", amtp.TrustLocal, pass},
		{gateway.ClassAnonymous, "", amtp.TrustUnverified, none},
		{gateway.ClassDomain, "Peer@far.example", amtp.TrustVerified, far},
		{gateway.ClassAnonymous, "peer@far.example", amtp.TrustUnverified, bad},
		{gateway.ClassAnonymous, "poor@far.example", amtp.TrustUnverified, accepted},
		{gateway.ClassAnonymous, "mail@far.example", amtp.TrustBridged, mail},
		{gateway.ClassGateway, "mailer-daemon@" + domain, amtp.TrustLocal, pass},
	} {
		l := letter{from: alice, remote: c.remote, to: []person{bob}, class: c.class, id: "given-id", key: "k",
			answers: "a:1"}
		if c.remote != "" {
			l.from = person{}
		}
		a := w.acceptance(l)
		a.Found, a.RequestID = c.found, 1<<63|5
		a.Timestamp = a.ReceivedAt.Add(-time.Minute)
		got, err := w.store.Accept(w.ctx, a)
		if err != nil {
			w.Fatalf("Accept = %v, want no error; class %d, sender %s", err, c.class, l.sender())
		}
		record := w.read(bob, got.ID)
		w.sameEnvelope("record", record.Envelope, a.Envelope)
		same(w, "trust", record.Shown().Trust, c.trust)
		items := w.page(bob, wholeInbox).Items
		w.sameEnvelope("inbox", items[len(items)-1].Envelope, a.Envelope)
	}
}

func (w *world) sameEnvelope(where string, got, want gateway.Envelope) {
	w.Helper()
	w.sameTime("ReceivedAt in the "+where, got.ReceivedAt, want.ReceivedAt)
	w.sameTime("Timestamp in the "+where, got.Timestamp, want.Timestamp)
	same(w, "sender in the "+where, got.Sender.Key(), want.Sender.Key())
	got.ReceivedAt, got.Timestamp, got.Sender = want.ReceivedAt, want.Timestamp, want.Sender
	same(w, "envelope in the "+where, got, want)
}

func bytesAreKept(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	members := `"sender":"alice@shop.example","recipients":["bob@shop.example"]`
	for _, doc := range []string{
		`{` + members + `}`,
		"\r\n\t { " + members + " \n, \"payload\" : [ 1 ,2 ] } \n\n",
		`{` + members + `,"payload":[1.0,1e0,-0,100000000000000000000000000000000000001,9007199254740993,0.10]}`,
		`{"x-unknown":{"b":1,"a":[null,true]},` + members + `,"":""}`,
		`{` + members + `,"subject":"Gr\u00fc\u00DFe \ud83d\ude00 \/ <b>&"}`,
		`{` + members + `,"payload":"` + "ü 😀 \u2028 \ufffd \x7f" + `"}`,
		`{` + members + `,"payload":"\u0000\u0001\u2028"}`,
		`{` + members + `,"headers":null,"message_id":"","payload":null}`,
		`{` + members + `,"payload":"` + strings.Repeat("large ", 400_000) + `"}`,
	} {
		got := w.post(letter{from: alice, to: []person{bob}, doc: doc})
		items := w.page(bob, wholeInbox).Items
		for where, body := range map[string][]byte{"record": w.read(alice, got.ID).Body,
			"inbox": items[len(items)-1].Body} {
			if string(body) != doc {
				w.Errorf("body of the %s = %.100q, want %.100q", where, body, doc)
			}
		}
		w.ack(bob, got.ID)
	}
}

func timesAreKept(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, at := range []time.Time{
		morning.Add(time.Microsecond), morning.Add(999_999 * time.Microsecond),
		time.Date(2026, 3, 1, 9, 30, 0, 1000, time.FixedZone("", 5400)),
		time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(2150, 1, 1, 0, 0, 0, 1000, time.UTC),
	} {
		a := w.acceptance(letter{from: alice, to: []person{bob}})
		a.ReceivedAt, a.Timestamp = at, at.Add(-7*time.Microsecond)
		got, err := w.store.Accept(w.ctx, a)
		if err != nil {
			w.Fatalf("Accept = %v, want no error; time %v", err, at)
		}
		read, err := w.store.MarkRead(w.ctx, gateway.Acting{Agent: bob.ID}, got.ID, at.Add(time.Microsecond))
		w.works("MarkRead", err)
		w.sameTime("read mark", read.At, at.Add(time.Microsecond))
		w.sameTime("ReadAt in the inbox", w.page(bob, wholeInbox).Items[0].ReadAt, at.Add(time.Microsecond))
		acked, err := w.store.Ack(w.ctx, gateway.Acting{Agent: bob.ID}, got.ID, at.Add(2*time.Microsecond))
		w.works("Ack", err)
		w.sameTime("acknowledgement", acked.At, at.Add(2*time.Microsecond))
		r := w.read(alice, got.ID)
		w.sameTime("ReceivedAt", r.ReceivedAt, at)
		w.sameTime("Timestamp", r.Timestamp, at.Add(-7*time.Microsecond))
		w.sameTime("Delivered", r.Deliveries[0].Delivered, at)
		w.sameTime("Acked", r.Deliveries[0].Acked, at.Add(2*time.Microsecond))
	}
}

func writingToItself(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, alice, bob)
	sameList(w, "own inbox", w.inbox(alice), []amtp.MessageID{id})
	w.ack(alice, id)
	sameList(w, "own inbox after the ack", w.inbox(alice), nil)
	sameList(w, "the other's inbox", w.inbox(bob), []amtp.MessageID{id})
}

func withoutKeyOrID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, class := range []gateway.Class{gateway.ClassAgent, gateway.ClassAnonymous} {
		l := letter{from: alice, to: []person{bob}, class: class, text: "again"}
		first, second := w.post(l), w.post(l)
		if first.ID == second.ID || second.Replayed {
			w.Errorf("second answer = %s, replayed %v, want one other than %s; class %d", second.ID, second.Replayed,
				first.ID, class)
		}
	}
	same(w, "messages in the inbox", len(w.inbox(bob)), 4)
}

func deletedRecipientIsLeftOut(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	w.remove(bob)
	got := w.post(letter{from: alice, to: []person{bob, carol}})
	sameList(w, "agents of the answer", agentsOf(got.Deliveries), []gateway.AgentID{carol.ID})
	sameList(w, "agents of the record", agentsOf(w.read(alice, got.ID).Deliveries), []gateway.AgentID{carol.ID})
	sameList(w, "inbox of who was deleted", w.inbox(bob), nil)
}

func noRecipientIsLeft(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	w.remove(bob)
	w.remove(carol)
	_, err := w.try(letter{from: alice, to: []person{bob, carol}})
	w.fails("Accept for deleted recipients", err, gateway.ErrNotFound)
	_, err = w.try(letter{from: alice, to: []person{{Agent: gateway.Agent{ID: 999_999, Address: bob.Address}}}})
	w.fails("Accept for a recipient that never was", err, gateway.ErrNotFound)
	same(w, "messages of the sender", w.list(alice, gateway.MessageFilter{Limit: 10}).Total, 0)
}

func refusalLeavesNoTrace(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	w.remove(bob)
	id := amtp.NewMessageID()
	_, err := w.try(letter{from: alice, to: []person{bob}, id: id, key: "k", text: "one"})
	w.fails("Accept for a deleted recipient", err, gateway.ErrNotFound)
	got := w.post(letter{from: alice, to: []person{carol}, id: id, key: "k", text: "two"})
	same(w, "id", got.ID, id)
	same(w, "Replayed", got.Replayed, false)
}

func deletedSender(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.remove(alice)
	for _, to := range []letter{{from: alice, to: []person{bob}},
		{from: alice, far: []string{"a@far.example"}, key: "other"}} {
		_, err := w.try(to)
		w.fails("Accept of a letter of who was deleted", err, gateway.ErrNotFound)
	}
	w.isRetry(first, w.post(l))
	l.to = []person{bob, carol}
	same(w, "id of a retry that adds a recipient", w.post(l).ID, first.ID)
	sameList(w, "inbox of the one", w.inbox(bob), []amtp.MessageID{first.ID})
	sameList(w, "inbox of the added one", w.inbox(carol), nil)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
}
