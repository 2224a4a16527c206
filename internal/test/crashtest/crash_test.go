package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// senderCount is how many agents send at once: enough for several messages in one
// commit.
const senderCount = 12

// perBlow is the least number of messages that are accepted before a gateway is killed.
const perBlow = 20

// TestKilledUnderLoad kills the gateway CRASH_CYCLES times (25 when unset) at moments
// that CRASH_SEED determines (random when unset).
func TestKilledUnderLoad(t *testing.T) {
	slow.Test(t, "it kills a gateway under load, again and again")
	cycles := int(fromEnvironment(t, "CRASH_CYCLES", 25))
	seed := fromEnvironment(t, "CRASH_SEED", rand.Uint64()>>1)
	t.Logf("to repeat: CRASH_CYCLES=%d CRASH_SEED=%d", cycles, seed)

	ctx := overall(t, cycles)
	w := newWorld(ctx, t, seed)
	began := time.Now()
	w.start(ctx)
	for range cycles {
		w.crash(ctx, t)
	}
	w.ledger.busy(ctx, t, perBlow*cycles, 5*cycles)
	w.shift.busy(ctx, t)
	w.stop()
	w.settle(ctx, t)

	c := w.ledger.Counts()
	t.Logf("%d cycles in %v: %+v", cycles, time.Since(began).Round(time.Millisecond), c)
	judge(t, "the slowest start", w.slowest, readyWithin)
	judge(t, "the longest that a client had to try", w.ledger.Longest(), longest)
}

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// world is a gateway with all its clients.
type world struct {
	gateway  *Gateway
	ledger   *Ledger
	rand     *rand.Rand
	readers  []*Reader // two for each of the inboxes that are emptied
	follower *Follower // of the inbox that only grows
	senders  []*Sender
	shift    *shift
	slowest  time.Duration

	sending, reading sync.WaitGroup
	stopSending      chan struct{}
	stopReading      chan struct{}
}

func newWorld(ctx context.Context, t *testing.T, seed uint64) *world {
	t.Helper()
	dir := t.TempDir()
	binary, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		gateway: NewGateway(binary, dir), ledger: NewLedger(), rand: rand.New(rand.NewPCG(seed, 0)),
		stopSending: make(chan struct{}), stopReading: make(chan struct{}),
	}
	w.launch(ctx, t)
	register := func(name string) *Agent {
		a, err := Register(ctx, w.gateway, w.ledger, name)
		if err != nil {
			t.Fatalf("registering %s: %v", name, err)
		}
		t.Cleanup(a.Close)
		return a
	}
	bob, carol, archive := register("bob"), register("carol"), register("archive")
	streams := uint64(0)
	chance := func() *rand.Rand { streams++; return rand.New(rand.NewPCG(seed, streams)) }
	for _, a := range []*Agent{bob, bob, carol, carol} {
		w.readers = append(w.readers, &Reader{Agent: a, Rand: chance()})
	}
	w.follower = &Follower{Agent: archive}
	w.shift = newShift(ctx, t, w.gateway, w.ledger, chance)
	for i := range senderCount {
		w.senders = append(w.senders, &Sender{
			Agent:      register(fmt.Sprintf("sender-%d", i)),
			Recipients: []amtp.Address{bob.Address, carol.Address, archive.Address, w.shift.box},
			Number:     "12345678901234567890.50",
			Rand:       chance(),
		})
	}
	return w
}

func (w *world) launch(ctx context.Context, t *testing.T) {
	t.Helper()
	w.slowest = max(w.slowest, launch(ctx, t, w.gateway))
}

