package sqlite

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// withAlice opens a store with one agent.
func withAlice(t *testing.T) (*Store, gateway.Agent) {
	t.Helper()
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	alice, err := addAgent(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	return s, alice
}

// packedNow returns the number of prefetched parcels.
func packedNow(s *Store) int {
	s.writer.prefetched.mu.Lock()
	defer s.writer.prefetched.mu.Unlock()
	return len(s.writer.prefetched.parcels)
}

// TestPackedParcel: a prefetched parcel equals the one that a reader reads.
func TestPackedParcel(t *testing.T) {
	s, alice := withAlice(t)
	mustMail(t, s, alice, "letter", "x@far.example", "y@far.example")
	j := mustClaim(t, s, "far.example", 1, time.Now())[0]
	if n := packedNow(s); n != 1 {
		t.Fatalf("%d parcels are packed, want that of the claim", n)
	}
	packed, err := s.Parcel(context.Background(), j.ID, j.Fence)
	if err != nil {
		t.Fatalf("Parcel: %v", err)
	}
	if n := packedNow(s); n != 0 {
		t.Errorf("%d parcels are packed after it was taken, want none", n)
	}
	read, err := s.Parcel(context.Background(), j.ID, j.Fence)
	if err != nil || !reflect.DeepEqual(packed, read) {
		t.Errorf("Parcel = %+v as it was packed and %+v, %v, as it is read; want the same", packed, read, err)
	}
}

// TestPackedParcelsAreDropped: a change drops the prefetched parcels that it may make
// wrong. Changes of a mailbox and new messages drop none.
func TestPackedParcelsAreDropped(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*testing.T, *Store, gateway.Agent, gateway.Job)
		want int
	}{
		{"another message", func(t *testing.T, s *Store, alice gateway.Agent, _ gateway.Job) {
			mustMail(t, s, alice, "other", "x@far.example")
		}, 1},
		{"a retry", func(t *testing.T, s *Store, alice gateway.Agent, _ gateway.Job) {
			mustMail(t, s, alice, "letter", "x@far.example")
		}, 1},
		{"a retry with one more recipient", func(t *testing.T, s *Store, alice gateway.Agent, _ gateway.Job) {
			mustMail(t, s, alice, "letter", "x@far.example", "y@far.example")
		}, 0},
		{"the end of its attempt", func(t *testing.T, s *Store, _ gateway.Agent, j gateway.Job) {
			e := gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: time.Now(), Due: time.Now().Add(time.Hour)}
			if err := s.Settle(context.Background(), e); err != nil {
				t.Fatalf("Settle: %v", err)
			}
			if _, err := s.Parcel(context.Background(), j.ID, j.Fence); !errors.Is(err, gateway.ErrStale) {
				t.Errorf("Parcel of an attempt that ended = %v, want ErrStale", err)
			}
		}, 0},
		{"an agent", func(t *testing.T, s *Store, _ gateway.Agent, _ gateway.Job) {
			if _, err := addAgent(s, "bob"); err != nil {
				t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, alice := withAlice(t)
			mustMail(t, s, alice, "letter", "x@far.example")
			j := mustClaim(t, s, "far.example", 1, time.Now())[0]
			c.do(t, s, alice, j)
			if n := packedNow(s); n != c.want {
				t.Errorf("%d parcels are packed, want %d", n, c.want)
			}
		})
	}
}

// TestPackedParcelsAreFew: a large message is read only when it is needed, and parcels
// that are not taken make room.
func TestPackedParcelsAreFew(t *testing.T) {
	s, alice := withAlice(t)
	a := far(alice, "large", "x@far.example")
	m, refused := amtp.ParseMessage([]byte(strings.Replace(string(a.Message.Raw()), "{",
		`{"x":"`+strings.Repeat("x", maxPrefetchedSize)+`",`, 1)))
	if refused != nil {
		t.Fatal(refused)
	}
	a.Message = m
	if _, err := s.Accept(context.Background(), a); err != nil {
		t.Fatalf("Accept: %v", err)
	}
	j := mustClaim(t, s, "far.example", 1, time.Now())[0]
	if n := packedNow(s); n != 0 {
		t.Errorf("%d large parcels are packed, want none", n)
	}
	if p, err := s.Parcel(context.Background(), j.ID, j.Fence); err != nil || len(p.Body) != len(m.Raw()) {
		t.Errorf("Parcel = %d bytes, %v, want the %d of the message", len(p.Body), err, len(m.Raw()))
	}
	var p prefetched
	for n := range maxPrefetched + 1 {
		p.put([]gateway.Parcel{{Job: gateway.Job{ID: gateway.JobID(n)}}})
	}
	if len(p.parcels) != 1 {
		t.Errorf("%d parcels are prefetched after %d were not taken, want the last", len(p.parcels), maxPrefetched+1)
	}
}
