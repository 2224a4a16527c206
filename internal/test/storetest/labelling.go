package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// labelling are the promises about labels.
func labelling() []promise {
	return []promise{
		{"adds and removes labels, and returns those that the message has then", labelChanges},
		{"every view of the mailbox shows them, of sent and received messages", labelShown},
		{"no other mailbox ever sees it", labelIsOwn},
		{"ErrNotFound for a message of others and for an unknown id", labelOfStrangers},
		{"the id may be one that the sender gave", labelByAlias},
		{"ErrLabels when there would be too many, and nothing is changed", labelBound},
		{"changes at the same time are made one after the other", labelAtOnce},
		{"Inbox and Messages choose messages by a label", labelFilters},
		{"a label stays when the message is acknowledged, and goes with it", labelGoes},
	}
}

func (w *world) label(p person, id amtp.MessageID, add, remove string) string {
	w.Helper()
	got, err := w.store.Label(w.ctx, gateway.Acting{Agent: p.ID}, id,
		gateway.LabelChange{Add: strings.Fields(add), Remove: strings.Fields(remove)})
	if err != nil {
		w.Fatalf("Label = %v, want no error; agent %s, id %s", err, p.Address, id)
	}
	return strings.Join(got, " ")
}

func labelChanges(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	same(w, "labels", w.label(bob, id, "", ""), "")
	same(w, "labels", w.label(bob, id, "todo a/b urgent", ""), "a/b todo urgent")
	same(w, "labels", w.label(bob, id, "done todo", "urgent x"), "a/b done todo")
	same(w, "labels", w.label(bob, id, "", "a/b done todo"), "")
}

func labelShown(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	want := w.label(bob, id, "todo a", "")
	show := func(what string, labels []string) {
		w.Helper()
		same(w, what, strings.Join(labels, " "), want)
	}
	show("Message", w.read(bob, id).Labels)
	show("Inbox", w.page(bob, wholeInbox).Items[0].Labels)
	show("Thread", w.thread(bob, id, gateway.ThreadFilter{Limit: 1}).Messages[0].Labels)
	show("Messages", w.list(bob, gateway.MessageFilter{Limit: 10}).Messages[0].Labels)
	want = w.label(alice, id, "sent-one", "")
	show("Message of the sender", w.read(alice, id).Labels)
}

func labelIsOwn(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, bob, carol)
	w.label(bob, id, "todo", "")
	for _, p := range []person{alice, carol} {
		same(w, "labels for "+p.Address.String(), len(w.read(p, id).Labels), 0)
		same(w, "messages with the label", len(w.list(p, gateway.MessageFilter{Label: "todo", Limit: 10}).Messages), 0)
	}
	same(w, "labels in the inbox of carol", len(w.page(carol, wholeInbox).Items[0].Labels), 0)
	all, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, id)
	w.works("Message", err)
	same(w, "labels for Everyone", len(all.Labels), 0)
	page, err := w.store.Messages(w.ctx, gateway.Reader{Everyone: true},
		gateway.MessageFilter{Label: "todo", Limit: 10})
	w.works("Messages", err)
	same(w, "messages with the label for Everyone", len(page.Messages), 0)
	same(w, "labels of carol", w.label(carol, id, "x", ""), "x")
	same(w, "labels of bob", w.label(bob, id, "", ""), "todo")
}

func labelOfStrangers(w *world) {
	alice, bob, eve := w.agent("alice"), w.agent("bob"), w.agent("eve")
	id := w.send(alice, bob)
	for _, id := range []amtp.MessageID{id, "nothing", amtp.NewMessageID()} {
		_, err := w.store.Label(w.ctx, gateway.Acting{Agent: eve.ID}, id, gateway.LabelChange{Add: []string{"a"}})
		w.fails("Label", err, gateway.ErrNotFound)
	}
}

func labelByAlias(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	w.label(alice, "token", "todo", "")
	same(w, "labels", strings.Join(w.read(alice, id).Labels, " "), "todo")
}

