package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// conversing are the promises about Thread and Threads.
func conversing() []promise {
	return []promise{
		{"Thread returns sent and received messages in order, acknowledged or not", threadBothSides},
		{"by the id of the thread, or by any of a message", threadByAnyID},
		{"an id that is that of a thread and of a message is that of the thread", threadGoesBeforeMessage},
		{"the message with the thread's id is in it, whenever it came", threadWithLateRoot},
		{"an answer from another domain is in the thread, however late", threadOfLateAnswer},
		{"a message to oneself is there once", threadWithOneself},
		{"ErrNotFound for a stranger and for an unknown id", threadOfStrangers},
		{"a page has Limit messages, and the next continues behind it", threadPages},
		{"a page ends before MaxBytes is exceeded but holds at least one message", threadMaxBytes},
		{"Threads has each thread at its newest message, the newest first", threadsOrder},
		{"a thread has the subject of its first message and its newest message", threadsShow},
		{"messages are counted, and the unread ones", threadsCount},
		{"up to MaxThreadCount", threadsCountBound},
		{"a thread is in the list once, over all pages", threadsOnce},
		{"a thread is that of the mailbox", threadsOfMailbox},
	}
}

// thread returns a page of a thread.
func (w *world) thread(p person, id amtp.MessageID, f gateway.ThreadFilter) gateway.ThreadPage {
	w.Helper()
	page, err := w.store.Thread(w.ctx, gateway.Acting{Agent: p.ID}, id, f)
	if err != nil {
		w.Fatalf("Thread = %v, want no error; agent %s, id %s", err, p.Address, id)
	}
	return page
}

func recordIDs(list []gateway.Record) []amtp.MessageID {
	ids := make([]amtp.MessageID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

// wholeThread checks all messages of a thread, and its id.
func (w *world) wholeThread(p person, id, want amtp.MessageID, messages ...amtp.MessageID) {
	w.Helper()
	page := w.thread(p, id, gateway.ThreadFilter{Limit: 100})
	same(w, "id of the thread of "+string(id), page.ID, want)
	sameList(w, "thread of "+string(id), recordIDs(page.Messages), messages)
	same(w, "HasMore", page.HasMore, false)
}

func (w *world) noThread(p person, id amtp.MessageID) {
	w.Helper()
	_, err := w.store.Thread(w.ctx, gateway.Acting{Agent: p.ID}, id, gateway.ThreadFilter{Limit: 100})
	w.fails("Thread of "+string(id), err, gateway.ErrNotFound)
}

// threads returns all threads of a mailbox.
func (w *world) threads(p person) (list []gateway.Thread) {
	w.Helper()
	page, err := w.store.Threads(w.ctx, gateway.Acting{Agent: p.ID}, gateway.ThreadsFilter{Limit: 100})
	if err != nil {
		w.Fatalf("Threads = %v, want no error; agent %s", err, p.Address)
	}
	same(w, "HasMore", page.HasMore, false)
	return page.Threads
}

func threadIDs(list []gateway.Thread) []amtp.MessageID {
	ids := make([]amtp.MessageID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

func threadBothSides(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	w.send(alice, bob)
	second := w.reply(first, bob, alice)
	third := w.reply(second, alice, bob)
	w.ack(bob, first)
	w.ack(alice, second)
	for _, p := range []person{alice, bob} {
		w.wholeThread(p, first, first, first, second, third)
	}
	page := w.thread(bob, first, gateway.ThreadFilter{Limit: 100})
	w.sameEnvelope("Thread", page.Messages[0].Envelope, w.read(bob, first).Envelope)
	same(w, "body", string(page.Messages[0].Body), string(w.read(bob, first).Body))
	same(w, "thread", page.Messages[2].Thread, first)
	same(w, "state", page.Messages[0].Deliveries[0].State, gateway.Acknowledged)
}

func threadByAnyID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, far: []string{"peer@far.example"}, id: "token"}).ID
	second := w.reply(first, bob, alice)
	third := w.fromFar("peer@far.example", alice, amtp.PeerMessageID(first))
	fourth := w.reply("token", alice, bob)
	for _, id := range []amtp.MessageID{first, "token", amtp.PeerMessageID(first), second, third, fourth} {
		w.wholeThread(alice, id, first, first, second, third, fourth)
	}
	for _, id := range []amtp.MessageID{first, second, fourth} {
		w.wholeThread(bob, id, first, first, second, fourth)
	}
	w.noThread(bob, "token")
	w.noThread(bob, third)
}

// threadGoesBeforeMessage: an answer came before the message that it answers, which is
// itself an answer.
func threadGoesBeforeMessage(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	parent := amtp.NewMessageID()
	early := w.reply(parent, alice, bob)
	root := w.send(bob, alice)
	w.post(letter{from: alice, to: []person{bob}, id: parent, answers: root})
	w.wholeThread(bob, parent, parent, early, parent)
	w.wholeThread(bob, early, parent, early, parent)
	w.wholeThread(bob, root, root, root, parent)
	sameList(w, "Threads", threadIDs(w.threads(bob)), []amtp.MessageID{root, parent})
}

func threadWithLateRoot(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	root := amtp.NewMessageID()
	answer := w.reply(root, alice, bob)
	w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{bob}, id: root})
	w.wholeThread(bob, answer, root, answer, root)
	list := w.threads(bob)
	sameList(w, "Threads", threadIDs(list), []amtp.MessageID{root})
	same(w, "Last", list[0].Last.ID, root)
	same(w, "Count", list[0].Count, 2)
}

