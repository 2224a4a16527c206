package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// pageOf is the length of a requested page.
const pageOf = 10

// operations is the table of all operations of a store.
func operations() []operation {
	return slices.Concat(
		each("Messages", (*grown).messageFilters, func(g *grown, f gateway.MessageFilter) error {
			f.Limit = pageOf
			return g.messages(f, false)
		}),
		each("Messages", (*grown).operatorFilters, func(g *grown,
			f gateway.MessageFilter) error {
			return g.messages(f, true)
		}),
		each("Inbox", (*grown).inboxFilters, func(g *grown, f gateway.InboxFilter) error { return g.boxesOf(f) }),
		each("JobsPage", (*grown).jobFilters, func(g *grown, f gateway.JobFilter) error {
			_, err := g.store.JobsPage(g.ctx, f)
			return err
		}),
		each("DeadLetters", (*grown).deadFilters, func(g *grown, f gateway.DeadFilter) error {
			_, err := g.store.DeadLetters(g.ctx, f)
			return err
		}),
		each("AgentsPage", (*grown).agentFilters, func(g *grown, f gateway.AgentFilter) error {
			g.store.AgentsPage(f)
			return nil
		}),
		each("Take", (*grown).takeFilters, func(g *grown, f gateway.TakeFilter) error {
			_, err := g.takes(g.bob, f)
			return err
		}),
		mailOperations(), takingOperations(), lapseOperations(), searchOperations(),
		each("Search", (*grown).searchFilters, func(g *grown, f gateway.SearchFilter) error { return g.searchesBy(f) }),
		agentOperations(), jobOperations(), otherOperations(),
	)
}

func (g *grown) messageFilters() []named[gateway.MessageFilter] {
	nobody, far := g.address("nobody@nowhere.example"), g.address("x00001@"+farDomain)
	return []named[gateway.MessageFilter]{
		{"own", gateway.MessageFilter{}},
		{"sent", gateway.MessageFilter{Sent: true}},
		{"since a time that is to come", gateway.MessageFilter{Since: morning.Add(10 * 365 * 24 * time.Hour)}},
		{"sent since a time that is to come", gateway.MessageFilter{Sent: true,
			Since: morning.Add(10 * 365 * 24 * time.Hour)}},
		{"since the beginning", gateway.MessageFilter{Since: morning}},
		{"sent to an address that got none", gateway.MessageFilter{Sent: true, Recipient: nobody}},
		{"sent to an address that got one", gateway.MessageFilter{Sent: true, Recipient: far}},
		{"sent to an agent that got none", gateway.MessageFilter{Sent: true, Recipient: g.fresh.Address}},
		{"from an address that sent none", gateway.MessageFilter{Sender: nobody}},
		{"from an agent that sent none", gateway.MessageFilter{Sender: g.fresh.Address}},
		{"from who sent all to who got all", gateway.MessageFilter{Sender: g.alice.Address, Recipient: g.bob.Address}},
		{"with a label that none has", gateway.MessageFilter{Label: "none"}},
		{"with a label that many have", gateway.MessageFilter{Label: "many"}},
		{"with a status that none has", gateway.MessageFilter{Status: amtp.StatusRetrying}},
		{"with a status that many have", gateway.MessageFilter{Status: amtp.StatusDelivered}},
		{"behind a cursor", gateway.MessageFilter{Before: int64(g.n), Limit: pageOf}},
		{"behind an offset", gateway.MessageFilter{Offset: 12}},
		{"without a limit", gateway.MessageFilter{}},
	}
}

func (g *grown) operatorFilters() []named[gateway.MessageFilter] {
	list := g.messageFilters()
	for i := range list {
		list[i].what = "of everybody, " + list[i].what
		if !strings.Contains(list[i].what, "without a limit") {
			list[i].filter.Limit = pageOf
		}
	}
	return list
}

// messages lists the messages of alice, who sent all of them, of dave, who received
// many, and of an agent without any; or those of all agents.
func (g *grown) messages(f gateway.MessageFilter, operator bool) error {
	if operator {
		_, err := g.store.Messages(g.ctx, gateway.Reader{Everyone: true}, f)
		return err
	}
	for _, p := range []person{g.alice, g.dave, g.fresh} {
		if _, err := g.store.Messages(g.ctx, gateway.Reader{Agent: p.ID}, f); err != nil {
			return err
		}
	}
	return nil
}

