package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// grown is a store that holds n of every thing.
type grown struct {
	*world
	n int

	alice, bob, carol, dave, erin, push, fresh person
	unread, marked                             amtp.MessageID      // in the inboxes of bob and carol
	taken                                      []gateway.TakenItem // four that erin works on
	sent                                       amtp.MessageID      // to another domain
	owed                                       amtp.MessageID      // answered with a receipt
	leased                                     []gateway.Job       // of far.example
	dead                                       []gateway.DeliveryID
}

// n jobs wait for farDomain, and n dead letters were sent to buriedDomain.
const (
	farDomain    = "far.example"
	buriedDomain = "buried.example"
)

// fill puts n of every thing into a store. Alice writes to bob, who reads nothing, to
// carol, who marks everything, to dave, who acknowledges everything, to erin, who takes
// everything as work, and to other domains. Other agents register, and leave.
func fill(t testing.TB, store gateway.Store, n int) *grown {
	t.Helper()
	return fillWith(t, store, n, n)
}

// fillWith puts mail messages between agents here, and n of every other thing, into a
// store.
func fillWith(t testing.TB, store gateway.Store, n, mail int) *grown {
	t.Helper()
	g := &grown{world: newWorld(t, store), n: n}
	g.alice, g.bob, g.carol, g.dave, g.erin, g.fresh = g.agent("alice"), g.agent("bob"), g.agent("carol"),
		g.agent("dave"), g.agent("erin"), g.agent("fresh")
	g.shared(gateway.SharedMailbox, "box", g.fresh)
	g.push = g.pushed("push")
	for _, step := range []struct {
		n  int
		do func(i int) error
	}{
		{n, g.fillAgents}, {n, g.fillGone}, {mail, g.fillLocal}, {n, g.fillFar}, {n, g.fillPeers},
		{n, g.fillTaken}, {n, g.fillSmall},
	} {
		together(16, func(worker int) {
			for i := worker; i < step.n; i += 16 {
				if err := step.do(i); err != nil {
					t.Errorf("fill %d of %d: %v", i, step.n, err)
					return
				}
			}
		})
	}
	g.bury()
	g.sent = g.mail(g.alice, "last@"+farDomain)
	g.leased = g.claim(g.now(), farDomain)[:4]
	g.unread, g.marked = g.send(g.alice, g.bob), g.send(g.alice, g.carol)
	g.owed = g.post(letter{remote: "peer@" + farDomain, to: []person{g.dave}, class: gateway.ClassDomain}).ID
	g.sendMany(4, g.alice, g.erin)
	got, err := g.takes(g.erin, gateway.TakeFilter{})
	if g.taken = got.Items; err != nil || len(g.taken) != 4 {
		t.Errorf("Take = %d, %v; want 4", len(g.taken), err)
	}
	g.fillIndex()
	return g
}

// fillIndex takes all messages into the index of the search.
func (g *grown) fillIndex() {
	for more := true; more; {
		did, err := g.store.IndexMail(g.ctx, 100)
		if more = did.More; err != nil {
			g.Fatalf("IndexMail = %v, want no error", err)
		}
	}
}

// patiently tries again while the store is busy.
func (g *grown) patiently(l letter) (id amtp.MessageID, err error) {
	for began := time.Now(); ; {
		got, err := g.try(l)
		if !errors.Is(err, gateway.ErrBusy) || time.Since(began) > patience {
			return got.ID, err
		}
	}
}

// fillAgents registers an agent, and a shared mailbox of which it is the member.
func (g *grown) fillAgents(i int) error {
	now := g.now()
	a := gateway.Agent{Address: g.address(fmt.Sprintf("agent%05d@%s", i, domain)), DeliveryMode: "pull", Listed: true,
		CreatedAt: now, LastActive: now}
	made, err := g.store.AddAgent(g.ctx, a, newKey(fmt.Sprintf("agent%05d", i), 0, now))
	if err == nil {
		a.Address, a.Kind = g.address(fmt.Sprintf("box%05d@%s", i, domain)), gateway.SharedMailbox
		a.Members = []gateway.AgentID{made.ID}
		_, err = g.store.AddAgent(g.ctx, a, gateway.Key{})
	}
	return err
}

