package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// TestTallies: the tallies of several gateways at the same time are all counted,
// whatever the order of the names, and each gets the sum.
func TestTallies(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	now := dawn
	const rounds, names = 8, 20
	var all sync.WaitGroup
	for at, s := range []*Store{one, two, one, two} {
		all.Go(func() {
			for r := range rounds {
				var list []gateway.Tally
				for i := range names {
					n := i
					if at%2 == 1 {
						n = names - 1 - i
					}
					list = append(list, gateway.Tally{Name: fmt.Sprintf("n%02d", n),
						Cost: [2]int64{int64(n), int64(2 * n)}})
				}
				got, err := s.Tally(context.Background(), list, now)
				if err != nil || len(got) != names {
					t.Errorf("round %d: Tally = %d values, %v", r, len(got), err)
				}
			}
		})
	}
	all.Wait()
	got, err := two.Tally(context.Background(), []gateway.Tally{{Name: "n19"}, {Name: "n03", Cost: [2]int64{1, 0}},
		{Name: "new"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	at := now.UnixMicro()
	want := []gateway.Spent{{at + 4*rounds*19, at + 4*rounds*38}, {at + 4*rounds*3 + 1, at + 4*rounds*6}, {}}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("of name %d %v is used, want %v", i, got[i], want[i])
		}
	}
}

// TestForgetSpent keeps budgets that are not completely available again.
func TestForgetSpent(t *testing.T) {
	s := openDeaf(t, database(t))
	list := []gateway.Tally{{Name: "soon", Cost: [2]int64{1000, 0}},
		{Name: "late", Cost: [2]int64{1000, time.Hour.Microseconds()}}}
	before, err := s.Tally(context.Background(), list, dawn)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetSpent(context.Background(), dawn.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	after, err := s.Tally(context.Background(), []gateway.Tally{{Name: "soon"}, {Name: "late"}}, dawn)
	if err != nil || after[0] != (gateway.Spent{}) || after[1] != before[1] {
		t.Errorf("a minute later it is %v, %v; want nothing of the first, and %v", after, err, before[1])
	}
}

// TestForgetSpentWhileItIsUsed: a Tally at the same time as ForgetSpent fails as a
// whole, or counts each name separately.
func TestForgetSpentWhileItIsUsed(t *testing.T) {
	one, two := twoReplicas(t, openDeaf)
	done := make(chan struct{})
	var forgetting sync.WaitGroup
	forgetting.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := two.ForgetSpent(context.Background(), dawn.Add(time.Hour)); err != nil {
					t.Errorf("ForgetSpent: %v", err)
				}
			}
		}
	})
	defer forgetting.Wait()
	defer close(done)
	const unit = 1000
	for range 100 {
		var list []gateway.Tally
		for i := range int64(4) {
			list = append(list, gateway.Tally{Name: fmt.Sprintf("n%d", i), Cost: [2]int64{unit + i, 0}})
		}
		got, err := one.Tally(context.Background(), list, dawn)
		if err != nil && !errors.Is(err, errForgotten) {
			t.Fatalf("Tally: %v", err)
		}
		for i, s := range got { // complete tallies of its own, and none of another name
			if used := s[0] - dawn.UnixMicro(); used <= 0 || used%(unit+int64(i)) != 0 {
				t.Fatalf("of name %d %d is used, want a multiple of %d", i, used, unit+i)
			}
		}
	}
}