func (g *grown) inboxFilters() []named[gateway.InboxFilter] {
	return []named[gateway.InboxFilter]{
		{"from the beginning", gateway.InboxFilter{Limit: pageOf}},
		{"behind a cursor", gateway.InboxFilter{After: int64(3 * g.n), Limit: pageOf}},
		{"not read", gateway.InboxFilter{Unread: true, Limit: pageOf}},
		{"read", gateway.InboxFilter{Read: true, Limit: pageOf}},
		{"with a label that none has", gateway.InboxFilter{Label: "none", Limit: pageOf}},
		{"with a label that many have", gateway.InboxFilter{Label: "many", Limit: pageOf}},
		{"since a time that is to come", gateway.InboxFilter{Since: morning.Add(10 * 365 * 24 * time.Hour),
			Limit: pageOf}},
		{"behind an offset", gateway.InboxFilter{Offset: 12, Limit: pageOf}},
		{"by bytes", gateway.InboxFilter{MaxBytes: 512}},
		{"of answers to a message", gateway.InboxFilter{InReplyTo: g.marked, Limit: pageOf}},
		{"of answers to no message", gateway.InboxFilter{InReplyTo: "nothing", Limit: pageOf}},
		{"from an address", gateway.InboxFilter{From: g.address("nobody@far.example"), Limit: pageOf}},
		{"of a thread", gateway.InboxFilter{Thread: g.marked, Limit: pageOf}},
		{"of no thread", gateway.InboxFilter{Thread: "nothing", Limit: pageOf}},
		{"the most urgent first", gateway.InboxFilter{Urgent: true, Limit: pageOf}},
	}
}

// boxesOf reads an inbox in which nothing is read, one in which all is read, one in
// which all is acknowledged, and an empty one.
func (g *grown) boxesOf(f gateway.InboxFilter) error {
	for _, p := range []person{g.bob, g.carol, g.dave, g.fresh} {
		if _, err := g.store.Inbox(g.ctx, gateway.Acting{Agent: p.ID}, f); err != nil {
			return err
		}
	}
	return nil
}

func (g *grown) takeFilters() []named[gateway.TakeFilter] {
	return []named[gateway.TakeFilter]{
		{"all", gateway.TakeFilter{}},
		{"from who sent all", gateway.TakeFilter{From: g.alice.Address}},
		{"from an address that sent none", gateway.TakeFilter{From: g.address("nobody@nowhere.example")}},
		{"of answers to a message", gateway.TakeFilter{InReplyTo: g.unread}},
		{"of answers to no message", gateway.TakeFilter{InReplyTo: "nothing"}},
		{"of a thread", gateway.TakeFilter{Thread: g.unread}},
		{"of no thread", gateway.TakeFilter{Thread: "nothing"}},
	}
}

// takes takes a few messages, for longer than all operations last.
func (g *grown) takes(p person, f gateway.TakeFilter) (gateway.Taken, error) {
	now := g.now()
	return g.store.Take(g.ctx, gateway.Acting{Agent: p.ID},
		gateway.Take{Filter: f, Max: 4, Until: now.Add(10 * 365 * 24 * time.Hour)}, now)
}

