package storetest

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// boxes are the promises about one page of an inbox.
func boxes() []promise {
	return []promise{
		{"returns unacknowledged messages in the order in which they entered", inboxOrder},
		{"an item has what a reader needs", inboxItem},
		{"an inbox holds its agent's messages only", inboxIsOwn},
		{"only those behind After", inboxAfter},
		{"nothing is changed by it", inboxChangesNothing},
		{"filters the unread and the read", inboxReadMarks},
		{"filters by time", inboxSince},
		{"skips Offset messages", inboxOffset},
		{"a page ends before MaxBytes is exceeded but holds at least one message", inboxMaxBytes},
		{"a Limit or MaxBytes of 0 is no limit", inboxNoLimit},
		{"HasMore is false only when nothing is left", inboxHasMore},
		{"Next continues behind what was looked at", inboxNext},
	}
}

func (w *world) sendMany(n int, from person, to ...person) []amtp.MessageID {
	w.Helper()
	list := make([]amtp.MessageID, n)
	for i := range list {
		list[i] = w.send(from, to...)
	}
	return list
}

func inboxOrder(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.sendMany(2, alice, bob)
	second := w.sendMany(2, carol, bob)
	third := w.sendMany(1, bob, bob)
	w.ack(bob, first[1])
	sameList(w, "inbox", w.inbox(bob), []amtp.MessageID{first[0], second[0], second[1], third[0]})
}

func inboxItem(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	item, r := w.page(bob, wholeInbox).Items[0], w.read(bob, id)
	w.sameEnvelope("inbox", item.Envelope, r.Envelope)
	same(w, "sender", item.Sender.String(), "alice@"+domain)
	same(w, "body", string(item.Body), string(r.Body))
	same(w, "thread", item.Thread, id)
	same(w, "unread", item.ReadAt.IsZero(), true)
	same(w, "sequence is positive", item.Seq > 0, true)
	same(w, "DeliveryCount", item.DeliveryCount, 0)
}

func inboxIsOwn(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	toBob, toBoth := w.send(alice, bob), w.send(alice, bob, carol)
	w.ack(bob, toBoth)
	sameList(w, "inbox of bob", w.inbox(bob), []amtp.MessageID{toBob})
	sameList(w, "inbox of carol", w.inbox(carol), []amtp.MessageID{toBoth})
	sameList(w, "inbox of alice", w.inbox(alice), nil)
}

func (w *world) pageIDs(p person, f gateway.InboxFilter) []amtp.MessageID {
	w.Helper()
	return ids(w.page(p, f).Items)
}

func inboxAfter(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(4, alice, bob)
	items := w.page(bob, wholeInbox).Items
	for i := range items {
		f := wholeInbox
		f.After = items[i].Seq
		sameList(w, "inbox behind one of four", w.pageIDs(bob, f), sent[i+1:])
	}
}

func inboxChangesNothing(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.sendMany(3, alice, bob)
	first := w.inbox(bob)
	sameList(w, "second look", w.inbox(bob), first)
	w.depth(bob, 10, 3, 3)
	same(w, "state", w.read(alice, first[0]).Deliveries[0].State, gateway.Delivered)
}

func inboxReadMarks(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(4, alice, bob)
	w.markRead(bob, sent[1])
	w.markRead(bob, sent[3])
	f := wholeInbox
	f.Unread = true
	sameList(w, "unread", w.pageIDs(bob, f), []amtp.MessageID{sent[0], sent[2]})
	f.Unread, f.Read = false, true
	sameList(w, "read", w.pageIDs(bob, f), []amtp.MessageID{sent[1], sent[3]})
}

func inboxSince(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.sendMany(2, alice, bob)
	f := wholeInbox
	f.Since = w.now()
	later := w.sendMany(2, alice, bob)
	sameList(w, "inbox since a time", w.pageIDs(bob, f), later)
}

