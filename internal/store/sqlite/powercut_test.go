package sqlite

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// TestPowerCuts cuts the power 50 times, on ten disks five times each. Before each cut,
// messages, acknowledgements and read marks arrive, and other messages are carried,
// fail and are retried. Then it opens the store again with the restored files.
// Everything confirmed is there, once, and nothing else.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	const disks, cuts, most = 10, 5, 20
	seed := seeded(t)
	for i := range disks {
		t.Run(fmt.Sprintf("disk %d", i), func(t *testing.T) {
			t.Parallel()
			chance := rand.New(rand.NewPCG(seed, uint64(i)))
			l, dir, during, cut := newLedger(), scratch(t), 0, 0
			count := func(is func(*letter) bool) int { return len(l.some(is)) }
			delivered := func() int { return count(func(e *letter) bool { return e.cargo.is(gateway.Delivered) }) }
			failed := func() int { return count(func(e *letter) bool { return e.cargo.is(gateway.Failed) }) }
			enough := func() bool { return count(accepted) >= 5*cuts && delivered()+failed() >= 3 }
			// Five cuts, and more if they came so early that there was hardly any load.
			for ; cut < cuts || cut < most && !enough(); cut++ {
				during += l.cutOnce(t, &dir, chance, uint64(i*most+cut))
			}
			if !enough() {
				t.Errorf("there was too little load to show anything: %d messages accepted, %d delivered elsewhere, %d failed",
					count(accepted), delivered(), failed())
			}
			t.Logf("%d messages accepted, %d acknowledged, %d delivered elsewhere, %d failed, %d of %d cuts during a call",
				count(accepted), count(func(e *letter) bool { return e.acked }), delivered(), failed(), during, cut)
		})
	}
}

// cutOnce runs a load on the store in dir and cuts the power at some call. Then it
// checks the restored files in a new directory, which becomes dir. It returns 1 when
// the power was cut during the load.
func (l *ledger) cutOnce(t *testing.T, dir *string, chance *rand.Rand, round uint64) (during int) {
	t.Helper()
	d := faultfs.New(t)
	s := mustOpenOn(t, d, *dir, small)
	alice, bob := cast(t, s)
	d.Fail(faultfs.Fault{Ops: faultfs.Any, N: 10 + chance.IntN(250), Cut: true})
	l.load(s, alice, bob, round, 60)
	if d.Off() {
		during = 1
	}
	*dir = scratch(t)
	loss := faultfs.Loss(round % uint64(faultfs.Losses))
	if err := d.Restore(*dir, loss, chance); err != nil {
		t.Fatal(err)
	}
	s.Close() // the disk has no power, so an error is expected
	again := mustOpenOn(t, faultfs.New(t), *dir, small)
	l.check(t, again)
	if t.Failed() {
		t.Fatalf("after cut %d, %s", round, loss)
	}
	if err := again.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return during
}

// TestDiskInMemory ends a store on a disk in memory in each of the possible ways, and
// opens the restored files: everything confirmed is there.
func TestDiskInMemory(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	empty, err := made()
	if err != nil {
		t.Fatal(err)
	}
	for loss := range faultfs.Losses {
		l, dir, files := newLedger(), scratch(t), map[string][]byte{FileName: empty}
		for round := range uint64(2) {
			d := faultfs.InMemory(t, dir, files)
			s := mustOpenOn(t, d, dir, small)
			l.check(t, s)
			alice, bob := cast(t, s)
			l.load(s, alice, bob, round, 20)
			files = d.Left(loss, rand.New(rand.NewPCG(seed, round)))
			s.Close() // the disk has no power, so an error is expected
			dir = scratch(t)
		}
		s := mustOpenOn(t, faultfs.InMemory(t, dir, files), dir, small)
		if l.check(t, s); t.Failed() {
			t.Fatalf("after %s", loss)
		}
		if n := len(l.some(accepted)); n < 50 {
			t.Errorf("there was too little load to show anything: %d messages accepted", n)
		}
	}
}
