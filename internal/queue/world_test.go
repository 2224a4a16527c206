package queue_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/wallclock"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway's store and queue, on the clock of a bubble, with a courier that
// acts as a test says.
type world struct {
	t     *testing.T
	store *sqlite.Store
	alice gateway.Agent
	shows func() time.Time
	bob   gateway.Agent
	log   bytes.Buffer

	mu    sync.Mutex
	tries map[gateway.Destination][]time.Time
	jobs  map[gateway.Destination]gateway.JobID // the newest of each
	now   int                                   // attempts under way
	most  int                                   // the most at once
	carry func(context.Context, gateway.Parcel) gateway.Carriage
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldBy(t, time.Now)
}

// newWorldBy is newWorld on a machine whose clock differs from the bubble's.
func newWorldBy(t *testing.T, shows func() time.Time) *world {
	t.Helper()
	w := &world{t: t, shows: shows, tries: make(map[gateway.Destination][]time.Time),
		jobs: make(map[gateway.Destination]gateway.JobID)}
	var err error
	if w.store, err = sqlite.Open(sqlite.Options{Dir: t.TempDir(), Clock: wallclock.Clock{Now: shows}}); err != nil {
		t.Fatal(err)
	}
	w.alice, w.bob = w.agent("alice"), w.agent("bob")
	return w
}

func (w *world) agent(name string) gateway.Agent {
	w.t.Helper()
	a, err := w.store.AddAgent(context.Background(), gateway.Agent{
		Address: address(w.t, name+"@a.example"), DeliveryMode: "pull", CreatedAt: time.Now(), LastActive: time.Now(),
	}, gateway.Key{ID: "key_" + name, Hash: sha256.Sum256([]byte(name)), CreatedAt: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) close() {
	if err := w.store.Close(); err != nil {
		w.t.Errorf("Close = %v", err)
	}
}

func address(t *testing.T, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// send makes alice write to the addresses.
func (w *world) send(to ...string) amtp.MessageID {
	w.t.Helper()
	return w.sendAs(w.alice, to...)
}

func (w *world) sendAs(from gateway.Agent, to ...string) amtp.MessageID {
	w.t.Helper()
	return w.post(`{"sender":"alice@a.example","recipients":["x@b.example"],"payload":1}`, from, to...)
}

// post makes an agent send a document to the addresses.
func (w *world) post(document string, from gateway.Agent, to ...string) amtp.MessageID {
	w.t.Helper()
	a := gateway.Acceptance{Envelope: gateway.Envelope{
		ID: amtp.NewMessageID(), Sender: from.Address, SenderAgent: from.ID, Class: gateway.ClassAgent,
		Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}, ReceivedAt: w.shows(),
		Timestamp: w.shows(),
	}}
	var refused *amtp.Error
	if a.Message, refused = amtp.ParseMessage([]byte(document)); refused != nil {
		w.t.Fatal(refused)
	}
	for _, s := range to {
		a.Recipients = append(a.Recipients, gateway.Recipient{Address: address(w.t, s)})
	}
	accepted, err := w.store.Accept(context.Background(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	return accepted.ID
}

// sendMany makes alice write n messages to as many agents of a domain.
func (w *world) sendMany(n int, domain string) {
	w.t.Helper()
	var all sync.WaitGroup
	const at = 100
	for part := range at {
		all.Go(func() {
			for i := part; i < n; i += at {
				w.send(fmt.Sprintf("agent%d@%s", i, domain))
			}
		})
	}
	all.Wait()
}

// Carry notes the attempt and acts as the test says.
func (w *world) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	w.mu.Lock()
	w.tries[p.Destination] = append(w.tries[p.Destination], time.Now())
	w.jobs[p.Destination] = p.ID
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now--
	}()
	if p.Destination == gateway.Reports {
		door := &intake.Intake{Store: w.store, Domain: "a.example", Now: w.shows, Federated: true}
		return (&automail.Reporter{Acceptor: door, Agents: w.store, Domain: "a.example"}).Carry(ctx, p)
	}
	return w.carry(ctx, p)
}

// tried returns when attempts at a destination were made.
func (w *world) tried(d gateway.Destination) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Time(nil), w.tries[d]...)
}

// atMost returns how many attempts were under way at once.
func (w *world) atMost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// run starts a queue over the store, or over one that a test puts in front of it. stop
// stops the queue and waits for its end.
func (w *world) run(store queue.Store) (stop func()) {
	_, stop = w.runs(store)
	return stop
}

// runs is run, and also returns the queue.
func (w *world) runs(store queue.Store) (q *queue.Queue, stop func()) {
	if store == nil {
		store = w.store
	}
	q = queue.New(store, w, queue.Options{Now: w.shows, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Lease: 2 * time.Minute})
	return q, w.loop(q)
}

// expire starts the loop that gives up old jobs.
func (w *world) expire() (stop func()) {
	return w.loop(&queue.Expiry{Store: w.store, Now: w.shows, Log: slog.New(slog.DiscardHandler)})
}

func (w *world) loop(l interface{ Run(context.Context) error }) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := l.Run(ctx); err != nil {
			w.t.Errorf("Run = %v", err)
		}
	})
	return func() {
		cancel()
		ended.Wait()
	}
}

// seldom is a store whose Waiting answers only once an hour, so that a test of a week
// takes seconds.
type seldom struct {
	*sqlite.Store
	next time.Time
}

func (s *seldom) Waiting(ctx context.Context, after gateway.Destination, limit int) ([]gateway.Waiting, error) {
	if time.Now().Before(s.next) {
		return nil, nil
	}
	s.next = time.Now().Add(time.Hour)
	return s.Store.Waiting(ctx, after, limit)
}

// state returns the delivery to the only recipient of a message.
func (w *world) state(id amtp.MessageID) gateway.Delivery {
	w.t.Helper()
	r, err := w.store.Message(context.Background(), gateway.Reader{Everyone: true}, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Deliveries[0]
}

// reports returns how many messages are in alice's inbox.
func (w *world) reports() int {
	w.t.Helper()
	page, err := w.store.Inbox(context.Background(), gateway.Acting{Agent: w.alice.ID}, gateway.InboxFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Items)
}

// waiting returns how many jobs there are.
func (w *world) waiting() int {
	w.t.Helper()
	page, err := w.store.JobsPage(context.Background(), gateway.JobFilter{Limit: 100_000})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Jobs)
}

// Actions of couriers in tests.

func delivers(_ context.Context, p gateway.Parcel) gateway.Carriage {
	return p.All(gateway.Outcome{Event: gateway.Success})
}

// postpones is the outcome of an attempt at a message that is not accepted now.
func postpones(_ context.Context, p gateway.Parcel) gateway.Carriage {
	return p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, Reason: "not now"})
}

// limited is the outcome of an attempt at a gateway that answers and asks for a pause
// of that length.
func limited(p gateway.Parcel, wait time.Duration) gateway.Carriage {
	c := p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, Reason: "not now",
		RetryAfter: wait})
	c.Down, c.Answered, c.Pause = true, true, wait
	return c
}

// down is the carriage of an attempt at a destination that does not answer.
func down(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	c := postpones(ctx, p)
	c.Down = true
	return c
}
