package storetest

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// narrowing are the promises about an inbox of which a reader wants only some messages.
func narrowing() []promise {
	return []promise{
		{"InReplyTo chooses the answers to a message", inboxAnswers},
		{"an answer may name the message by any id that it has", inboxAnswersByAnyID},
		{"the caller may name it by any id by which it finds it", inboxAnswersToAnyID},
		{"an answer from another domain names the id under which the message left", inboxAnswersFromAbroad},
		{"the report of a failure answers the message that failed", inboxAnswersReport},
		{"an id that the caller does not know counts as it is written", inboxAnswersUnknown},
		{"From chooses by the sender's address", inboxFrom},
		{"Thread chooses by the id of the thread, or of a message in it", inboxThread},
		{"the conditions hold together", inboxNarrow},
		{"Urgent puts the most urgent first", inboxUrgent},
		{"Urgent sorts what matches, behind any number of messages that do not", inboxUrgentMatches},
		{"a page behind which nothing matches is empty, and goes on behind what was looked at", inboxNothingMatches},
		{"Newest is the number of the last message that waits", inboxNewest},
		{"Newest of an empty inbox is 0", inboxNewestOfNone},
	}
}

// answersTo returns the filter for the answers to a message.
func answersTo(id amtp.MessageID) gateway.InboxFilter {
	f := wholeInbox
	f.InReplyTo = id
	return f
}

func inboxAnswers(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	asked, other := w.send(alice, bob, carol), w.send(alice, bob)
	first := w.reply(asked, bob, alice)
	w.reply(other, bob, alice)
	second := w.reply(asked, carol, alice)
	w.send(bob, alice)
	w.reply(first, bob, alice) // an answer to an answer
	sameList(w, "answers", w.pageIDs(alice, answersTo(asked)), []amtp.MessageID{first, second})
	sameList(w, "answers in another inbox", w.pageIDs(bob, answersTo(asked)), nil)
}

func inboxAnswersByAnyID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	asked := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	want := []amtp.MessageID{
		w.reply(asked, bob, alice),
		w.reply("token", bob, alice), // bob has seen it as sender_message_id
		w.reply(amtp.MessageID(strings.ToUpper(string(asked))), bob, alice),
		w.reply("token", alice, alice),
	}
	sameList(w, "answers", w.pageIDs(alice, answersTo(asked)), want)
}

func inboxAnswersToAnyID(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	asked := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	want := []amtp.MessageID{w.reply(asked, bob, alice)}
	for _, id := range []amtp.MessageID{asked, "token", amtp.MessageID(strings.ToUpper(string(asked)))} {
		sameList(w, "answers to "+string(id), w.pageIDs(alice, answersTo(id)), want)
	}
	// Another agent's message under the same id is another message.
	own := w.post(letter{from: bob, to: []person{alice}, id: "token"}).ID
	answer := w.reply(own, alice, bob)
	sameList(w, "answers to bob's own", w.pageIDs(bob, answersTo("token")), []amtp.MessageID{answer})
	sameList(w, "answers to alice's", w.pageIDs(alice, answersTo("token")), want)
}

func inboxAnswersFromAbroad(w *world) {
	alice := w.agent("alice")
	for _, given := range []amtp.MessageID{"", "7b1f3c52-8a3e-4d64-9a46-0a2f1f6d3f10", "token"} {
		asked := w.post(letter{from: alice, id: given, far: []string{"a@far.example", "b@far.example"}}).ID
		want := []amtp.MessageID{
			w.fromFar("a@far.example", alice, amtp.PeerMessageID(asked)),
			w.fromFar("b@far.example", alice, amtp.PeerCopyID(asked, w.address("b@far.example"))),
		}
		names := []amtp.MessageID{asked, amtp.PeerMessageID(asked), amtp.PeerCopyID(asked, w.address("b@far.example"))}
		if given != "" {
			names = append(names, given)
		}
		for _, id := range names {
			sameList(w, "answers to "+string(id), w.pageIDs(alice, answersTo(id)), want)
		}
	}
}

