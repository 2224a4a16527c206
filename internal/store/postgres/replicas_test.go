package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/storetest"
)

// patience is how long a test waits for one event, even on a busy machine. Only a test
// that fails waits that long.
const patience = 5 * time.Minute

// soon waits until a condition holds, and fails when it does not for long.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("for %v it is not so that %s", patience, what)
		case <-tick.C:
		}
	}
}

func mustAccept(t testing.TB, s *Store, a gateway.Acceptance) gateway.Accepted {
	t.Helper()
	got, err := s.Accept(context.Background(), a)
	if err != nil {
		t.Fatalf("Accept = %v, want no error", err)
	}
	return got
}

func inbox(t testing.TB, s *Store, a gateway.Agent) []gateway.InboxItem {
	t.Helper()
	page, err := s.Inbox(context.Background(), gateway.Acting{Agent: a.ID}, gateway.InboxFilter{})
	if err != nil {
		t.Fatalf("Inbox = %v, want no error", err)
	}
	return page.Items
}

func twoReplicas(t *testing.T, open func(testing.TB, string) *Store) (one, two *Store) {
	url := database(t)
	return open(t, url), open(t, url)
}

// An agent or key that is registered through one replica is usable through the other at
// once, without a notice.
func TestRegisteredElsewhere(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	alice := register(t, one, "alice")
	secret, key := gateway.NewKey(alice.ID, dawn)
	if _, err := one.AddKey(context.Background(), gateway.Acting{}, key, false); err != nil || secret == "" {
		t.Fatalf("AddKey = %v, want no error", err)
	}
	if owner, _, err := two.KeyOwner(t.Context(), key.Hash, dawn); err != nil || owner.ID != alice.ID {
		t.Errorf("KeyOwner at the other replica = %v, %v, want alice", owner, err)
	}
	bob := register(t, one, "bob")
	if got, err := two.AgentNamed(t.Context(), bob.Address); err != nil || got.ID != bob.ID {
		t.Errorf("AgentNamed at the other replica = %v, %v, want bob", got, err)
	}
	carol := register(t, one, "carol")
	mustAccept(t, one, letterTo(t, alice, "k", bob, carol))
	again := mustAccept(t, two, letterTo(t, alice, "k", bob, carol))
	if d := again.Deliveries; !again.Replayed || d[0].Recipient != bob.Address || d[1].Recipient != carol.Address {
		t.Errorf("a retry at the other replica = %+v, want a replay with both addresses", again)
	}
	dave := register(t, one, "dave")
	if d := mustAccept(t, two, letterTo(t, alice, "to dave", dave)).Deliveries[0]; d.Recipient != dave.Address {
		t.Errorf("recipient of a new message at the other replica = %s, want %s", d.Recipient, dave.Address)
	}
	if items := inbox(t, two, bob); len(items) != 1 || items[0].Sender != alice.Address {
		t.Errorf("inbox at the other replica = %v, want one message of alice", items)
	}
	record, err := two.Message(context.Background(), gateway.Reader{Everyone: true}, inbox(t, two, bob)[0].ID)
	if err != nil || record.Deliveries[1].Recipient != carol.Address {
		t.Errorf("Message at the other replica = %v, %v, want it with carol's address", record.Deliveries, err)
	}
}