func (g *grown) searchFilters() []named[gateway.SearchFilter] {
	many, none := g.query("local"), g.query("nowhere to be found")
	return []named[gateway.SearchFilter]{
		{"words that many have", gateway.SearchFilter{Query: many, Limit: pageOf}},
		{"words that none has", gateway.SearchFilter{Query: none, Limit: pageOf}},
		{"the beginning of words that many have", gateway.SearchFilter{Query: g.query("loc*"), Limit: pageOf}},
		{"words that only the mail of others has", gateway.SearchFilter{Query: g.query("goodbye"), Limit: pageOf}},
		{"from who sent all", gateway.SearchFilter{Query: many, From: g.alice.Address, Limit: pageOf}},
		{"from an address that sent none", gateway.SearchFilter{Query: many,
			From: g.address("nobody@nowhere.example"), Limit: pageOf}},
		{"since a time that is to come", gateway.SearchFilter{Query: many,
			Since: morning.Add(10 * 365 * 24 * time.Hour), Limit: pageOf}},
		{"with a schema that none has", gateway.SearchFilter{Query: many, Schema: "agntcy:none.*", Limit: pageOf}},
		{"of a thread", gateway.SearchFilter{Query: many, Thread: g.unread, Limit: pageOf}},
		{"of no thread", gateway.SearchFilter{Query: many, Thread: "nothing", Limit: pageOf}},
		{"behind a cursor", gateway.SearchFilter{Query: many, Before: int64(2 * g.n), Limit: pageOf}},
		{"by bytes", gateway.SearchFilter{Query: many, Limit: pageOf, MaxBytes: 512}},
	}
}

// searchesBy searches the mail of bob, who received many messages, and of an agent with
// few.
func (g *grown) searchesBy(f gateway.SearchFilter) error {
	for _, p := range []person{g.bob, g.fresh} {
		if _, err := g.store.Search(g.ctx, gateway.Acting{Agent: p.ID}, f); err != nil {
			return err
		}
	}
	return nil
}

func (g *grown) jobFilters() []named[gateway.JobFilter] {
	return []named[gateway.JobFilter]{
		{"all", gateway.JobFilter{Limit: pageOf}},
		{"of one destination", gateway.JobFilter{Destination: farDomain, Limit: pageOf}},
		{"of a destination without any", gateway.JobFilter{Destination: "nowhere.example", Limit: pageOf}},
		{"in a state that none has", gateway.JobFilter{State: gateway.Retrying, Limit: pageOf}},
		{"of one destination in a state that none has",
			gateway.JobFilter{Destination: farDomain, State: gateway.Retrying, Limit: pageOf}},
		{"of one message", gateway.JobFilter{Message: "018e7e5c-0000-7000-8000-000000000000", Limit: pageOf}},
		{"behind a cursor", gateway.JobFilter{After: gateway.JobID(g.n), Limit: pageOf}},
	}
}

func (g *grown) deadFilters() []named[gateway.DeadFilter] {
	return []named[gateway.DeadFilter]{
		{"all", gateway.DeadFilter{Limit: pageOf}},
		{"of one destination", gateway.DeadFilter{Destination: buriedDomain, Limit: pageOf}},
		{"of a destination without any", gateway.DeadFilter{Destination: "nowhere.example", Limit: pageOf}},
		{"of an agent without any", gateway.DeadFilter{Destination: gateway.PushTo(g.push.ID), Limit: pageOf}},
		{"with a code that none has", gateway.DeadFilter{Code: amtp.CodeInternal, Limit: pageOf}},
		{"of one destination with a code that none has",
			gateway.DeadFilter{Destination: buriedDomain, Code: amtp.CodeInternal, Limit: pageOf}},
		{"given up before the beginning", gateway.DeadFilter{Before: morning, Limit: pageOf}},
		{"of one message", gateway.DeadFilter{Message: "018e7e5c-0000-7000-8000-000000000000", Limit: pageOf}},
		{"by ids", gateway.DeadFilter{IDs: []gateway.DeliveryID{1, 2, 3}, Limit: pageOf}},
		{"behind a cursor", gateway.DeadFilter{After: gateway.DeliveryID(g.n), Limit: pageOf}},
	}
}

func (g *grown) agentFilters() []named[gateway.AgentFilter] {
	nobody := func(*gateway.Agent) bool { return false }
	return []named[gateway.AgentFilter]{
		{"all", gateway.AgentFilter{Limit: pageOf}},
		{"behind a cursor", gateway.AgentFilter{After: "b@" + domain, Limit: pageOf}},
		{"that nobody matches", gateway.AgentFilter{Match: nobody, Count: true, Limit: pageOf}},
	}
}

// one is an operation of one call.
func one(method, what string, do func(g *grown) error) operation {
	return operation{method: method, what: what, do: do}
}

