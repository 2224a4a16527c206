package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"pgregory.net/rapid"
)

// model is a model of a store, in memory. Its agents are its own; earlier models have
// used the same store.
type model struct {
	t      *testing.T
	dir    string
	store  *Store
	round  int
	hand   *storetest.Hand
	agents []*modelAgent
	sent   []*modelMessage // in the order of acceptance
}

type modelAgent struct {
	gateway.Agent
	removed bool
	box     []*modelCopy // all messages that ever entered it, in order
}

type modelMessage struct {
	id    amtp.MessageID
	from  *modelAgent
	key   string
	given amtp.MessageID // "" when the sender gave none
	text  string
	to    []*modelAgent
}

type modelCopy struct {
	*modelMessage
	read, acked time.Time
}

func (m *model) now() time.Time {
	m.hand.Pass(time.Second)
	return m.hand.Now()
}

// wrong makes the clock jump, go back or stop for a while. The model does not depend on
// the clock.
func (m *model) wrong(t *rapid.T) {
	if rapid.Bool().Draw(t, "stands") {
		m.hand.Stop(time.Duration(rapid.IntRange(1, 48).Draw(t, "hours")) * time.Hour)
	} else {
		m.hand.Set(time.Duration(rapid.IntRange(-4000, 4000).Draw(t, "days")) * 24 * time.Hour)
	}
	if _, err := m.store.NoteClock(t.Context()); err != nil {
		t.Fatalf("NoteClock = %v", err)
	}
}

// pick chooses a living agent.
func (m *model) pick(t *rapid.T, what string) *modelAgent {
	living := slices.DeleteFunc(slices.Clone(m.agents), func(a *modelAgent) bool { return a.removed })
	if len(living) == 0 {
		t.Skip("there is no living agent")
	}
	return rapid.SampledFrom(living).Draw(t, what)
}

// copy chooses one of all messages that ever entered an inbox.
func (m *model) copy(t *rapid.T) (*modelAgent, *modelCopy) {
	a := m.pick(t, "owner")
	if len(a.box) == 0 {
		t.Skip("an empty box")
	}
	return a, rapid.SampledFrom(a.box).Draw(t, "message")
}

func (m *model) register(t *rapid.T) {
	got, err := addAgent(m.store, fmt.Sprintf("a%d-%d", m.round, len(m.agents)))
	if err != nil {
		t.Fatalf("AddAgent = %v", err)
	}
	m.agents = append(m.agents, &modelAgent{Agent: got})
}

func (m *model) registerAgain(t *rapid.T) {
	a := m.pick(t, "agent")
	if _, err := addAgent(m.store, a.Address.Local()); !errors.Is(err, gateway.ErrExists) {
		t.Fatalf("AddAgent of a name that is taken = %v", err)
	}
}

func (m *model) remove(t *rapid.T) {
	if len(m.agents) < 4 {
		t.Skip("too few")
	}
	a := m.pick(t, "agent")
	if err := m.store.RemoveAgent(t.Context(), gateway.Acting{}, a.ID, m.now()); err != nil {
		t.Fatalf("RemoveAgent = %v", err)
	}
	a.removed = true
	if err := m.store.RemoveAgent(t.Context(), gateway.Acting{}, a.ID, m.now()); !errors.Is(err, gateway.ErrNotFound) {
		t.Fatalf("the second RemoveAgent = %v", err)
	}
}

