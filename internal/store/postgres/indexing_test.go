package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// takenUp takes all messages into the index that are visible, and returns how many it took
// up.
func takenUp(t *testing.T, s *Store) (n int) {
	t.Helper()
	for {
		did, err := s.IndexMail(context.Background(), 10)
		if err != nil {
			t.Fatalf("IndexMail = %v, want no error", err)
		}
		if n += did.Messages; !did.More {
			return n
		}
	}
}

// found returns how many messages an agent finds, and how many are behind.
func found(t *testing.T, s *Store, by gateway.Agent) (n, behind int) {
	t.Helper()
	f := gateway.SearchFilter{Query: gateway.Query{{Words: []string{"letter"}}}, Limit: 1000}
	page, err := s.Search(context.Background(), gateway.Acting{Agent: by.ID}, f)
	if err != nil {
		t.Fatalf("Search = %v, want no error", err)
	}
	return len(page.Messages), page.Behind
}

// Three replicas accept messages and fill the index at the same time: it has each message,
// and took it up once.
func TestIndexedOnce(t *testing.T) {
	url := database(t)
	stores := []*Store{open(t, url), open(t, url), open(t, url)}
	alice, bob := register(t, stores[0], "alice"), register(t, stores[0], "bob")
	const n = 150
	var accepting, filling sync.WaitGroup
	var done atomic.Bool
	var taken atomic.Int64
	for i, s := range stores {
		accepting.Go(func() {
			for k := range n / len(stores) {
				if _, err := s.Accept(context.Background(), letterTo(t, alice, fmt.Sprintf("letter-%d-%d", i, k), bob,
					"a@far.example")); err != nil {
					t.Errorf("Accept = %v, want no error", err)
				}
			}
		})
		filling.Go(func() {
			for !done.Load() {
				did, err := s.IndexMail(context.Background(), 7)
				if err != nil {
					t.Errorf("IndexMail = %v, want no error", err)
					return
				}
				taken.Add(int64(did.Messages))
			}
		})
	}
	accepting.Wait()
	done.Store(true)
	filling.Wait()
	if all := int(taken.Load()) + takenUp(t, stores[0]); all != n {
		t.Errorf("messages taken up = %d, want %d", all, n)
	}
	for _, who := range []gateway.Agent{alice, bob} {
		if n1, behind := found(t, stores[1], who); n1 != n || behind != 0 {
			t.Errorf("%s finds %d messages, %d behind; want %d and none", who.Address, n1, behind, n)
		}
	}
}

// A delivery that is committed after later ones is taken up all the same.
func TestIndexedLate(t *testing.T) {
	ctx := context.Background()
	s := open(t, database(t))
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	mustAccept(t, s, letterTo(t, alice, "letter-1", bob))
	late, err := s.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Release()
	if _, err := late.Exec(ctx, `BEGIN;
		CREATE TEMP TABLE m ON COMMIT DROP AS SELECT * FROM message;
		CREATE TEMP TABLE d ON COMMIT DROP AS SELECT * FROM delivery;
		UPDATE m SET id = nextval('message_id'), uuid = decode('00112233445546678899aabbccddeeff', 'hex');
		UPDATE d SET seq = nextval('delivery_seq'), message = (SELECT id FROM m);
		INSERT INTO message SELECT * FROM m;
		INSERT INTO delivery SELECT * FROM d;`); err != nil {
		t.Fatal(err)
	}
	mustAccept(t, s, letterTo(t, alice, "letter-2", bob))
	for range 4 { // the place moves as far as it may
		takenUp(t, s)
	}
	if n, behind := found(t, s, bob); n != 2 || behind != 0 {
		t.Errorf("before the commit bob finds %d messages, %d behind; want 2 and none", n, behind)
	}
	if _, err := late.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if n, behind := found(t, s, bob); n != 2 || behind != 1 {
		t.Errorf("after the commit bob finds %d messages, %d behind; want 2 and one", n, behind)
	}
	if n := takenUp(t, s); n != 1 {
		t.Errorf("messages taken up after the commit = %d, want 1", n)
	}
	if n, behind := found(t, s, bob); n != 3 || behind != 0 {
		t.Errorf("bob finds %d messages, %d behind; want 3 and none", n, behind)
	}
	// Once nothing is under way, a look reads nothing but two numbers.
	soon(t, "the index has come to the newest delivery", func() bool {
		takenUp(t, s)
		var place indexPlace
		var newest int64
		err := s.read(ctx, func(ctx context.Context, c conn) (err error) {
			if place, err = c.indexPlace(ctx, ""); err == nil {
				newest, err = c.number(ctx, newestDelivery)
			}
			return err
		})
		return err == nil && place.Done == newest
	})
}