// all is an operation whose result, or change, covers all of something.
func all(method, what string, do func(g *grown) error) operation {
	return operation{method: method, what: what, all: true, do: do}
}

func mailOperations() []operation {
	return []operation{
		one("Accept", "to agents here", func(g *grown) error {
			_, err := g.try(letter{from: g.alice, to: []person{g.bob, g.fresh}})
			return err
		}),
		one("Accept", "to elsewhere", func(g *grown) error {
			_, err := g.try(letter{from: g.alice, far: []string{"new@" + farDomain}})
			return err
		}),
		one("Accept", "again", func(g *grown) error {
			_, err := g.try(letter{from: g.alice, to: []person{g.bob, g.carol, g.dave}, text: "local-1",
				key: "local-1"})
			return err
		}),
		one("Accept", "from elsewhere", func(g *grown) error {
			_, err := g.try(letter{remote: "peer@" + farDomain, to: []person{g.bob}, class: gateway.ClassDomain,
				answers: g.sent})
			return err
		}),
		one("Message", "by id", func(g *grown) error {
			_, err := g.store.Message(g.ctx, gateway.Reader{Agent: g.bob.ID}, g.unread)
			return err
		}),
		one("Message", "unknown", func(g *grown) error {
			_, err := g.store.Message(g.ctx, gateway.Reader{Everyone: true}, "nothing")
			return expect(err, gateway.ErrNotFound)
		}),
		one("Label", "of one message", func(g *grown) error {
			_, err := g.store.Label(g.ctx, gateway.Acting{Agent: g.bob.ID}, g.unread,
				gateway.LabelChange{Add: []string{"todo"}, Remove: []string{"many"}})
			return err
		}),
		one("Thread", "of one message", func(g *grown) error {
			_, err := g.store.Thread(g.ctx, gateway.Acting{Agent: g.bob.ID}, g.unread,
				gateway.ThreadFilter{Limit: pageOf})
			return err
		}),
		one("Thread", "of many messages", func(g *grown) error {
			_, err := g.store.Thread(g.ctx, gateway.Acting{Agent: g.dave.ID}, crowded,
				gateway.ThreadFilter{Limit: pageOf})
			return err
		}),
		one("Thread", "unknown", func(g *grown) error {
			_, err := g.store.Thread(g.ctx, gateway.Acting{Agent: g.bob.ID}, "nothing", gateway.ThreadFilter{})
			return expect(err, gateway.ErrNotFound)
		}),
		one("Threads", "of one message each", func(g *grown) error {
			_, err := g.store.Threads(g.ctx, gateway.Acting{Agent: g.bob.ID}, gateway.ThreadsFilter{Limit: pageOf})
			return err
		}),
		one("Threads", "one of many messages", func(g *grown) error {
			_, err := g.store.Threads(g.ctx, gateway.Acting{Agent: g.dave.ID}, gateway.ThreadsFilter{Limit: pageOf})
			return err
		}),
		one("Newest", "nothing read", func(g *grown) error {
			_, err := g.store.Newest(g.ctx, gateway.Acting{Agent: g.bob.ID})
			return err
		}),
		one("Newest", "everything acknowledged", func(g *grown) error {
			_, err := g.store.Newest(g.ctx, gateway.Acting{Agent: g.dave.ID})
			return err
		}),
		one("Depth", "nothing read", func(g *grown) error {
			_, _, err := g.store.Depth(g.ctx, gateway.Acting{Agent: g.bob.ID}, GrowthBound)
			return err
		}),
		one("Depth", "everything read", func(g *grown) error {
			_, _, err := g.store.Depth(g.ctx, gateway.Acting{Agent: g.carol.ID}, GrowthBound)
			return err
		}),
		one("Depth", "everything acknowledged", func(g *grown) error {
			_, _, err := g.store.Depth(g.ctx, gateway.Acting{Agent: g.dave.ID}, GrowthBound)
			return err
		}),
		one("MarkRead", "of one message", func(g *grown) error {
			_, err := g.store.MarkRead(g.ctx, gateway.Acting{Agent: g.carol.ID}, g.marked, g.now())
			return err
		}),
		one("Ack", "of one message", func(g *grown) error {
			_, err := g.store.Ack(g.ctx, gateway.Acting{Agent: g.bob.ID}, g.unread, g.now())
			return err
		}),
		one("Ack", "of a message from elsewhere", func(g *grown) error {
			_, err := g.store.Ack(g.ctx, gateway.Acting{Agent: g.dave.ID}, g.owed, g.now())
			return err
		}),
	}
}