func inboxAnswersReport(w *world) {
	alice := w.agent("alice")
	asked := w.post(letter{from: alice, far: []string{"a@far.example"}}).ID
	report := w.post(letter{remote: "mailer-daemon@" + domain, class: gateway.ClassGateway, to: []person{alice},
		answers: asked}).ID
	sameList(w, "answers", w.pageIDs(alice, answersTo(asked)), []amtp.MessageID{report})
}

func inboxAnswersUnknown(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	hidden := w.post(letter{from: alice, to: []person{carol}, id: "token"}).ID
	byText := w.reply("token", carol, bob)
	byID := w.reply(hidden, carol, bob)
	elsewhere := w.reply("somewhere:else.1", carol, bob)
	for id, want := range map[amtp.MessageID][]amtp.MessageID{
		"token": {byText}, hidden: {byID}, "somewhere:else.1": {elsewhere}, "TOKEN": nil, amtp.NewMessageID(): nil,
	} {
		sameList(w, "answers to "+string(id), w.pageIDs(bob, answersTo(id)), want)
	}
}

func inboxFrom(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	w.send(bob, bob)
	far := w.post(letter{remote: "Alice@far.example", class: gateway.ClassDomain, to: []person{bob}}).ID
	w.remove(alice)
	second := w.send(w.agent("ALICE"), bob)
	f := wholeInbox
	for from, want := range map[string][]amtp.MessageID{
		"alice@" + domain: {first, second}, "aLICE@" + domain: {first, second}, "alice@far.example": {far},
		"carol@" + domain: nil,
	} {
		f.From = w.address(from)
		sameList(w, "inbox from "+from, w.pageIDs(bob, f), want)
	}
}

func inboxThread(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	root := w.send(alice, bob)
	w.send(alice, bob)
	answer := w.reply(root, bob, alice)
	third := w.reply(answer, alice, bob)
	unknown := w.reply("elsewhere", alice, bob)
	f := wholeInbox
	for id, want := range map[amtp.MessageID][]amtp.MessageID{
		root: {root, third}, third: {root, third}, answer: {root, third},
		amtp.MessageID(strings.ToUpper(string(root))): {root, third},
		"elsewhere": {unknown}, unknown: {unknown}, "nothing": nil,
	} {
		f.Thread = id
		sameList(w, "thread of "+string(id), w.pageIDs(bob, f), want)
	}
}

func inboxNarrow(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	asked := w.send(alice, bob, carol)
	w.reply(asked, carol, alice)
	seen := w.reply(asked, bob, alice)
	w.send(bob, alice)
	unread := w.reply(asked, bob, alice)
	w.markRead(alice, seen)
	f := answersTo(asked)
	f.From, f.Thread = bob.Address, asked
	sameList(w, "answers of bob", w.pageIDs(alice, f), []amtp.MessageID{seen, unread})
	f.Unread = true
	sameList(w, "unread answers of bob", w.pageIDs(alice, f), []amtp.MessageID{unread})
	f.Unread, f.Limit = false, 1
	page := w.page(alice, f)
	sameList(w, "first answer of bob", ids(page.Items), []amtp.MessageID{seen})
	same(w, "more", page.HasMore, true)
	f.After = page.Next
	sameList(w, "second answer of bob", w.pageIDs(alice, f), []amtp.MessageID{unread})
}

func inboxNothingMatches(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.sendMany(5, alice, bob)
	all := w.page(bob, wholeInbox).Items
	page := w.page(bob, answersTo(all[2].ID))
	same(w, "matches", len(page.Items), 0)
	same(w, "more", page.HasMore, false)
	same(w, "next", page.Next, all[4].Seq)
	f := answersTo(all[2].ID)
	f.Unread = true
	same(w, "next of the unread", w.page(bob, f).Next, all[4].Seq)
}