func labelBound(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	var all []string
	for i := range gateway.MaxLabels {
		all = append(all, fmt.Sprintf("label%02d", i))
	}
	full := w.label(bob, id, strings.Join(all, " "), "")
	_, err := w.store.Label(w.ctx, gateway.Acting{Agent: bob.ID}, id, gateway.LabelChange{Add: []string{"more"}})
	w.fails("Label", err, gateway.ErrLabels)
	same(w, "labels", w.label(bob, id, "", ""), full)
	same(w, "labels of the other side", w.label(alice, id, "more", ""), "more")
}

func labelAtOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	const n = gateway.MaxLabels + 8
	var refused [n]error
	together(n, func(i int) {
		_, refused[i] = w.store.Label(w.ctx, gateway.Acting{Agent: bob.ID}, id,
			gateway.LabelChange{Add: []string{fmt.Sprintf("label%02d", i)}})
	})
	over := 0
	for _, err := range refused {
		if err != nil {
			over++
			w.fails("Label", err, gateway.ErrLabels)
		}
	}
	same(w, "changes that were refused", over, n-gateway.MaxLabels)
	same(w, "labels", len(w.read(bob, id).Labels), gateway.MaxLabels)
}

func labelFilters(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	list := w.sendMany(5, alice, bob)
	for _, i := range []int{1, 3} {
		w.label(bob, list[i], "todo", "")
		w.label(alice, list[i+1], "todo", "")
	}
	w.label(bob, list[2], "todo2", "")
	sameList(w, "inbox", w.pageIDs(bob, gateway.InboxFilter{Label: "todo", Limit: 10}),
		[]amtp.MessageID{list[1], list[3]})
	sameList(w, "inbox", w.pageIDs(bob, gateway.InboxFilter{Label: "none", Limit: 10}), nil)
	first := w.page(bob, gateway.InboxFilter{Label: "todo", Limit: 1})
	same(w, "HasMore", first.HasMore, true)
	sameList(w, "inbox behind the first", w.pageIDs(bob,
		gateway.InboxFilter{Label: "todo", After: first.Next, Limit: 1}),
		[]amtp.MessageID{list[3]})
	w.ack(bob, list[1])
	sameList(w, "inbox after an ack", w.pageIDs(bob, gateway.InboxFilter{Label: "todo", Limit: 10}),
		[]amtp.MessageID{list[3]})
	for _, c := range []struct {
		p    person
		f    gateway.MessageFilter
		want []amtp.MessageID
	}{
		{bob, gateway.MessageFilter{Label: "todo"}, []amtp.MessageID{list[3], list[1]}},
		{alice, gateway.MessageFilter{Label: "todo", Sent: true}, []amtp.MessageID{list[4], list[2]}},
		{bob, gateway.MessageFilter{Label: "todo", Sender: bob.Address}, nil},
		{bob, gateway.MessageFilter{Label: "todo2", Sender: alice.Address}, []amtp.MessageID{list[2]}},
		{bob, gateway.MessageFilter{Label: "none"}, nil},
	} {
		c.f.Limit = 10
		sameList(w, fmt.Sprintf("Messages %+v", c.f), recordIDs(w.list(c.p, c.f).Messages), c.want)
	}
}

func labelGoes(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.label(bob, id, "todo", "")
	w.ack(bob, id)
	same(w, "labels after an ack", strings.Join(w.read(bob, id).Labels, " "), "todo")
	w.send(alice, bob) // the newest message stays
	later := w.now().Add(3 * 365 * 24 * time.Hour)
	for after := int64(0); ; {
		p, err := w.store.Purge(w.ctx, gateway.DefaultRetention(), later, after, 100)
		w.works("Purge", err)
		if after = p.Next; p.Done || err != nil {
			break
		}
	}
	w.absent(bob, id)
	same(w, "messages with the label", len(w.list(bob, gateway.MessageFilter{Label: "todo", Limit: 10}).Messages), 0)
	_, err := w.store.Label(w.ctx, gateway.Acting{Agent: bob.ID}, id, gateway.LabelChange{Add: []string{"a"}})
	w.fails("Label", err, gateway.ErrNotFound)
}