func takingOperations() []operation {
	take := func(p func(*grown) person) func(*grown) error {
		return func(g *grown) error { _, err := g.takes(p(g), gateway.TakeFilter{}); return err }
	}
	onTaken := func(i int, do func(g *grown, by gateway.Acting, t gateway.Ticket) error) func(*grown) error {
		return func(g *grown) error { return do(g, gateway.Acting{Agent: g.erin.ID}, ticket(g.taken[i])) }
	}
	return []operation{
		one("Take", "everything read", take(func(g *grown) person { return g.carol })),
		one("Take", "everything acknowledged", take(func(g *grown) person { return g.dave })),
		one("Take", "everything leased", take(func(g *grown) person { return g.erin })),
		one("Extend", "one", onTaken(0, func(g *grown, by gateway.Acting, t gateway.Ticket) error {
			now := g.now()
			_, err := g.store.Extend(g.ctx, by, t, now.Add(gateway.MaxVisibility), now)
			return err
		})),
		one("AckTaken", "one", onTaken(0, func(g *grown, by gateway.Acting, t gateway.Ticket) error {
			_, err := g.store.AckTaken(g.ctx, by, t, g.now())
			return err
		})),
		one("GiveBack", "one", onTaken(1, func(g *grown, by gateway.Acting, t gateway.Ticket) error {
			now := g.now()
			_, err := g.store.GiveBack(g.ctx, by, t, gateway.GivenBack{Due: now, Reason: "no time"}, now)
			return err
		})),
		one("Reject", "one", onTaken(2, func(g *grown, by gateway.Acting, t gateway.Ticket) error {
			_, err := g.store.Reject(g.ctx, by, t, "not my work", g.now())
			return err
		})),
	}
}

func lapseOperations() []operation {
	return []operation{
		one("Answerers", "of a message without answers", func(g *grown) error {
			_, err := g.store.Answerers(g.ctx, gateway.Acting{Agent: g.alice.ID}, g.marked)
			return err
		}),
		one("Answerers", "of a message with many answers", func(g *grown) error {
			_, err := g.store.Answerers(g.ctx, gateway.Acting{Agent: g.dave.ID}, crowded)
			return err
		}),
		one("EndMessage", "in inboxes", func(g *grown) error {
			_, err := g.store.EndMessage(g.ctx, g.marked, g.now())
			return err
		}),
		one("EndMessage", "that waits for an attempt", func(g *grown) error {
			_, err := g.store.EndMessage(g.ctx, g.sent, g.now())
			return err
		}),
		one("EndMessage", "that a reader works on", func(g *grown) error {
			open, err := g.store.EndMessage(g.ctx, g.taken[3].ID, g.now())
			if err == nil && !open {
				return errors.New("it has ended, although a reader works on it")
			}
			return err
		}),
		one("EndMessage", "unknown", func(g *grown) error {
			_, err := g.store.EndMessage(g.ctx, "nothing", g.now())
			return expect(err, gateway.ErrNotFound)
		}),
	}
}

func searchOperations() []operation {
	index := func(g *grown) error { _, err := g.store.IndexMail(g.ctx, pageOf); return err }
	return []operation{
		one("IndexMail", "the next messages", index),
		one("IndexMail", "when none waits", index),
	}
}

