package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// tester is the part of *testing.T and of *rapid.T that a world needs.
type tester interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is one store, the people who use it, and a clock that advances by a second each
// time it is read.
type world struct {
	tester
	ctx    context.Context
	store  gateway.Store
	reopen func() gateway.Store // nil if the store is not opened again
	ticks  *atomic.Int64
	hand   *Hand // the clock; if set, it replaces ticks
}

// morning is the time at which every world begins. Its microseconds are not zero.
var morning = time.Date(2026, 3, 1, 8, 0, 0, 123456000, time.UTC)

func newWorld(t tester, store gateway.Store) *world {
	return &world{tester: t, ctx: context.Background(), store: store, ticks: new(atomic.Int64)}
}

func (w *world) now() time.Time {
	if w.hand != nil {
		w.hand.Pass(time.Second)
		return w.hand.Now()
	}
	return morning.Add(time.Duration(w.ticks.Add(1)) * time.Second)
}

// restart closes the store and opens it again.
func (w *world) restart() {
	w.Helper()
	if err := w.store.Close(); err != nil {
		w.Fatalf("Close = %v, want no error", err)
	}
	w.store = w.reopen()
}

// person is a registered agent with its first key.
type person struct {
	gateway.Agent
	key gateway.Key
}

const domain = "shop.example"

func (w *world) address(s string) amtp.Address {
	w.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		w.Fatalf("ParseAddress = %v, want an address; input %q", err, s)
	}
	return a
}

// agent registers a pull agent of that name.
func (w *world) agent(name string) person {
	w.Helper()
	p, err := w.register(name)
	if err != nil {
		w.Fatalf("AddAgent = %v, want no error; name %s", err, name)
	}
	return p
}

// pushed registers an agent of that name that gets its messages by push.
func (w *world) pushed(name string) person {
	w.Helper()
	p := w.agent(name)
	p.DeliveryMode, p.Target = "push", "https://"+name+".example/hook"
	w.works("UpdateAgent", w.update(w.ctx, p.Agent))
	return p
}

func (w *world) register(name string) (person, error) {
	now := w.now()
	key := newKey(name+strconv.FormatInt(w.ticks.Load(), 10), 0, now)
	a, err := w.store.AddAgent(w.ctx, gateway.Agent{
		Address: w.address(name + "@" + domain), DeliveryMode: "pull", Listed: true, CreatedAt: now, LastActive: now,
	}, key)
	key.Agent = a.ID
	return person{Agent: a, key: key}, err
}

// newKey returns a key whose name and hash are made from seed.
func newKey(seed string, agent gateway.AgentID, now time.Time) gateway.Key {
	return gateway.Key{ID: "key_" + seed, Agent: agent, Hash: sha256.Sum256([]byte(seed)), CreatedAt: now,
		LastUsed: now}
}

func (w *world) remove(p person) {
	w.Helper()
	if err := w.store.RemoveAgent(w.ctx, gateway.Acting{}, p.ID, w.now()); err != nil {
		w.Fatalf("RemoveAgent = %v, want no error; agent %s", err, p.Address)
	}
}

// letter is a message that is about to be sent.
type letter struct {
	from    person
	remote  string // the sender's address if it is no agent here
	to      []person
	far     []string      // recipients in other domains, after those here
	early   bool          // its domain may not have signed before
	class   gateway.Class // ClassAgent by default
	id      amtp.MessageID
	key     string
	text    string // the content; "" for a unique text
	answers amtp.MessageID
	doc     string // the whole document, instead of one made from the fields above
}

// body returns the document of the letter.
func (w *world) body(l *letter) string {
	if l.doc != "" {
		return l.doc
	}
	if l.text == "" {
		l.text = fmt.Sprintf("letter %d", w.ticks.Load())
	}
	m := map[string]any{"sender": l.sender(), "payload": map[string]any{"text": l.text}, "subject": l.text}
	to := make([]string, len(l.to))
	for i, p := range l.to {
		to[i] = p.Address.String()
	}
	m["recipients"] = append(to, l.far...)
	for name, value := range map[string]string{
		"message_id": string(l.id), "idempotency_key": l.key, "in_reply_to": string(l.answers),
	} {
		if value != "" {
			m[name] = value
		}
	}
	b, _ := json.Marshal(m) // strings cannot fail
	return string(b)
}

func (l *letter) sender() string {
	if l.remote != "" {
		return l.remote
	}
	return l.from.Address.String()
}

// acceptance returns what a gateway would give to the store for the letter.
func (w *world) acceptance(l letter) gateway.Acceptance {
	w.Helper()
	now := w.now()
	m, refused := amtp.ParseMessage([]byte(w.body(&l)))
	if refused != nil {
		w.Fatalf("ParseMessage = %v, want a message; document %s", refused, w.body(&l))
	}
	if l.class == 0 {
		l.class = gateway.ClassAgent
	}
	a := gateway.Acceptance{
		Envelope: gateway.Envelope{
			ID: amtp.NewMessageID(), GivenID: m.MessageID, Sender: m.Sender, SenderAgent: l.from.ID, Class: l.class,
			Found:      gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}},
			ReceivedAt: now, Timestamp: now, Subject: m.Subject, InReplyTo: m.InReplyTo,
		},
		Key: m.IdempotencyKey, Message: m,
	}
	if l.class == gateway.ClassAnonymous {
		a.Found.Result = amtp.AuthNone
	}
	for _, p := range l.to {
		a.Recipients = append(a.Recipients, gateway.Recipient{Agent: p.ID})
	}
	for _, address := range l.far {
		a.Recipients = append(a.Recipients, gateway.Recipient{Address: w.address(address)})
	}
	a.Unsigned = l.early
	return a
}

