package sqlite

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// TestPowerCuts cuts the power 50 times while messages, acknowledgements and read marks
// come in and others are carried elsewhere, fail and are tried again, ten disks five
// times each, and opens the store again with what was left. Whatever was confirmed is
// there, once, and nothing else.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	const disks, cuts = 10, 5
	seed := seeded(t)
	var sum struct{ accepted, acked, delivered, failed, during atomic.Int64 }
	t.Run("all", func(t *testing.T) {
		for i := range disks {
			t.Run(fmt.Sprintf("disk %d", i), func(t *testing.T) {
				t.Parallel()
				chance := rand.New(rand.NewPCG(seed, uint64(i)))
				l, dir := newLedger(), scratch(t)
				for cut := range cuts {
					sum.during.Add(int64(l.cutOnce(t, &dir, chance, uint64(i*cuts+cut))))
				}
				count := func(n *atomic.Int64, is func(*letter) bool) { n.Add(int64(len(l.some(is)))) }
				count(&sum.accepted, accepted)
				count(&sum.acked, func(e *letter) bool { return e.acked })
				count(&sum.delivered, func(e *letter) bool { return e.cargo.is(gateway.Delivered) })
				count(&sum.failed, func(e *letter) bool { return e.cargo.is(gateway.Failed) })
			})
		}
	})
	t.Logf("%d messages accepted, %d acknowledged, %d delivered elsewhere, %d failed, %d of %d cuts during a call",
		sum.accepted.Load(), sum.acked.Load(), sum.delivered.Load(), sum.failed.Load(), sum.during.Load(), disks*cuts)
	// Of all disks together: on one of them every cut may come early.
	if n := sum.accepted.Load(); n < 5*cuts*disks {
		t.Errorf("there was too little load to show anything: %d messages accepted", n)
	}
	if delivered, failed := sum.delivered.Load(), sum.failed.Load(); delivered+failed < 3*disks {
		t.Errorf("there was too little load on the queue to show anything: %d delivered elsewhere, %d failed",
			delivered, failed)
	}
}

// cutOnce runs a load on the store in dir, cuts the power at some call, and
// checks what is left in the directory that dir becomes. It returns 1 when the
// power went off while the load went on.
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
	s.Close() // on a disk without power; its error is no surprise
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

// TestDiskInMemory ends a store on a disk in memory in each of the ways to end, and
// opens what is left: whatever was confirmed is there.
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
			s.Close() // on a disk without power; its error is no surprise
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