func threadOfLateAnswer(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	first := w.fromFar("a@far.example", alice, amtp.PeerMessageID(id))
	w.ack(alice, first)
	w.fail("far.example", w.now())
	late := w.fromFar("b@far.example", alice, amtp.PeerCopyID(id, w.address("b@far.example")))
	w.wholeThread(alice, id, id, id, first, late)
	same(w, "thread of the newest", w.threads(alice)[0].ID, id)
}

func threadWithOneself(w *world) {
	alice := w.agent("alice")
	first := w.send(alice, alice)
	second := w.reply(first, alice, alice)
	w.wholeThread(alice, second, first, first, second)
	list := w.threads(alice)
	same(w, "threads", len(list), 1)
	same(w, "Count", list[0].Count, 2)
	same(w, "Unread", list[0].Unread, 2)
}

func threadOfStrangers(w *world) {
	alice, bob, eve := w.agent("alice"), w.agent("bob"), w.agent("eve")
	first := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	second := w.reply(first, bob, alice)
	for _, id := range []amtp.MessageID{first, second, "token", "nothing", amtp.NewMessageID()} {
		w.noThread(eve, id)
	}
	same(w, "threads of a stranger", len(w.threads(eve)), 0)
	third := w.reply(second, alice, eve)
	w.wholeThread(eve, third, second, third)
	w.noThread(eve, first)
}

func threadPages(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	all := []amtp.MessageID{w.send(alice, bob)}
	for i := range 6 {
		from, to := bob, alice
		if i%2 == 0 {
			from, to = alice, bob
		}
		all = append(all, w.reply(all[i], from, to))
	}
	var seen []amtp.MessageID
	after := int64(0)
	for range all {
		page := w.thread(alice, all[3], gateway.ThreadFilter{After: after, Limit: 3})
		seen = append(seen, recordIDs(page.Messages)...)
		same(w, "HasMore", page.HasMore, len(seen) < len(all))
		after = page.Next
		if !page.HasMore {
			break
		}
	}
	sameList(w, "pages", seen, all)
	page := w.thread(alice, all[0], gateway.ThreadFilter{After: after, Limit: 3})
	same(w, "messages behind the last", len(page.Messages), 0)
	same(w, "Next behind the last", page.Next, after)
}

func threadMaxBytes(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	second := w.reply(first, bob, alice)
	size := len(w.read(alice, first).Body) + len(w.read(alice, second).Body)
	page := w.thread(alice, first, gateway.ThreadFilter{Limit: 10, MaxBytes: size - 1})
	sameList(w, "page of fewer bytes", recordIDs(page.Messages), []amtp.MessageID{first})
	same(w, "HasMore", page.HasMore, true)
	page = w.thread(alice, first, gateway.ThreadFilter{Limit: 10, MaxBytes: 1, After: page.Next})
	sameList(w, "page of one byte", recordIDs(page.Messages), []amtp.MessageID{second})
	page = w.thread(alice, first, gateway.ThreadFilter{Limit: 10, MaxBytes: size})
	sameList(w, "page of all bytes", recordIDs(page.Messages), []amtp.MessageID{first, second})
}