// accept sends a new message, with a key, an id, both or neither.
func (m *model) accept(t *rapid.T) {
	n := &modelMessage{from: m.pick(t, "sender"), text: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "text")}
	if rapid.Bool().Draw(t, "key") {
		n.key = fmt.Sprintf("key-%d-%d", m.round, len(m.sent))
	}
	switch rapid.IntRange(0, 3).Draw(t, "id") {
	case 0:
		n.given = amtp.NewMessageID()
	case 1:
		n.given = amtp.MessageID(fmt.Sprintf("own-%d-%d", m.round, len(m.sent)))
	}
	for range rapid.IntRange(1, 3).Draw(t, "recipients") {
		if to := m.pick(t, "recipient"); !slices.Contains(n.to, to) {
			n.to = append(n.to, to)
		}
	}
	got, err := m.store.Accept(t.Context(), m.acceptance(t, n, n.text, n.to))
	if err != nil || got.Replayed || len(got.Deliveries) != len(n.to) {
		t.Fatalf("Accept = %+v, %v", got, err)
	}
	n.id = got.ID
	m.sent = append(m.sent, n)
	m.enter(n, n.to)
}

func (m *model) enter(n *modelMessage, to []*modelAgent) {
	for _, a := range to {
		a.box = append(a.box, &modelCopy{modelMessage: n})
	}
}

// repeat sends a message again, with the same or other content, perhaps with one more
// recipient.
func (m *model) repeat(t *rapid.T) {
	known := slices.DeleteFunc(slices.Clone(m.sent), func(n *modelMessage) bool {
		return n.from.removed || n.key == "" && n.given == "" ||
			slices.ContainsFunc(n.to, func(a *modelAgent) bool { return a.removed })
	})
	if len(known) == 0 {
		t.Skip("nothing to repeat")
	}
	n := rapid.SampledFrom(known).Draw(t, "message")
	if rapid.IntRange(0, 3).Draw(t, "content") == 0 {
		if _, err := m.store.Accept(t.Context(), m.acceptance(t, n, n.text+"!", n.to)); !errors.Is(err,
			gateway.ErrReused) {
			t.Fatalf("Accept of other content = %v", err)
		}
		return
	}
	var added []*modelAgent
	if more := m.pick(t, "one more"); !slices.Contains(n.to, more) {
		added = append(added, more)
	}
	got, err := m.store.Accept(t.Context(), m.acceptance(t, n, n.text, slices.Concat(n.to, added)))
	if err != nil || !got.Replayed || got.ID != n.id || len(got.Deliveries) != len(n.to)+len(added) {
		t.Fatalf("Accept of a retry = %+v, %v; want %s replayed", got, err, n.id)
	}
	n.to = append(n.to, added...)
	m.enter(n, added)
}

func (m *model) acceptance(t *rapid.T, n *modelMessage, text string, to []*modelAgent) gateway.Acceptance {
	a := note(n.from.Agent, to[0].Agent, text)
	a.Key, a.GivenID, a.ReceivedAt, a.Recipients = n.key, n.given, m.now(), nil
	for _, r := range to {
		a.Recipients = append(a.Recipients, gateway.Recipient{Agent: r.ID})
	}
	return a
}

func (m *model) ack(t *rapid.T) {
	a, c := m.copy(t)
	now := m.now()
	got, err := m.store.Ack(t.Context(), gateway.Acting{Agent: a.ID}, c.id, now)
	if c.acked.IsZero() {
		c.acked = now
	}
	if err != nil || got.ID != c.id || !got.At.Equal(c.acked) {
		t.Fatalf("Ack = %+v, %v; want %s at %v", got, err, c.id, c.acked)
	}
}

func (m *model) mark(t *rapid.T) {
	a, c := m.copy(t)
	now := m.now()
	got, err := m.store.MarkRead(t.Context(), gateway.Acting{Agent: a.ID}, c.id, now)
	if !c.acked.IsZero() {
		if !errors.Is(err, gateway.ErrNotFound) {
			t.Fatalf("MarkRead of an acknowledged message = %v", err)
		}
		return
	}
	if c.read.IsZero() {
		c.read = now
	}
	if err != nil || got.ID != c.id || !got.At.Equal(c.read) {
		t.Fatalf("MarkRead = %+v, %v; want %s at %v", got, err, c.id, c.read)
	}
}

