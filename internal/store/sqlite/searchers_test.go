package sqlite

import (
	"context"
	"errors"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// TestSearchOfOneAgentDelaysNoOther: while a search of an agent runs, another agent
// searches, others list their messages, and a second search of the same agent waits for the
// first, as long as its caller does.
func TestSearchOfOneAgentDelaysNoOther(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := cast(t, s)
	n := posted(t, s, alice, bob, "first", 3)
	takenUp(t, s)
	release, err := s.searches.Take(t.Context(), int64(alice.ID))
	if err != nil {
		t.Fatal(err)
	}
	err = s.search.find(t.Context(), func(*statements, searchPlace) error {
		findsAll(t, s, bob, n)
		for _, reader := range []gateway.AgentID{alice.ID, bob.ID} {
			page, err := s.Messages(t.Context(), gateway.Reader{Agent: reader}, gateway.MessageFilter{Limit: 5})
			if err != nil || len(page.Messages) != n {
				t.Errorf("Messages while a search runs: %d, %v; want %d", len(page.Messages), err, n)
			}
		}
		impatient, leave := context.WithCancel(t.Context())
		leave()
		f := gateway.SearchFilter{Query: gateway.Query{{Words: []string{"letter"}}}, Limit: 10}
		if _, err := s.Search(impatient, gateway.Acting{Agent: alice.ID}, f); !errors.Is(err, context.Canceled) {
			t.Errorf("a second search of the agent: %v, want that its caller left", err)
		}
		return nil
	})
	if release(); err != nil {
		t.Fatal(err)
	}
	findsAll(t, s, alice, n)
}

// TestSearchersAreBounded: as many searches run at once as there are connections. A caller
// waits for one no longer than its context says.
func TestSearchersAreBounded(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := cast(t, s)
	n := posted(t, s, alice, bob, "first", 3)
	takenUp(t, s)
	var nest func(free int) error
	nest = func(free int) error {
		if free > 0 {
			return s.search.find(t.Context(), func(c *statements, _ searchPlace) error {
				if c == nil {
					t.Error("a search has no connection")
				}
				return nest(free - 1)
			})
		}
		impatient, leave := context.WithCancelCause(t.Context())
		leave(errTired)
		err := s.search.find(impatient, func(*statements, searchPlace) error { return nil })
		if !errors.Is(err, errTired) {
			t.Errorf("a search without a connection: %v, want %v", err, errTired)
		}
		return nil
	}
	if err := nest(searchers); err != nil {
		t.Fatal(err)
	}
	findsAll(t, s, bob, n)
}

var errTired = errors.New("the caller waits no longer")

// TestSearchHoldsNoSnapshot: the first look at the index, which is the long one, holds no
// connection on which inboxes are read.
func TestSearchHoldsNoSnapshot(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := cast(t, s)
	n := posted(t, s, alice, bob, "first", 3)
	takenUp(t, s)
	resume := s.quiesce()
	f := gateway.SearchFilter{Query: gateway.Query{{Words: []string{"letter"}}}, Limit: 10}
	err = s.search.find(t.Context(), func(c *statements, _ searchPlace) error {
		p := proposals{index: s.search, conn: c, expression: matching(bob.ID, &f)}
		if err := p.prepare(&f); err != nil || len(p.rows) != n {
			t.Errorf("proposals while no read may run: %d, %v; want %d", len(p.rows), err, n)
		}
		resume()
		return s.read(t.Context(), func(r *reader) error {
			lookup := store.Lookup{Index: func(before int64, limit int) ([]int64, error) {
				rows, err := p.during(r)(before, limit)
				if err == nil && (len(rows) == 0 || &rows[0] != &p.rows[0]) {
					t.Error("the page looks at the index a second time")
				}
				return rows, err
			}, Match: func(rows []int64) ([]bool, error) {
				return r.found(gateway.Acting{Agent: bob.ID}, &f, rows)
			}, Sizes: r.bodySizes, Bounds: s.bounds}
			rows, _, err := lookup.Page(&f)
			if len(rows) != n {
				t.Errorf("the page has %d messages, want %d", len(rows), n)
			}
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSlowSearch: a search that reads for too long is refused as one that asks for too much,
// not as a fault of the gateway, and the next one works.
func TestSlowSearch(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := cast(t, s)
	n := posted(t, s, alice, bob, "first", 3)
	takenUp(t, s)
	s.searchTime = 1
	f := gateway.SearchFilter{Query: gateway.Query{{Words: []string{"letter"}}}, Limit: 10}
	if _, err := s.Search(t.Context(), gateway.Acting{Agent: bob.ID}, f); !errors.Is(err, gateway.ErrSlow) {
		t.Errorf("a search without time: %v, want %v", err, gateway.ErrSlow)
	}
	s.searchTime = gateway.SearchTime
	findsAll(t, s, bob, n)
}