func inboxOffset(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(5, alice, bob)
	f := wholeInbox
	f.Offset, f.Limit = 1, 2
	sameList(w, "inbox from offset 1", w.pageIDs(bob, f), sent[1:3])
	w.markRead(bob, sent[1])
	f.Unread = true
	sameList(w, "unread from offset 1", w.pageIDs(bob, f), []amtp.MessageID{sent[2], sent[3]})
	f.Offset = 9
	sameList(w, "unread from offset 9", w.pageIDs(bob, f), nil)
}

func inboxMaxBytes(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	var sent []amtp.MessageID
	size := 0
	for range 4 {
		l := letter{from: alice, to: []person{bob}, text: strings.Repeat("x", 1000)}
		size = len(w.body(&l))
		sent = append(sent, w.post(l).ID)
	}
	for _, c := range []struct{ bytes, want int }{
		{1, 1}, {size, 1}, {2*size - 1, 1}, {2 * size, 2}, {3*size + 1, 3}, {4*size - 1, 3}, {4 * size, 4},
	} {
		page := w.page(bob, gateway.InboxFilter{Limit: 10, MaxBytes: c.bytes})
		sameList(w, "page", ids(page.Items), sent[:c.want])
		same(w, "HasMore", page.HasMore, c.want < 4)
		rest := w.page(bob, gateway.InboxFilter{Limit: 10, MaxBytes: 1 << 20, After: page.Next})
		sameList(w, "rest", ids(rest.Items), sent[c.want:])
	}
}

func inboxNoLimit(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.sendMany(5, alice, bob)
	for _, f := range []gateway.InboxFilter{{}, {Limit: 10}, {MaxBytes: 1 << 20}} {
		page := w.page(bob, f)
		sameList(w, "page", ids(page.Items), sent)
		same(w, "HasMore", page.HasMore, false)
	}
	sameList(w, "page of two", w.pageIDs(bob, gateway.InboxFilter{Limit: 2}), sent[:2])
	sameList(w, "page of one byte", w.pageIDs(bob, gateway.InboxFilter{MaxBytes: 1}), sent[:1])
}

// walk reads the inbox page by page and returns all ids that it gets.
func (w *world) walk(p person, f gateway.InboxFilter) []amtp.MessageID {
	w.Helper()
	var seen []amtp.MessageID
	for range 1000 {
		page := w.page(p, f)
		seen = append(seen, ids(page.Items)...)
		if page.Next < f.After {
			w.Fatalf("Next = %d, want at least After, %d", page.Next, f.After)
		}
		if !page.HasMore {
			return seen
		}
		f.After = page.Next
	}
	w.Fatalf("HasMore is still true after 1000 pages, want the walk to end")
	return nil
}

func inboxHasMore(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	same(w, "HasMore of an empty inbox", w.page(bob, wholeInbox).HasMore, false)
	sent := w.sendMany(7, alice, bob)
	for limit := 1; limit <= 8; limit++ {
		sameList(w, "all pages", w.walk(bob, gateway.InboxFilter{Limit: limit, MaxBytes: 1 << 20}), sent)
	}
	for _, id := range sent[1:6] {
		w.markRead(bob, id)
	}
	want := []amtp.MessageID{sent[0], sent[6]}
	sameList(w, "all pages of unread", w.walk(bob, gateway.InboxFilter{Limit: 1, MaxBytes: 1 << 20,
		Unread: true}), want)
	sameList(w, "all pages of read", w.walk(bob, gateway.InboxFilter{Limit: 2, MaxBytes: 1 << 20,
		Read: true}), sent[1:6])
}

func inboxNext(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	f := wholeInbox
	f.Unread = true
	same(w, "Next of an empty inbox", w.page(bob, f).Next, 0)
	for _, id := range w.sendMany(3, alice, bob) {
		w.markRead(bob, id)
	}
	f.After = w.page(bob, f).Next
	f.Unread = false
	sameList(w, "messages behind a page that looked at all", w.pageIDs(bob, f), nil)
	after := f.After
	same(w, "Next of an empty page", w.page(bob, f).Next, after)
	later := w.send(alice, bob)
	sameList(w, "messages that came later", w.pageIDs(bob, f), []amtp.MessageID{later})
}