// strange asks for messages of other agents.
func (m *model) strange(t *rapid.T) {
	_, c := m.copy(t)
	a := m.pick(t, "stranger")
	if c.from == a || slices.Contains(c.to, a) {
		t.Skip("no stranger")
	}
	_, ack := m.store.Ack(t.Context(), gateway.Acting{Agent: a.ID}, c.id, m.now())
	_, read := m.store.Message(t.Context(), gateway.Reader{Agent: a.ID}, c.id)
	if !errors.Is(ack, gateway.ErrNotFound) || !errors.Is(read, gateway.ErrNotFound) {
		t.Fatalf("a stranger's Ack = %v, Message = %v", ack, read)
	}
}

// page reads an inbox page by page.
func (m *model) page(t *rapid.T) {
	a := m.pick(t, "owner")
	filter := gateway.InboxFilter{Limit: rapid.IntRange(1, 4).Draw(t, "limit"), Unread: rapid.Bool().Draw(t, "unread")}
	var want, got []amtp.MessageID
	for _, c := range a.box {
		if c.acked.IsZero() && (c.read.IsZero() || !filter.Unread) {
			want = append(want, c.id)
		}
	}
	for more := true; more; {
		page, err := m.store.Inbox(t.Context(), gateway.Acting{Agent: a.ID}, filter)
		if err != nil || len(page.Items) > filter.Limit {
			t.Fatalf("Inbox = %d items, %v", len(page.Items), err)
		}
		for _, item := range page.Items {
			got = append(got, item.ID)
		}
		filter.After, more = page.Next, page.HasMore
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the inbox of %s = %v, want %v", a.Address, got, want)
	}
}

// list lists the messages that an agent sent and received.
func (m *model) list(t *rapid.T) {
	a := m.pick(t, "reader")
	filter := gateway.MessageFilter{Limit: rapid.IntRange(1, 10).Draw(t, "limit"),
		Offset: rapid.IntRange(0, 5).Draw(t, "offset"),
		Sent:   rapid.Bool().Draw(t, "sent")}
	var want, got []amtp.MessageID
	for _, n := range slices.Backward(m.sent) {
		if n.from == a || !filter.Sent && slices.Contains(n.to, a) {
			want = append(want, n.id)
		}
	}
	page, err := m.store.Messages(t.Context(), gateway.Reader{Agent: a.ID}, filter)
	if err != nil || page.Total != len(want) {
		t.Fatalf("Messages = %d in all, %v; want %d", page.Total, err, len(want))
	}
	for _, r := range page.Messages {
		got = append(got, r.ID)
	}
	from := min(filter.Offset, len(want))
	if want = want[from:min(from+filter.Limit, len(want))]; !slices.Equal(got, want) {
		t.Fatalf("Messages = %v, want %v", got, want)
	}
}

func (m *model) reopen(t *rapid.T) {
	if rapid.IntRange(0, 19).Draw(t, "reopen") > 0 {
		t.Skip("it costs much")
	}
	if err := m.store.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	m.store = mustOpenOn(m.t, faultfs.New(m.t), m.dir, byHand(m.hand))
}

// byHand are options for a store whose clock the test sets.
func byHand(h *storetest.Hand) Options {
	o := small
	o.Clock = h.Clock()
	return o
}

// TestModel makes random calls and compares the store with the model.
func TestModel(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	hand := storetest.NewHand(dawn)
	store, round := mustOpenOn(t, faultfs.New(t), dir, byHand(hand)), 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		m := &model{t: t, dir: dir, store: store, round: round, hand: hand}
		defer func() { store = m.store }()
		for range 3 {
			m.register(r)
		}
		r.Repeat(map[string]func(*rapid.T){
			"register": m.register, "register again": m.registerAgain, "remove": m.remove, "accept": m.accept,
			"accept too": m.accept, "repeat": m.repeat, "ack": m.ack, "mark": m.mark, "strange": m.strange,
			"page": m.page, "list": m.list, "reopen": m.reopen, "wrong": m.wrong,
		})
	})
}