func threadsOrder(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first, second, third := w.send(alice, bob), w.send(alice, bob), w.send(bob, alice)
	sameList(w, "Threads", threadIDs(w.threads(alice)), []amtp.MessageID{third, second, first})
	w.reply(first, bob, alice)
	sameList(w, "Threads", threadIDs(w.threads(alice)), []amtp.MessageID{first, third, second})
	w.reply(second, alice, bob)
	sameList(w, "Threads", threadIDs(w.threads(bob)), []amtp.MessageID{second, first, third})
}

func threadsShow(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, text: "bolts"}).ID
	second := w.post(letter{from: bob, to: []person{alice}, text: "no bolts", answers: first}).ID
	for _, p := range []person{alice, bob} {
		t := w.threads(p)[0]
		same(w, "Subject", t.Subject, "bolts")
		w.sameEnvelope("Last", t.Last, w.read(p, second).Envelope)
	}
	last := w.fromFar("peer@far.example", alice, second)
	same(w, "FirstContact of Last", w.threads(alice)[0].Last.Found.FirstContact, true)
	same(w, "Last", w.threads(alice)[0].Last.ID, last)
}

func threadsCount(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	second := w.reply(first, bob, alice)
	third, fourth := w.reply(second, alice, bob), w.reply(second, alice, bob)
	count := func(p person, unread int) {
		w.Helper()
		t := w.threads(p)[0]
		same(w, "Count", t.Count, 4)
		same(w, "Capped", t.Capped, false)
		same(w, "Unread of "+p.Address.String(), t.Unread, unread)
	}
	count(alice, 1)
	count(bob, 3)
	w.markRead(bob, third)
	count(bob, 2)
	w.ack(bob, fourth)
	count(bob, 1)
	w.ack(bob, first)
	count(bob, 0)
	push := w.pushed("push")
	w.send(alice, push)
	same(w, "Unread of an agent that gets messages by push", w.threads(push)[0].Unread, 0)
}

func threadsCountBound(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, text: "the first"}).ID
	for range gateway.MaxThreadCount - 1 {
		w.reply(first, alice, bob)
	}
	for _, p := range []person{alice, bob} {
		t := w.threads(p)[0]
		same(w, "Count", t.Count, gateway.MaxThreadCount)
		same(w, "Capped", t.Capped, false)
	}
	last := w.reply(first, alice, bob)
	for _, p := range []person{alice, bob} {
		t := w.threads(p)[0]
		same(w, "Count", t.Count, gateway.MaxThreadCount)
		same(w, "Capped", t.Capped, true)
		same(w, "Subject", t.Subject, "the first")
		same(w, "Last", t.Last.ID, last)
	}
	same(w, "Unread", w.threads(bob)[0].Unread, gateway.MaxThreadCount)
}

func threadsOnce(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	roots := w.sendMany(5, alice, bob)
	for _, i := range []int{3, 1, 3, 0} {
		w.reply(roots[i], bob, alice)
	}
	var seen []amtp.MessageID
	before := int64(0)
	for more := true; more; {
		page, err := w.store.Threads(w.ctx, gateway.Acting{Agent: alice.ID},
			gateway.ThreadsFilter{Before: before, Limit: 2})
		w.works("Threads", err)
		seen = append(seen, threadIDs(page.Threads)...)
		more, before = page.HasMore && err == nil && len(seen) < 20, page.Next
	}
	sameList(w, "pages", seen, []amtp.MessageID{roots[0], roots[3], roots[1], roots[4], roots[2]})
}

func threadsOfMailbox(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	root := w.send(alice, bob)
	parent := w.reply(root, bob, alice)
	reply := w.reply(parent, alice, bob, carol)
	sameList(w, "Threads of bob", threadIDs(w.threads(bob)), []amtp.MessageID{root})
	sameList(w, "Threads of carol", threadIDs(w.threads(carol)), []amtp.MessageID{parent})
	w.wholeThread(carol, reply, parent, reply)
	w.wholeThread(carol, parent, parent, reply)
}