// fillGone removes an agent to which a message was sent.
func (g *grown) fillGone(i int) error {
	written, err := g.register(fmt.Sprintf("written%05d", i))
	if err != nil {
		return err
	}
	if _, err := g.patiently(letter{from: g.alice, to: []person{written},
		text: fmt.Sprintf("goodbye %d", i)}); err != nil {
		return err
	}
	return g.store.RemoveAgent(g.ctx, gateway.Acting{}, written.ID, g.now())
}

func (g *grown) fillLocal(i int) error {
	text := fmt.Sprintf("local-%d", i)
	id, err := g.patiently(letter{from: g.alice, to: []person{g.bob, g.carol, g.dave}, text: text, key: text})
	if err == nil {
		_, err = g.store.Label(g.ctx, gateway.Acting{Agent: g.bob.ID}, id, gateway.LabelChange{Add: []string{"many"}})
	}
	if err == nil {
		_, err = g.store.MarkRead(g.ctx, gateway.Acting{Agent: g.carol.ID}, id, g.now())
	}
	if err == nil {
		_, err = g.store.Ack(g.ctx, gateway.Acting{Agent: g.dave.ID}, id, g.now())
	}
	return err
}

// fillFar queues a job for farDomain, one for buriedDomain, one for a domain without
// other jobs, and one by push.
func (g *grown) fillFar(i int) error {
	_, err := g.patiently(letter{from: g.alice, to: []person{g.push}, text: fmt.Sprintf("far %d", i), far: []string{
		fmt.Sprintf("x%05d@%s", i, farDomain), fmt.Sprintf("x@d%05d.example", i),
		fmt.Sprintf("x%05d@%s", i, buriedDomain)}})
	return err
}

// crowded is the thread of n messages to dave.
const crowded = amtp.MessageID("crowded")

// fillPeers posts a message from another address, which is acknowledged, so that a
// receipt is owed for it. All of them are in one thread.
func (g *grown) fillPeers(i int) error {
	from := fmt.Sprintf("peer%05d@p%05d.example", i, i)
	id, err := g.patiently(letter{remote: from, to: []person{g.dave}, class: gateway.ClassDomain,
		text: fmt.Sprintf("peer %d", i), answers: crowded})
	if err == nil {
		err = g.store.NoteSenderDomain(g.ctx, amtp.Domain(fmt.Sprintf("p%05d.example", i)), true, g.now())
	}
	if err == nil {
		_, err = g.store.Ack(g.ctx, gateway.Acting{Agent: g.dave.ID}, id, g.now())
	}
	return err
}

// fillTaken sends a message to erin, who takes it as work.
func (g *grown) fillTaken(i int) error {
	_, err := g.patiently(letter{from: g.alice, to: []person{g.erin}, text: fmt.Sprintf("work %d", i)})
	if err == nil {
		_, err = g.takes(g.erin, gateway.TakeFilter{})
	}
	return err
}

func (g *grown) fillSmall(i int) error {
	now := g.now()
	name := fmt.Sprintf("thing%05d", i)
	_, err := g.store.Hold(g.ctx, name, "somebody", now, now.Add(time.Hour))
	if err == nil {
		err = g.store.ChangeDocuments(g.ctx, name, func(list []gateway.Document) ([]gateway.Document, error) {
			return append(list, gateway.Document{Kind: name, Name: "only", Sealed: []byte{1}, Facts: []byte("{}"),
				Created: now}), nil
		})
	}
	return err
}

// bury lets all jobs for one domain fail.
func (g *grown) bury() {
	for {
		jobs := g.claim(g.now(), buriedDomain)
		if len(jobs) == 0 {
			break
		}
		for _, j := range jobs {
			p, err := g.store.Parcel(g.ctx, j.ID, j.Fence)
			if err != nil {
				g.Fatalf("Parcel = %v, want no error", err)
			}
			s := parcel{p}.settled(g.world, gateway.Refuse, p.Recipients...)
			for i := range s.Results {
				s.Results[i].Code = amtp.CodeAgentUnknown
			}
			g.settle(s)
		}
	}
	page, err := g.store.DeadLetters(g.ctx, gateway.DeadFilter{Limit: 8})
	if err != nil || len(page.Letters) != 8 {
		g.Fatalf("DeadLetters = %d, %v; want 8", len(page.Letters), err)
	}
	for i := range page.Letters {
		g.dead = append(g.dead, page.Letters[i].ID)
	}
}