// launch starts a life, and makes sure that it is killed when the test ends. It returns
// how long the gateway took to be ready.
func launch(ctx context.Context, t *testing.T, g *Gateway) time.Duration {
	t.Helper()
	began := time.Now()
	if err := g.Launch(); err != nil {
		t.Fatal(err)
	}
	process := g.cmd
	t.Cleanup(func() {
		if process.ProcessState == nil {
			_ = process.Process.Kill()
			_ = process.Wait()
		}
	})
	limited, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := g.AwaitReady(limited); err != nil {
		t.Fatalf("not ready %v after the start: %v", time.Since(began), err)
	}
	return time.Since(began)
}

// start starts all clients.
func (w *world) start(ctx context.Context) {
	for _, s := range w.senders {
		w.sending.Go(func() { s.Run(ctx, w.stopSending) })
	}
	for _, r := range w.readers {
		w.reading.Go(func() { r.Run(ctx, w.stopReading) })
	}
	w.reading.Go(func() { w.follower.Run(ctx, w.stopReading) })
	w.shift.start(ctx, &w.sending, &w.reading, w.stopSending, w.stopReading)
}

// crash kills the gateway at some moment, or ends it in order, and starts it again. Some
// of the new lives are killed while they start.
func (w *world) crash(ctx context.Context, t *testing.T) {
	t.Helper()
	w.ledger.accept(ctx, t, perBlow+w.rand.IntN(2*perBlow))
	pause(ctx, w.between(0, 40*time.Millisecond))
	if w.rand.IntN(4) > 0 {
		w.kill(t)
	} else if err := w.gateway.Terminate(); err != nil {
		t.Fatal(err)
	}
	for w.rand.IntN(4) == 0 {
		if err := w.gateway.Launch(); err != nil {
			t.Fatal(err)
		}
		pause(ctx, w.between(0, 40*time.Millisecond))
		w.kill(t)
	}
	w.launch(ctx, t)
}

func (w *world) kill(t *testing.T) {
	t.Helper()
	if err := w.gateway.Kill(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rand.Int64N(int64(high-low)))
}

// stop lets the senders finish, and then the readers.
func (w *world) stop() {
	close(w.stopSending)
	w.sending.Wait()
	close(w.stopReading)
	w.reading.Wait()
}

// settle compares the gateway with the ledger.
func (w *world) settle(ctx context.Context, t *testing.T) {
	t.Helper()
	w.shift.settle(ctx, t, w.gateway)
	if err := w.follower.Settle(ctx); err != nil {
		t.Fatalf("reading the inbox of %s: %v", w.follower.Address, err)
	}
	inboxes := make(map[amtp.Address][]Item)
	for _, a := range []*Agent{w.readers[0].Agent, w.readers[2].Agent, w.follower.Agent} {
		whole, err := a.Whole(ctx)
		if err != nil {
			t.Fatalf("reading the inbox of %s: %v", a.Address, err)
		}
		inboxes[a.Address] = whole
	}
	for _, r := range []*Reader{w.readers[0], w.readers[2]} {
		for _, id := range w.ledger.AcknowledgedIDs(r.Address, 100) {
			if err := r.checkAcknowledged(ctx, id); err != nil {
				t.Error(err)
			}
		}
	}
	faults := w.ledger.Settle(inboxes)
	for _, f := range faults[:min(20, len(faults))] {
		t.Error(f)
	}
	if len(faults) > 20 {
		t.Errorf("and %d more faults", len(faults)-20)
	}
}

// checkAcknowledged asks the gateway for the status of a message whose acknowledgement
// it confirmed.
func (r *Reader) checkAcknowledged(ctx context.Context, id amtp.MessageID) error {
	var status amtp.MessageStatus
	err := r.until(ctx, func(ctx context.Context, c *amtp.Client) (err error) {
		status, err = c.Status(ctx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("the status of %s: %w", id, err)
	}
	for _, s := range status.Recipients {
		if s.Address.Equal(r.Address) && s.Acknowledged && !s.AcknowledgedAt.IsZero() {
			return nil
		}
	}
	return fmt.Errorf("%s confirmed the acknowledgement of %s; its status says %+v", r.Address, id, status.Recipients)
}
