package storetest

import (
	"errors"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// listing are the promises about lists of messages.
func listing() []promise {
	return []promise{
		{"lists what the caller sent or received, newest first", listsOwn},
		{"lists everything for Everyone", listsAll},
		{"bodies are left out, deliveries are not", listsWithoutBodies},
		{"filters by sender, in any case of letters", filtersSender},
		{"filters by recipient, in any case of letters", filtersRecipient},
		{"filters by the address of who was deleted", filtersDeleted},
		{"filters by status", filtersStatus},
		{"filters by time", filtersSince},
		{"filters what the reader sent", filtersSent},
		{"zero members do not restrict", zeroFilter},
		{"pages do not overlap and Total counts all", pagesOfList},
		{"Next is the Before of the page that follows", cursorsOfList},
		{"Total stops at MaxTotal and says so", totalIsCapped},
	}
}

func (w *world) list(p person, f gateway.MessageFilter) gateway.MessagePage {
	w.Helper()
	return w.listBy(gateway.Reader{Agent: p.ID}, f)
}

func (w *world) listBy(by gateway.Reader, f gateway.MessageFilter) gateway.MessagePage {
	w.Helper()
	page, err := w.store.Messages(w.ctx, by, f)
	if err != nil {
		w.Fatalf("Messages = %v, want no error; reader %+v, filter %+v", err, by, f)
	}
	return page
}

func idsOf(page gateway.MessagePage) []amtp.MessageID {
	list := make([]amtp.MessageID, len(page.Messages))
	for i := range page.Messages {
		list[i] = page.Messages[i].ID
	}
	return list
}

// listed checks which messages a filter with limit 100 returns.
func (w *world) listed(what string, p person, f gateway.MessageFilter, want ...amtp.MessageID) {
	w.Helper()
	f.Limit = 100
	page := w.list(p, f)
	sameList(w, what, idsOf(page), want)
	same(w, "total of "+what, page.Total, len(want))
	same(w, "capped of "+what, page.Capped, false)
}

func listsOwn(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.send(alice, bob)
	second := w.send(bob, alice, carol)
	third := w.send(alice, alice)
	w.listed("messages of alice", alice, gateway.MessageFilter{}, third, second, first)
	w.listed("messages of bob", bob, gateway.MessageFilter{}, second, first)
	w.listed("messages of carol", carol, gateway.MessageFilter{}, second)
}

func listsAll(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	second := w.post(letter{remote: "peer@far.example", to: []person{bob}, class: gateway.ClassDomain}).ID
	page := w.listBy(gateway.Reader{Everyone: true}, gateway.MessageFilter{Limit: 10})
	sameList(w, "messages", idsOf(page), []amtp.MessageID{second, first})
	same(w, "total", page.Total, 2)
}

func listsWithoutBodies(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	id := w.send(alice, carol, bob)
	r := w.list(alice, gateway.MessageFilter{Limit: 10}).Messages[0]
	whole := w.read(alice, id)
	same(w, "bytes of the body", len(r.Body), 0)
	same(w, "thread", r.Thread, whole.Thread)
	sameList(w, "agents", agentsOf(r.Deliveries), []gateway.AgentID{carol.ID, bob.ID})
	w.sameEnvelope("list", r.Envelope, whole.Envelope)
}

func filtersSender(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	mine := w.send(alice, bob)
	theirs := w.send(bob, alice)
	remote := w.post(letter{remote: "Peer@far.example", to: []person{bob}, class: gateway.ClassDomain}).ID
	w.listed("from alice", bob, gateway.MessageFilter{Sender: w.address("ALICE@SHOP.example")}, mine)
	w.listed("from bob", bob, gateway.MessageFilter{Sender: bob.Address}, theirs)
	w.listed("from the peer", bob, gateway.MessageFilter{Sender: w.address("pEER@far.example")}, remote)
	w.listed("from the peer for alice", alice, gateway.MessageFilter{Sender: w.address("peer@far.example")})
	w.listed("from a name without an agent", bob, gateway.MessageFilter{Sender: w.address("nobody@shop.example")})
}

func filtersRecipient(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	both := w.send(alice, bob, carol)
	one := w.send(alice, carol)
	w.listed("to bob", alice, gateway.MessageFilter{Recipient: w.address("BOB@shop.Example")}, both)
	w.listed("to carol", alice, gateway.MessageFilter{Recipient: carol.Address}, one, both)
	w.listed("to carol and bob", bob, gateway.MessageFilter{Recipient: carol.Address}, both)
	w.listed("to alice", alice, gateway.MessageFilter{Recipient: alice.Address})
	w.listed("to a name without an agent", alice, gateway.MessageFilter{Recipient: w.address("nobody@shop.example")})
}

func filtersDeleted(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	to, from := w.send(alice, bob), w.send(bob, alice)
	w.remove(bob)
	w.listed("to deleted bob", alice, gateway.MessageFilter{Recipient: bob.Address}, to)
	w.listed("from deleted bob", alice, gateway.MessageFilter{Sender: bob.Address}, from)
	namesake := w.agent("bob")
	later := w.send(alice, namesake)
	w.listed("to both bobs", alice, gateway.MessageFilter{Recipient: bob.Address}, later, to)
	w.listed("to both bobs for the later one", namesake, gateway.MessageFilter{Recipient: bob.Address}, later)
}

func filtersStatus(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first, second := w.send(alice, bob), w.send(alice, bob, carol)
	w.ack(bob, first)
	w.ack(carol, second)
	w.listed("delivered", alice, gateway.MessageFilter{Status: amtp.StatusDelivered}, second, first)
	for _, s := range []amtp.Status{amtp.StatusPending, amtp.StatusQueued, amtp.StatusDelivering, amtp.StatusRetrying,
		amtp.StatusFailed} {
		w.listed(string(s), alice, gateway.MessageFilter{Status: s})
	}
}

func filtersSince(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	between := w.now()
	second := w.send(alice, bob)
	w.listed("since the beginning", alice, gateway.MessageFilter{Since: morning}, second, first)
	w.listed("since between", alice, gateway.MessageFilter{Since: between}, second)
	w.listed("since now", alice, gateway.MessageFilter{Since: w.now()})
	at := w.read(alice, second).ReceivedAt
	w.listed("since the very moment", alice, gateway.MessageFilter{Since: at}, second)
	w.listed("since a microsecond later", alice, gateway.MessageFilter{Since: at.Add(time.Microsecond)})
}

func filtersSent(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := w.send(alice, bob)
	w.send(bob, alice)
	self := w.send(alice, alice)
	w.listed("sent", alice, gateway.MessageFilter{Sent: true}, self, sent)
	w.listed("sent to bob", alice, gateway.MessageFilter{Sent: true, Recipient: bob.Address}, sent)
}

func zeroFilter(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first, second := w.send(alice, bob), w.send(alice, bob)
	page := w.list(alice, gateway.MessageFilter{})
	sameList(w, "messages without any filter", idsOf(page), []amtp.MessageID{second, first})
}

func pagesOfList(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	var all []amtp.MessageID
	for range 7 {
		all = append([]amtp.MessageID{w.send(alice, bob)}, all...)
	}
	var got []amtp.MessageID
	for offset := 0; offset < 12; offset += 3 {
		page := w.list(alice, gateway.MessageFilter{Limit: 3, Offset: offset})
		same(w, "total", page.Total, 7)
		got = append(got, idsOf(page)...)
	}
	sameList(w, "all pages", got, all)
}

// cursorsOfList walks through a list while new messages are added to it.
func cursorsOfList(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	var all []amtp.MessageID
	for range 7 {
		all = append([]amtp.MessageID{w.send(alice, bob)}, all...)
	}
	for _, f := range []gateway.MessageFilter{{}, {Sent: true}, {Recipient: bob.Address},
		{Sender: alice.Address, Status: amtp.StatusDelivered}} {
		for f.Limit = 1; f.Limit < 9; f.Limit++ {
			var got []amtp.MessageID
			for f.Before = 0; ; {
				page := w.list(alice, f)
				got = append(got, idsOf(page)...)
				same(w, "Next without HasMore", page.Next > 0, page.HasMore)
				if !page.HasMore {
					break
				}
				same(w, "messages on a page that is not the last", len(page.Messages), f.Limit)
				f.Before = page.Next
				if f.Limit == 3 {
					all = append([]amtp.MessageID{w.send(alice, bob)}, all...)
				}
			}
			sameList(w, "all pages", got, all[len(all)-len(got):])
			same(w, "messages on all pages", len(got) >= 7, true)
		}
	}
}

// totalIsCapped sends one message more than the total counts.
func totalIsCapped(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	const writers = 500
	together(writers, func(i int) {
		for n := i; n < gateway.MaxTotal; n += writers {
			l := letter{from: alice, to: []person{bob}, text: "one of many", key: strconv.Itoa(n)}
			_, err := w.try(l)
			for began := time.Now(); errors.Is(err, gateway.ErrBusy) && time.Since(began) < patience; {
				_, err = w.try(l) // so many at once may be too many for a moment
			}
			if err != nil {
				w.Errorf("Accept = %v, want no error", err)
			}
		}
	})
	page := w.list(alice, gateway.MessageFilter{Limit: 1})
	same(w, "total of as many as are counted", page.Total, gateway.MaxTotal)
	same(w, "capped", page.Capped, false)
	w.send(alice, bob)
	page = w.list(alice, gateway.MessageFilter{Limit: 1})
	same(w, "total of one more", page.Total, gateway.MaxTotal)
	same(w, "capped", page.Capped, true)
}
