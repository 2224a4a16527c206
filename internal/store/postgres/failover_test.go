package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// A standby that lacks the last commits takes over. Readers hold older cursors, and
// find everything that comes after the failover, because the numbers skipped ahead.
// Data that was lost with the old server is also gone from memory. This holds for a
// gateway that continues, for one that starts afterwards, and for one whose server does
// not give its name.
func TestFailover(t *testing.T) {
	server, where := ownServer(t)
	one, two := open(t, where), open(t, where)
	alice, bob := register(t, one, "alice"), register(t, one, "bob")
	mustAccept(t, one, letterTo(t, alice, "kept", bob))
	takeOver, err := server.Standby()
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the store is ready again", func() bool {
		return one.Probe(t.Context(), dawn) == nil && two.Probe(t.Context(), dawn) == nil
	})

	// Data that the standby lacks.
	ghost := register(t, one, "ghost")
	_, key := gateway.NewKey(ghost.ID, dawn)
	if _, err := one.AddKey(t.Context(), gateway.Acting{}, key, false); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		mustAccept(t, one, letterTo(t, alice, fmt.Sprint("lost", i), bob))
	}
	items := inbox(t, two, bob)
	cursor := items[len(items)-1].Seq
	if _, _, err := two.KeyOwner(t.Context(), key.Hash, dawn); err != nil {
		t.Fatalf("KeyOwner of the ghost = %v, want it", err)
	}
	if err := takeOver(); err != nil {
		t.Fatal(err)
	}
	for i, s := range []*Store{two, one} {
		var id string
		soon(t, "messages are accepted again", func() bool {
			got, err := s.Accept(context.Background(), letterTo(t, alice, fmt.Sprint("after", i), bob))
			id = string(got.ID)
			return err == nil
		})
		page, err := s.Inbox(t.Context(), gateway.Acting{Agent: bob.ID}, gateway.InboxFilter{After: cursor})
		if err != nil || len(page.Items) != 1 || string(page.Items[0].ID) != id {
			t.Fatalf("behind the cursor %d are %d messages, %v; want the one that came after the failover", cursor,
				len(page.Items), err)
		}
		cursor = page.Items[0].Seq
		soon(t, "the lost agent is forgotten", func() bool {
			_, _, err := s.KeyOwner(t.Context(), key.Hash, dawn)
			return errors.Is(err, gateway.ErrNotFound)
		})
	}
	if again := register(t, two, "ghost"); again.ID <= ghost.ID {
		t.Errorf("the id of an agent that was lost is given again: %d after %d", again.ID, ghost.ID)
	}
	if n := numbersLeapt(t, one); n != 1 {
		t.Errorf("the numbers leapt %d times, want once for all replicas", n)
	}
	soon(t, "the other replica knows the new agent", func() bool {
		_, err := one.AgentNamed(t.Context(), ghost.Address)
		return err == nil
	})
}

// numbersLeapt returns how often the inbox sequence has skipped ahead.
func numbersLeapt(t *testing.T, s *Store) int64 {
	t.Helper()
	var last int64
	if err := s.pool.QueryRow(t.Context(), `SELECT last_value FROM delivery_seq`).Scan(&last); err != nil {
		t.Fatal(err)
	}
	return last / floorStep
}

// TestServerOfBefore: the stored name of the server decides, even when no gateway was
// running. If the server does not give its name, the newest number decides.
func TestServerOfBefore(t *testing.T) {
	where := database(t)
	s := open(t, where)
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	mustAccept(t, s, letterTo(t, alice, "", bob))
	if n := numbersLeapt(t, s); n != 0 {
		t.Fatalf("at the first start the numbers leapt %d times, want none", n)
	}
	set := func(sql string, args ...any) {
		t.Helper()
		if _, err := s.pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	set(`UPDATE setting SET value = '1/00000000' WHERE name = $1`, serverSetting)
	for range 2 {
		if n := numbersLeapt(t, open(t, where)); n != 1 {
			t.Errorf("after a start on another server the numbers leapt %d times, want once", n)
		}
	}
	mustAccept(t, s, letterTo(t, alice, "", bob))
	set(`SELECT setval('delivery_seq', 1)`)
	soon(t, "the numbers are above those that were seen", func() bool { return numbersLeapt(t, s) > 0 })
}

// TestServerSaysWhichItIs: the server gives its name even to a role without any
// privileges, such as the gateway's should be.
func TestServerSaysWhichItIs(t *testing.T) {
	s := open(t, database(t))
	c, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	for _, sql := range []string{`CREATE ROLE amtp_nobody`, `SET LOCAL ROLE amtp_nobody`} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := serverOf(t.Context(), c.Conn()); err != nil || name == "" || name != *s.server.Load() {
		t.Errorf("serverOf = %q, %v; want %q", name, err, *s.server.Load())
	}
}