// try gives the letter to the store.
func (w *world) try(l letter) (gateway.Accepted, error) {
	w.Helper()
	return w.store.Accept(w.ctx, w.acceptance(l))
}

// post gives the letter to the store, which accepts it.
func (w *world) post(l letter) gateway.Accepted {
	w.Helper()
	got, err := w.try(l)
	if err != nil {
		w.Fatalf("Accept = %v, want no error; letter %s", err, w.body(&l))
	}
	return got
}

// send posts a letter with a unique text and returns its id.
func (w *world) send(from person, to ...person) amtp.MessageID {
	w.Helper()
	return w.post(letter{from: from, to: to}).ID
}

// wholeInbox is a filter that every entry passes.
var wholeInbox = gateway.InboxFilter{Limit: 100_000, MaxBytes: 1 << 30}

func (w *world) page(p person, f gateway.InboxFilter) gateway.InboxPage {
	w.Helper()
	page, err := w.store.Inbox(w.ctx, gateway.Acting{Agent: p.ID}, f)
	if err != nil {
		w.Fatalf("Inbox = %v, want no error; agent %s, filter %+v", err, p.Address, f)
	}
	return page
}

// inbox returns the ids of everything in the inbox.
func (w *world) inbox(p person) []amtp.MessageID {
	w.Helper()
	return ids(w.page(p, wholeInbox).Items)
}

func ids(items []gateway.InboxItem) []amtp.MessageID {
	list := make([]amtp.MessageID, len(items))
	for i := range items {
		list[i] = items[i].ID
	}
	return list
}

// read returns a message as the person gets it.
func (w *world) read(p person, id amtp.MessageID) gateway.Record {
	w.Helper()
	r, err := w.store.Message(w.ctx, gateway.Reader{Agent: p.ID}, id)
	if err != nil {
		w.Fatalf("Message = %v, want no error; reader %s, id %s", err, p.Address, id)
	}
	return r
}

func (w *world) ack(p person, id amtp.MessageID) gateway.Mark {
	w.Helper()
	mark, err := w.store.Ack(w.ctx, gateway.Acting{Agent: p.ID}, id, w.now())
	if err != nil {
		w.Fatalf("Ack = %v, want no error; agent %s, id %s", err, p.Address, id)
	}
	return mark
}

func (w *world) markRead(p person, id amtp.MessageID) gateway.Mark {
	w.Helper()
	mark, err := w.store.MarkRead(w.ctx, gateway.Acting{Agent: p.ID}, id, w.now())
	if err != nil {
		w.Fatalf("MarkRead = %v, want no error; agent %s, id %s", err, p.Address, id)
	}
	return mark
}

// fails checks that an error is the one that the contract names.
func (w *world) fails(what string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("%s = %v, want the error %q", what, err, want)
	}
}

// works checks that there is no error.
func (w *world) works(what string, err error) {
	w.Helper()
	if err != nil {
		w.Errorf("%s = %v, want no error", what, err)
	}
}

// same checks that two values are equal.
func same[T comparable](w *world, what string, got, want T) {
	w.Helper()
	if got != want {
		w.Errorf("%s = %v, want %v", what, got, want)
	}
}

// sameTime checks that two times are equal to the last digit.
func (w *world) sameTime(what string, got, want time.Time) {
	w.Helper()
	if !got.Equal(want) {
		w.Errorf("%s = %v, want %v", what, got, want)
	}
}

// sameList checks a list and its order.
func sameList[T comparable](w *world, what string, got, want []T) {
	w.Helper()
	equal := len(got) == len(want)
	for i := 0; equal && i < len(got); i++ {
		equal = got[i] == want[i]
	}
	if !equal {
		w.Errorf("%s = %v, want %v", what, got, want)
	}
}

// together runs fn n times at once and returns when all have returned.
func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	all.Wait()
}

// update gives the agent with a's id the values of a.
func (w *world) update(ctx context.Context, a gateway.Agent) error {
	changed, err := w.store.UpdateAgent(ctx, gateway.Acting{}, a.ID, func(now *gateway.Agent) error {
		now.DeliveryMode, now.Target, now.Description, now.Role = a.DeliveryMode, a.Target, a.Description, a.Role
		now.MaxDeliveries = a.MaxDeliveries
		now.Capabilities, now.SupportedSchemas, now.Listed, now.Receipts = a.Capabilities, a.SupportedSchemas,
			a.Listed, a.Receipts
		return nil
	})
	if err == nil {
		same(w, "role of the agent that UpdateAgent returns", changed.Role, a.Role)
	}
	return err
}