func (w *world) lastOf(p person) int64 {
	w.Helper()
	seq, err := w.store.Newest(w.ctx, gateway.Acting{Agent: p.ID})
	w.works("Newest", err)
	return seq
}

func inboxNewest(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.sendMany(3, alice, bob)
	w.send(bob, alice)
	items := w.page(bob, wholeInbox).Items
	same(w, "newest", w.lastOf(bob), items[2].Seq)
	w.markRead(bob, items[2].ID)
	same(w, "newest that was read", w.lastOf(bob), items[2].Seq)
	f := wholeInbox
	f.After = w.lastOf(bob)
	later := w.send(alice, bob)
	sameList(w, "inbox behind the newest", w.pageIDs(bob, f), []amtp.MessageID{later})
}

func inboxNewestOfNone(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	same(w, "newest", w.lastOf(bob), 0)
	w.ack(bob, w.send(alice, bob))
	same(w, "newest after the acknowledgement", w.lastOf(bob), 0)
}

// inboxUrgent checks that the most urgent come first, also in one page of some.
func inboxUrgent(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := make(map[string]amtp.MessageID)
	for _, word := range []string{"low", "", "urgent", "normal", "high", "strange"} {
		doc := `{"sender":"alice@` + domain + `","recipients":["bob@` + domain + `"],"payload":1,"headers":{"priority":"` +
			word + `"}}`
		sent[word] = w.post(letter{from: alice, to: []person{bob}, doc: doc}).ID
	}
	order := []amtp.MessageID{sent["urgent"], sent["high"], sent[""], sent["normal"], sent["strange"], sent["low"]}
	f := wholeInbox
	f.Urgent = true
	sameList(w, "the most urgent first", ids(w.page(bob, f).Items), order)
	f.Limit = 2
	page := w.page(bob, f)
	sameList(w, "the two most urgent", ids(page.Items), order[:2])
	same(w, "there are more", page.HasMore, true)
	same(w, "Next", page.Next, 0)
	f.Unread, f.Limit = true, 10
	w.markRead(bob, sent["urgent"])
	sameList(w, "the most urgent unread", ids(w.page(bob, f).Items), order[1:])
}

// inboxUrgentMatches checks that a message is found behind more messages that do not match
// than one call looks at, and that the calls before say that there are more.
func inboxUrgentMatches(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	of := func(from person, word string) amtp.MessageID {
		doc := `{"sender":"` + from.Address.String() + `","recipients":["` + bob.Address.String() +
			`"],"payload":1,"headers":{"priority":"` + word + `"}}`
		return w.post(letter{from: from, to: []person{bob}, doc: doc}).ID
	}
	for range gateway.MaxScan + 10 {
		of(alice, "urgent")
	}
	f := wholeInbox
	f.Urgent, f.Unread, f.From, f.Limit = true, true, carol.Address, 10
	page := w.page(bob, f)
	same(w, "messages on the first page", len(page.Items), 0)
	same(w, "there are more", page.HasMore, true)
	same(w, "the page is incomplete", page.Incomplete, true)
	same(w, "the page has a Next", page.Next > 0, true)
	f.After = page.Next
	page = w.page(bob, f)
	same(w, "there are more behind the inbox", page.HasMore, false)
	same(w, "messages on the second page", len(page.Items), 0)
	plain, pressing := of(carol, "normal"), of(carol, "urgent")
	sameList(w, "what matches", ids(w.page(bob, f).Items), []amtp.MessageID{pressing, plain})
	f.After, f.From = 0, alice.Address
	page = w.page(bob, f)
	same(w, "messages of the other sender", len(page.Items), 10)
	same(w, "there are more of them", page.HasMore, true)
	same(w, "a full page is incomplete", page.Incomplete, false)
	same(w, "Next of a page with messages", page.Next, 0)
}