func agentOperations() []operation {
	return []operation{
		one("Mailboxes", "of a member of one", func(g *grown) error {
			if list := g.store.Mailboxes(g.fresh.ID); len(list) != 1 {
				return fmt.Errorf("%d mailboxes, want 1", len(list))
			}
			return nil
		}),
		one("AddAgent", "one more", func(g *grown) error { _, err := g.register("newcomer"); return err }),
		one("UpdateAgent", "one", func(g *grown) error { return g.update(g.ctx, g.fresh.Agent) }),
		one("AgentNamed", "one", func(g *grown) error {
			_, err := g.store.AgentNamed(g.ctx, g.bob.Address)
			return err
		}),
		one("AgentNamed", "nobody", func(g *grown) error {
			_, err := g.store.AgentNamed(g.ctx, g.address("nobody@"+domain))
			return expect(err, gateway.ErrNotFound)
		}),
		one("Agent", "one", func(g *grown) error { _, err := g.store.Agent(g.bob.ID); return err }),
		one("KeyOwner", "of a key", func(g *grown) error {
			_, _, err := g.store.KeyOwner(g.ctx, g.bob.key.Hash, g.now())
			return err
		}),
		one("AddKey", "one more", func(g *grown) error {
			_, err := g.store.AddKey(g.ctx, gateway.Acting{}, newKey("more", g.fresh.ID, g.now()), false)
			return err
		}),
		one("Keys", "of one agent", func(g *grown) error { _, err := g.store.Keys(g.ctx, g.fresh.ID); return err }),
		one("RemoveKey", "one", func(g *grown) error { return g.store.RemoveKey(g.ctx, gateway.Acting{}, g.fresh.ID, "key_more") }),
		one("RemoveAgent", "one", func(g *grown) error {
			return g.store.RemoveAgent(g.ctx, gateway.Acting{},
				g.carol.ID, g.now())
		}),
		one("Purge", "when nothing is due", func(g *grown) error {
			_, err := g.store.Purge(g.ctx, gateway.DefaultRetention(), g.now(), 0, pageOf)
			return err
		}),
		one("Purge", "a round", func(g *grown) error {
			_, err := g.store.Purge(g.ctx, gateway.DefaultRetention(), g.now().Add(400*24*time.Hour), 0, pageOf)
			return err
		}),
		all("Agents", "all, for who needs all", func(g *grown) error { g.store.Agents(g.ctx); return nil }),
	}
}

func jobOperations() []operation {
	result := func(g *grown, event gateway.Event) error {
		if len(g.leased) == 0 {
			return errors.New("every job that was leased is settled")
		}
		j := g.leased[0]
		g.leased = g.leased[1:]
		p, err := g.store.Parcel(g.ctx, j.ID, j.Fence)
		if err != nil {
			return err
		}
		return g.store.Settle(g.ctx, parcel{p}.settled(g.world, event, p.Recipients...))
	}
	waiting := func(g *grown, do func(gateway.JobID) error) error {
		page, err := g.store.JobsPage(g.ctx, gateway.JobFilter{Destination: gateway.PushTo(g.push.ID), Limit: 1})
		if err != nil || len(page.Jobs) == 0 {
			return fmt.Errorf("%d jobs wait: %w", len(page.Jobs), err)
		}
		return do(page.Jobs[0].ID)
	}
	return []operation{
		one("Waiting", "a page", func(g *grown) error { _, err := g.store.Waiting(g.ctx, "", pageOf); return err }),
		one("Claim", "a few of many", func(g *grown) error {
			now := g.now()
			_, err := g.store.Claim(g.ctx, []gateway.Claiming{{Destination: gateway.PushTo(g.push.ID), Limit: 4}}, now,
				now.Add(time.Hour))
			return err
		}),
		one("Parcel", "one", func(g *grown) error {
			_, err := g.store.Parcel(g.ctx, g.leased[0].ID, g.leased[0].Fence)
			return err
		}),
		one("Settle", "a success", func(g *grown) error { return result(g, gateway.Success) }),
		one("Settle", "a failure", func(g *grown) error { return result(g, gateway.Refuse) }),
		one("MakeDue", "one", func(g *grown) error {
			return waiting(g, func(id gateway.JobID) error {
				return expect(g.store.MakeDue(g.ctx, id, g.now().Add(2*time.Hour)), nil)
			})
		}),
		one("Cancel", "one", func(g *grown) error {
			return waiting(g, func(id gateway.JobID) error {
				return g.store.Cancel(g.ctx, id, g.now().Add(2*time.Hour))
			})
		}),
		one("Expire", "when nothing is due", func(g *grown) error {
			_, err := g.store.Expire(g.ctx, morning, g.now(), pageOf, func(gateway.Job) bool { return false })
			return err
		}),
		one("DeadLetter", "one", func(g *grown) error { _, err := g.store.DeadLetter(g.ctx, g.dead[0]); return err }),
		one("Redrive", "one", func(g *grown) error {
			_, err := g.store.Redrive(g.ctx, gateway.DeadFilter{IDs: g.dead[:1]}, g.now())
			return err
		}),
		one("Redrive", "a few", func(g *grown) error {
			_, err := g.store.Redrive(g.ctx, gateway.DeadFilter{Destination: buriedDomain, Limit: 4}, g.now())
			return err
		}),
		one("PurgeDead", "a few", func(g *grown) error {
			_, err := g.store.PurgeDead(g.ctx, gateway.DeadFilter{Code: amtp.CodeAgentUnknown, Limit: 4})
			return err
		}),
		all("PurgeDead", "all of a destination", func(g *grown) error {
			_, err := g.store.PurgeDead(g.ctx, gateway.DeadFilter{Destination: buriedDomain})
			return err
		}),
	}
}

