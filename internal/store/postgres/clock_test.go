package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/test/storetest"
)

// openBy opens the store on a server that has the same clock as its machine.
func openBy(t *testing.T, url string, hand *storetest.Hand) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url, Clock: hand.Clock(), server: hand.Now, deaf: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // a second Close if the test closed it
	hand.Tell(func() {
		if err := s.measureClock(context.Background()); err != nil && s.life.Err() == nil {
			t.Errorf("the clock is not measured: %v", err)
		}
	})
	return s
}

// TestStoreClock: decisions use the clock of the database, which is doubted like any
// other.
func TestStoreClock(t *testing.T) {
	slow.Test(t, "it needs PostgreSQL")
	var databases sync.Map // by the directory that the suite names
	storetest.RunClock(t, func(t *testing.T, dir string, hand *storetest.Hand) gateway.Store {
		hand.Tell(nil)
		url, _ := databases.LoadOrStore(dir, sync.OnceValue(func() string { return database(t) }))
		return openBy(t, url.(func() string)(), hand)
	})
}

// TestReplicasMeetAJump: two replicas that see the same jump count it once, and a
// replica that starts later knows of it.
func TestReplicasMeetAJump(t *testing.T) {
	hand, url := storetest.NewHand(dawn), database(t)
	one, two := openBy(t, url, hand), openBy(t, url, hand)
	hand.Set(400 * 24 * time.Hour)
	for _, s := range []*Store{one, two, one, two} {
		if err := s.measureClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		c, err := s.NoteClock(t.Context())
		if err != nil || c.Jumps != 1 || c.Believed() {
			t.Errorf("after one jump NoteClock = %+v, %v, want one jump and a doubt", c, err)
		}
	}
	three := openBy(t, url, hand)
	if c := three.Clock(); c.Jumps != 1 || c.Believed() {
		t.Errorf("a replica that starts then finds %+v, want one jump and a doubt", c)
	}
	hand.Pass(2 * time.Hour)
	for _, s := range []*Store{one, two, three} {
		if c := s.Clock(); !c.Believed() {
			t.Errorf("two hours later %+v, want that it is believed", c)
		}
	}
}

// TestJumpIsStoredFirst: whatever is written first after a jump, the jump is stored
// before it or with it. So no crash keeps only the write.
func TestJumpIsStoredFirst(t *testing.T) {
	hand, url, ctx := storetest.NewHand(dawn), database(t), t.Context()
	s := openBy(t, url, hand)
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	read := mustAccept(t, s, letterTo(t, alice, "read", bob)).ID
	jumps := int64(0)
	for _, write := range []struct {
		what string
		do   func(now time.Time) error
	}{
		{"Accept", func(now time.Time) error {
			a := letterTo(t, alice, "k", bob)
			a.ReceivedAt = now
			_, err := s.Accept(ctx, a)
			return err
		}},
		{"Accept of a retry", func(now time.Time) error {
			a := letterTo(t, alice, "k", bob, alice)
			a.ReceivedAt = now
			_, err := s.Accept(ctx, a)
			return err
		}},
		{"MarkRead", func(now time.Time) error {
			_, err := s.MarkRead(ctx, gateway.Acting{Agent: bob.ID}, read, now)
			return err
		}},
		{"Ack", func(now time.Time) error {
			_, err := s.Ack(ctx, gateway.Acting{Agent: bob.ID}, read,
				now)
			return err
		}},
		{"NoteSenderDomain", func(now time.Time) error { return s.NoteSenderDomain(ctx, "far.example", true, now) }},
		{"RemoveAgent", func(now time.Time) error { return s.RemoveAgent(ctx, gateway.Acting{}, bob.ID, now) }},
	} {
		by := 400 * 24 * time.Hour
		if jumps++; jumps%2 == 0 {
			by = -by
		}
		hand.Set(by)
		if err := write.do(hand.Now()); err != nil {
			t.Errorf("%s = %v, want no error", write.what, err)
		}
		var stored int64
		err := s.pool.QueryRow(ctx, `SELECT (value::json ->> 'jumps')::bigint FROM setting WHERE name = $1`,
			store.ClockSetting).Scan(&stored)
		if err != nil || stored != jumps {
			t.Errorf("after %s the database knows of %d jumps, %v, want %d", write.what, stored, err, jumps)
		}
	}
}

// TestMachineClockSet: a machine whose own clock is set always uses the database's
// clock.
func TestMachineClockSet(t *testing.T) {
	machine, server := storetest.NewHand(dawn), storetest.NewHand(dawn)
	s, err := Open(context.Background(), Options{URL: database(t), Clock: machine.Clock(),
		server: server.Now, deaf: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	machine.Set(400 * 24 * time.Hour)
	if got := s.Now().Sub(server.Now()); got != 0 {
		t.Errorf("the store's clock is %v away from the database's, want none", got)
	}
	if c := s.Clock(); c.Jumps != 0 {
		t.Errorf("the store's clock jumped: %+v", c)
	}
}

// TestLeaseOfAServerThatWasAhead: a lease that ends later than any lease can last has
// ended.
func TestLeaseOfAServerThatWasAhead(t *testing.T) {
	s := open(t, database(t))
	ctx, now := t.Context(), s.Now()
	if held, err := s.Hold(ctx, "purge", "a replica that was killed", now,
		now.Add(300*24*time.Hour)); !held || err != nil {
		t.Fatal(held, err)
	}
	if held, err := s.Hold(ctx, "purge", "the one that lives", now, now.Add(30*time.Second)); !held || err != nil {
		t.Errorf("Hold = %v, %v, want that it holds the lease", held, err)
	}
}

// TestLeaseLasts: other processes may use the database, so a lease is held until its
// end.
func TestLeaseLasts(t *testing.T) {
	url := database(t)
	one := open(t, url)
	ctx, now := t.Context(), one.Now()
	if held, err := one.Hold(ctx, "purge", "one", now, now.Add(time.Hour)); !held || err != nil {
		t.Fatal(held, err)
	}
	if held, err := open(t, url).Hold(ctx, "purge", "two", now, now.Add(time.Hour)); held || err != nil {
		t.Errorf("Hold = %v, %v, want that another holds the lease", held, err)
	}
}