// An agent or key that is removed through one replica is refused by the other: by
// writes at once, by reads within about a second.
func TestRemovedElsewhere(t *testing.T) {
	for name, open := range map[string]func(testing.TB, string) *Store{"heard": func(t testing.TB, url string) *Store { return open(t, url) }, "asked": openDeaf} {
		t.Run(name, func(t *testing.T) {
			one, two := twoReplicas(t, open)
			alice, bob := register(t, one, "alice"), register(t, one, "bob")
			_, key := gateway.NewKey(bob.ID, dawn)
			if _, err := one.AddKey(context.Background(), gateway.Acting{}, key, false); err != nil {
				t.Fatal(err)
			}
			if _, _, err := two.KeyOwner(t.Context(), key.Hash, dawn); err != nil {
				t.Fatalf("KeyOwner = %v, want bob", err)
			}
			got := mustAccept(t, two, letterTo(t, alice, "before", bob))
			if err := one.RemoveAgent(context.Background(), gateway.Acting{}, bob.ID, dawn); err != nil {
				t.Fatal(err)
			}
			for what, a := range map[string]gateway.Acceptance{"to": letterTo(t, alice, "after", bob),
				"of": letterTo(t, bob, "after", alice)} {
				if _, err := two.Accept(context.Background(), a); !errors.Is(err, gateway.ErrNotFound) {
					t.Errorf("Accept of a letter %s bob = %v, want %v", what, err, gateway.ErrNotFound)
				}
			}
			if _, err := two.Ack(context.Background(), gateway.Acting{Agent: bob.ID}, got.ID,
				dawn); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("Ack by bob = %v, want %v", err, gateway.ErrNotFound)
			}
			soon(t, "bob's key is refused", func() bool {
				_, _, err := two.KeyOwner(t.Context(), key.Hash, dawn)
				return errors.Is(err, gateway.ErrNotFound)
			})
			if _, err := two.AgentNamed(t.Context(), bob.Address); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("AgentNamed = %v, want %v", err, gateway.ErrNotFound)
			}
		})
	}
}

// A call with an acting key that ended through one replica is refused by the other at
// once, without a notice.
func TestEndedElsewhere(t *testing.T) {
	storetest.RunTwo(t, func(t *testing.T) (one, two gateway.Store) { return twoReplicas(t, openDeaf) })
}

// A message that one replica accepts rings the bell at the other. This is soon when
// notices are received, and within about a second when it has to poll.
func TestBellsRingElsewhere(t *testing.T) {
	for name, open := range map[string]func(testing.TB, string) *Store{"heard": func(t testing.TB, url string) *Store { return open(t, url) }, "asked": openDeaf} {
		t.Run(name, func(t *testing.T) {
			one, two := twoReplicas(t, open)
			alice, bob := register(t, one, "alice"), register(t, one, "bob")
			bell, stop := two.Watch(bob.ID)
			defer stop()
			if name == "heard" {
				soon(t, "the replicas listen", func() bool { return one.heard.Load() && two.heard.Load() })
			} else {
				two.heard.Store(false) // it has to poll for work, too
			}
			for i := range 3 {
				mustAccept(t, one, letterTo(t, alice, fmt.Sprint(name, i), bob, "a@far.example"))
				select {
				case <-bell:
				case <-time.After(patience):
					t.Fatalf("the bell is silent for %v, want a ring", patience)
				}
				if n := len(inbox(t, two, bob)); n != i+1 {
					t.Errorf("messages in the inbox at ring %d = %d, want as many", i+1, n)
				}
				select {
				case <-two.Work().C():
				case <-time.After(patience):
					t.Fatalf("the bell of the queue is silent for %v, want a ring", patience)
				}
				two.Work().Take()
			}
		})
	}
}