func otherOperations() []operation {
	return []operation{
		one("SenderDomain", "one", func(g *grown) error {
			_, err := g.store.SenderDomain(g.ctx, "p00001.example")
			return err
		}),
		one("NoteSenderDomain", "a new one", func(g *grown) error {
			return g.store.NoteSenderDomain(g.ctx, "new.example", false, g.now())
		}),
		one("SenderDomainsPage", "a page", func(g *grown) error {
			_, err := g.store.SenderDomainsPage(g.ctx, "", pageOf)
			return err
		}),
		one("Documents", "of one kind", func(g *grown) error {
			_, err := g.store.Documents(g.ctx, "thing00001")
			return err
		}),
		one("ChangeDocuments", "of one kind", func(g *grown) error {
			return g.store.ChangeDocuments(g.ctx, "thing00001",
				func(list []gateway.Document) ([]gateway.Document, error) { return list, nil })
		}),
		one("Hold", "one", func(g *grown) error {
			now := g.now()
			_, err := g.store.Hold(g.ctx, "another", "somebody", now, now.Add(time.Hour))
			return err
		}),
		one("Release", "one", func(g *grown) error { return g.store.Release(g.ctx, "another", "somebody") }),
		one("ReceiptDomains", "a page", func(g *grown) error {
			_, err := g.store.ReceiptDomains(g.ctx, "", pageOf)
			return err
		}),
		one("OwedReceipts", "of one domain", func(g *grown) error {
			_, _, err := g.store.OwedReceipts(g.ctx, farDomain, g.now(), pageOf, 1<<20)
			return err
		}),
		one("SettleReceipts", "none", func(g *grown) error { return g.store.SettleReceipts(g.ctx, nil, g.now()) }),
		one("DropReceipts", "of one domain", func(g *grown) error {
			_, err := g.store.DropReceipts(g.ctx, farDomain, morning, 100, pageOf)
			return err
		}),
		one("TakeReceipts", "of one message", func(g *grown) error {
			_, err := g.store.TakeReceipts(g.ctx, farDomain,
				[]gateway.Receipt{{Message: g.sent, Recipient: g.address("last@" + farDomain), Read: g.now()}}, g.now())
			return err
		}),
		one("Probe", "once", func(g *grown) error { return g.store.Probe(g.ctx, g.now()) }),
		one("NoteClock", "once", func(g *grown) error { _, err := g.store.NoteClock(g.ctx); return err }),
		one("Pause", "once", func(g *grown) error { return g.store.Pause(g.ctx, g.now()) }),
		one("Resume", "once", func(g *grown) error { return g.store.Resume(g.ctx) }),
		all("Readdress", "all agents", func(g *grown) error {
			_, err := g.store.Readdress(g.ctx, domain, "moved.example")
			return err
		}),
	}
}

// expect returns an error unless err is the expected one.
func expect(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %v, want %v", err, want)
}