// A lease of one replica counts at the other. It is given back when its replica closes,
// and cannot be settled by that replica afterwards.
func TestLeasesElsewhere(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	alice := register(t, one, "alice")
	for i := range 6 {
		mustAccept(t, one, letterTo(t, alice, fmt.Sprint(i), "a@far.example"))
	}
	first := mustClaim(t, one, "far.example", 4, 4, dawn)
	if second := mustClaim(t, two, "far.example", 4, 4, dawn); len(first) != 4 || len(second) != 0 {
		t.Fatalf("leased %d and then %d, want 4 and then none more", len(first), len(second))
	}
	var done sync.WaitGroup
	leased := make([]int, 16)
	for i := range leased {
		s := []*Store{one, two}[i%2]
		done.Go(func() { leased[i] = len(mustClaim(t, s, "far.example", 3, 5, dawn)) })
	}
	done.Wait()
	all := 0
	for _, n := range leased {
		all += n
	}
	if all != 1 {
		t.Errorf("leased by 16 claims that may have 5 jobs together and have 4 = %d, want 1", all)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustClaim(t, two, "far.example", 9, 0, dawn.Add(2*time.Second))
	if len(again) < 5 {
		t.Errorf("leased after the other closed = %d, want what it had and what was left", len(again))
	}
	err := two.Settle(context.Background(), gateway.Settlement{Job: first[0].ID, Fence: first[0].Fence, Now: dawn})
	if !errors.Is(err, gateway.ErrStale) {
		t.Errorf("Settle under the fence of the closed replica = %v, want %v", err, gateway.ErrStale)
	}
}

// A pause, and its end, also apply to messages at the other replica.
func TestPausedElsewhere(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	alice, bob := register(t, one, "alice"), register(t, one, "bob")
	for i := range 3 {
		if err := one.Pause(context.Background(), dawn); err != nil {
			t.Fatal(err)
		}
		if _, err := two.Accept(context.Background(), letterTo(t, alice, "k", bob)); !errors.Is(err,
			gateway.ErrPaused) {
			t.Errorf("Accept = %v, want %v", err, gateway.ErrPaused)
		}
		if i == 0 {
			soon(t, "the other replica says that it is paused", func() bool { return two.Paused().Equal(dawn) })
		}
		if err := one.Resume(context.Background()); err != nil {
			t.Fatal(err)
		}
		mustAccept(t, two, letterTo(t, alice, fmt.Sprint(i), bob))
	}
}

// An agent that is seen at one replica only counts as active at the other.
func TestSeenElsewhere(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	alice := register(t, one, "alice")
	secret, key := gateway.NewKey(alice.ID, dawn)
	if _, err := one.AddKey(context.Background(), gateway.Acting{}, key, false); err != nil || secret == "" {
		t.Fatal(err)
	}
	later := dawn.Add(40 * 24 * time.Hour)
	if _, _, err := one.KeyOwner(t.Context(), key.Hash, later); err != nil {
		t.Fatal(err)
	}
	one.flushActivity()
	soon(t, "the other replica knows that alice was seen", func() bool {
		a, err := two.AgentNamed(t.Context(), alice.Address)
		return err == nil && a.LastActive.Equal(later)
	})
}

// Many letters are each sent to two replicas at once, as clients do that got no answer
// and send again.
func TestTheSameToBoth(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	alice, bob := register(t, one, "alice"), register(t, one, "bob")
	if err := two.catchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	const n = 300
	got := make([][2]gateway.Accepted, n)
	var done sync.WaitGroup
	for i := range n {
		for k, s := range []*Store{one, two} {
			a := letterTo(t, alice, fmt.Sprint("letter", i), bob, "a@far.example")
			if i%3 == 0 {
				a.GivenID = amtp.MessageID(fmt.Sprint("token", i))
			}
			done.Go(func() {
				var err error
				if got[i][k], err = s.Accept(context.Background(), a); err != nil {
					t.Errorf("Accept = %v, want no error", err)
				}
			})
		}
	}
	done.Wait()
	for i := range got {
		a, b := got[i][0], got[i][1]
		if a.ID != b.ID || a.Replayed == b.Replayed {
			t.Errorf("letter %d = %s (replayed %v) and %s (replayed %v), want one message, stored once", i, a.ID,
				a.Replayed, b.ID, b.Replayed)
		}
	}
	if items := inbox(t, one, bob); len(items) != n {
		t.Errorf("messages in the inbox = %d, want %d", len(items), n)
	}
}

// A replica that stops in the middle of a transaction blocks the others only for a few
// seconds, and its later commit is refused.
func TestStoppedInTransaction(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	alice := register(t, one, "alice")
	holds, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := one.UpdateAgent(context.Background(), gateway.Acting{}, alice.ID, func(a *gateway.Agent) error {
			close(holds)
			<-goOn
			a.Description = "asleep"
			return nil
		})
		ended <- err
	}()
	<-holds
	bob := register(t, two, "bob")
	close(goOn)
	if err := <-ended; !errors.Is(err, gateway.ErrAway) {
		t.Errorf("UpdateAgent of the replica that slept = %v, want %v", err, gateway.ErrAway)
	}
	if got, err := one.AgentNamed(t.Context(), bob.Address); err != nil || got.ID != bob.ID {
		t.Errorf("AgentNamed = %v, %v, want bob, whom the other registered meanwhile", got, err)
	}
	if got, err := one.AgentNamed(t.Context(), alice.Address); err != nil || got.Description != "" {
		t.Errorf("description of alice = %q, %v, want none", got.Description, err)
	}
}
