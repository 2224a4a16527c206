package sqlite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// faultCalls is the last call that fails; the tests let each call from the first to
// this one fail.
const faultCalls = 200

// faultChains is the number of chains among which the failing calls are divided. A
// chain is a database that is used again after each fault.
const faultChains = 8

// tiny makes a checkpoint happen in most batches, so that its calls fail as well.
var tiny = Options{walSoft: 16 << 10, walHard: 64 << 10, Reserve: 64 << 10}

// failing are the calls that fail.
const failing = faultfs.Write | faultfs.Sync | faultfs.Truncate

// TestIOErrors lets the N-th write, sync or truncation fail with EIO, for N from 1 to
// 200. The store stops at once and for good. Everything confirmed is found when it is
// opened again, whatever unsynced data was lost. Only a journal that cannot be
// truncated does not stop the store: it stays long, and nothing is lost.
func TestIOErrors(t *testing.T) {
	slow.Test(t, "it has every call to the disk fail")
	t.Parallel()
	chains(t, func(t *testing.T, l *ledger, dir *string, n int, chance *rand.Rand) {
		d := faultfs.New(t)
		s := mustOpenOn(t, d, *dir, tiny)
		alice, bob := cast(t, s)
		l.check(t, s) // after the previous fault
		d.Fail(faultfs.Fault{Ops: failing, N: n, Err: syscall.EIO})
		var err error
		for i := 0; err == nil && d.Hits() == 0; i++ {
			if i == 1000 {
				t.Fatalf("call %d did not come", n)
			}
			err = l.step(s, alice, bob, chance, fmt.Sprintf("letter-%d-%d", n, i))
		}
		if err != nil && !errors.Is(err, gateway.ErrClosed) {
			t.Errorf("the write that met the error = %v, want the error %q", err, gateway.ErrClosed)
		}
		if d.Failed(faultfs.Truncate, FileName+"-wal") { // the journal stays long; there is no other effect
			if err != nil {
				t.Errorf("the write after which the journal is truncated = %v, want no error", err)
			}
			*dir = remains(t, d, s, chance)
			return
		}
		select {
		case <-s.Failed():
		case <-time.After(5 * time.Minute):
			t.Fatal("Failed is open after an I/O error, want it closed")
		}
		for i := range 3 {
			if err := l.post(s, alice, bob, fmt.Sprintf("late-%d-%d", n, i)); !errors.Is(err, gateway.ErrClosed) {
				t.Errorf("Accept after the I/O error = %v, want the error %q", err, gateway.ErrClosed)
			}
		}
		*dir = remains(t, d, s, chance)
	})
}

// TestFullDiskAtEveryCall lets the N-th call fail because the disk is full, for N from
// 1 to 200. For every other N, all later calls fail too, for a while. The store answers
// busy and stays up. It has stored nothing that it refused, and continues when there is
// room.
func TestFullDiskAtEveryCall(t *testing.T) {
	slow.Test(t, "it fills the disk at every call")
	t.Parallel()
	chains(t, func(t *testing.T, l *ledger, dir *string, n int, chance *rand.Rand) {
		d, clock := faultfs.New(t), new(clock)
		o := tiny
		o.now, o.free = clock.now, plenty
		s := mustOpenOn(t, d, *dir, o)
		alice, bob := cast(t, s)
		l.check(t, s) // after the previous fault
		lasting := n%2 == 0
		d.Fail(faultfs.Fault{Ops: failing, N: n, Err: syscall.ENOSPC, Lasting: lasting})
		for i := 0; d.Hits() == 0 || i%5 != 0; i++ {
			if i == 1000 {
				t.Fatalf("call %d did not come", n)
			}
			err := l.step(s, alice, bob, chance, fmt.Sprintf("letter-%d-%d", n, i))
			if errors.Is(err, gateway.ErrClosed) && syncOfCheckpoint(d) {
				*dir = remains(t, d, s, chance) // a sync is not retried, whatever its error is
				return
			}
			if err != nil && !errors.Is(err, gateway.ErrBusy) {
				t.Errorf("a write on a full disk = %v, want the error %q or none", err, gateway.ErrBusy)
			}
		}
		select {
		case <-s.Failed():
			if !syncOfCheckpoint(d) {
				t.Fatal("Failed is closed because the disk was full, want it open")
			}
			*dir = remains(t, d, s, chance)
			return
		default:
		}
		if lasting || chance.IntN(2) == 0 {
			d.Heal()
			// Another connection's failed sync may become visible only now.
			err := gateway.ErrBusy
			for i := 0; i < 3 && errors.Is(err, gateway.ErrBusy); i++ {
				clock.later(lookEvery)
				err = l.post(s, alice, bob, fmt.Sprintf("later-%d", n))
			}
			if err != nil && !syncOfCheckpoint(d) {
				t.Errorf("Accept when there is room again = %v, want no error", err)
			}
		}
		*dir = remains(t, d, s, chance)
	})
}

// syncOfCheckpoint reports whether the failed call was a sync of the database file,
// which cannot be retried.
func syncOfCheckpoint(d *faultfs.Disk) bool { return d.Failed(faultfs.Sync, FileName) }

// chains runs a test for each N, several chains at once.
func chains(t *testing.T, test func(t *testing.T, l *ledger, dir *string, n int, chance *rand.Rand)) {
	seed := seeded(t)
	for chain := range faultChains {
		t.Run(fmt.Sprintf("chain %d", chain), func(t *testing.T) {
			t.Parallel()
			chance := rand.New(rand.NewPCG(seed, uint64(chain)))
			l, dir := newLedger(), scratch(t)
			for n := 1 + chain; n <= faultCalls; n += faultChains {
				if test(t, l, &dir, n, chance); t.Failed() {
					t.Fatalf("with call %d failing", n)
				}
			}
			l.check(t, mustOpenOn(t, faultfs.New(t), dir, tiny))
			t.Logf("%d messages accepted, %d acknowledged", len(l.some(accepted)),
				len(l.some(func(e *letter) bool { return e.acked })))
		})
	}
}

// remains ends a store and returns a directory with its restored files.
func remains(t *testing.T, d *faultfs.Disk, s *Store, chance *rand.Rand) string {
	t.Helper()
	dir, loss := scratch(t), faultfs.Loss(chance.IntN(int(faultfs.Losses)))
	if chance.IntN(2) == 0 {
		s.Close() // as far as it can; the store has reported its failures
	}
	if err := d.Restore(dir, loss, chance); err != nil {
		t.Fatal(err)
	}
	s.Close() // the disk is gone, so an error is expected
	return dir
}

// clock is a clock that the test moves.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time        { return dawn.Add(time.Duration(c.past.Load())) }
func (c *clock) later(d time.Duration) { c.past.Add(int64(d)) }

func plenty(string) (int64, bool) { return 1 << 40, true }

// smallDisk is a disk with a capacity, which the files of dir use, except the index of
// the WAL.
type smallDisk struct {
	dir      string
	capacity atomic.Int64
	asked    atomic.Int64 // how often the store checked for room
}

func (d *smallDisk) room() int64 {
	left := d.capacity.Load()
	entries, _ := os.ReadDir(d.dir) // the test's own directory
	for _, e := range entries {
		if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) != ".db-shm" {
			left -= info.Size()
		}
	}
	return left
}

func (d *smallDisk) free(string) (int64, bool) {
	d.asked.Add(1)
	return d.room(), true
}

// TestFullDisk fills a small disk with messages. New messages are refused. All stored
// messages can be acknowledged, thanks to the reserve. The store checks for room at
// most once a second. When there is room, messages are accepted again, and the reserve
// exists again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk, clock, d := &smallDisk{dir: scratch(t)}, new(clock), faultfs.New(t)
	const reserve = 2 << 20
	disk.capacity.Store(8 << 20)
	d.Limit(disk.room)
	o := Options{Reserve: reserve, now: clock.now, free: disk.free, walSoft: 1 << 20, walHard: 2 << 20}
	s := mustOpenOn(t, d, disk.dir, o)
	alice, bob := cast(t, s)
	l := newLedger()
	there := func() bool {
		info, err := os.Stat(filepath.Join(disk.dir, ReserveName))
		return err == nil && info.Size() == reserve
	}
	if !there() {
		t.Fatal("there is no reserve on a disk with room")
	}
	var err error
	for i := 0; err == nil; i++ {
		err = l.post(s, alice, bob, fmt.Sprintf("letter-%d", i))
	}
	if !errors.Is(err, gateway.ErrBusy) {
		t.Fatalf("Accept on a full disk = %v, want the error %q", err, gateway.ErrBusy)
	}
	if there() {
		t.Error("the reserve is kept although the disk is full")
	}
	asked := disk.asked.Load()
	for i := range 500 {
		clock.later(10 * time.Millisecond)
		if err := l.post(s, alice, bob, fmt.Sprintf("late-%d", i)); !errors.Is(err, gateway.ErrBusy) {
			t.Fatalf("Accept %d after the disk was full = %v, want the error %q", i, err, gateway.ErrBusy)
		}
	}
	if n := disk.asked.Load() - asked; n > 5 {
		t.Errorf("room was looked for %d times in 5 s, want at most 5", n)
	}
	if _, err := addAgent(s, "carol"); !errors.Is(err, gateway.ErrBusy) {
		t.Errorf("AddAgent on a full disk = %v, want the error %q", err, gateway.ErrBusy)
	}
	names := l.some(accepted)
	for _, name := range names {
		if err := l.ack(s, bob, name); err != nil {
			t.Fatalf("Ack on a full disk = %v, want no error; %d messages", err, len(names))
		}
	}
	t.Logf("%d messages until the disk was full, all acknowledged", len(names))
	l.check(t, s)
	disk.capacity.Add(8 << 20)
	clock.later(lookEvery)
	if err := l.post(s, alice, bob, "after"); err != nil {
		t.Errorf("Accept when there is room again = %v, want no error", err)
	}
	if !there() {
		t.Error("the reserve was not made again")
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	again := mustOpenOn(t, faultfs.New(t), disk.dir, o)
	l.check(t, again)
}

// TestNoRoomForTheReserve opens a store on a disk that is full already: it opens,
// refuses messages, and accepts acknowledgements.
func TestNoRoomForTheReserve(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(), scratch(t)
	s := mustOpenOn(t, faultfs.New(t), dir, Options{Reserve: 1 << 20})
	alice, bob := cast(t, s)
	if err := l.post(s, alice, bob, "early"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), os.Remove(filepath.Join(dir, ReserveName))); err != nil {
		t.Fatal(err)
	}
	var left atomic.Int64
	clock := new(clock)
	s = mustOpenOn(t, faultfs.New(t), dir, Options{
		Reserve: 1 << 20, now: clock.now, free: func(string) (int64, bool) { return left.Load(), true },
	})
	if err := l.post(s, alice, bob, "late"); !errors.Is(err, gateway.ErrBusy) {
		t.Errorf("Accept without room = %v, want the error %q", err, gateway.ErrBusy)
	}
	if err := s.Probe(t.Context(), dawn); !errors.Is(err, gateway.ErrFull) {
		t.Errorf("Probe without room = %v, want the error %q", err, gateway.ErrFull)
	}
	if err := l.ack(s, bob, "early"); err != nil {
		t.Errorf("Ack without room = %v, want no error", err)
	}
	left.Store(2<<20 - 1)
	clock.later(lookEvery)
	if err := l.post(s, alice, bob, "late"); !errors.Is(err, gateway.ErrBusy) {
		t.Errorf("Accept with room for less than the reserve and its margin = %v, want the error %q", err,
			gateway.ErrBusy)
	}
	left.Store(2 << 20)
	clock.later(lookEvery)
	if err := l.post(s, alice, bob, "late"); err != nil {
		t.Errorf("Accept with room = %v, want no error", err)
	}
	if err := s.Probe(t.Context(), dawn); err != nil {
		t.Errorf("Probe with room = %v, want no error", err)
	}
	if err := os.Remove(filepath.Join(dir, ReserveName)); err != nil {
		t.Fatal(err)
	}
	clock.later(lookEvery)
	if err := l.post(s, alice, bob, "later"); err != nil {
		t.Errorf("Accept after the reserve was deleted = %v, want no error", err)
	}
	if info, err := os.Stat(filepath.Join(dir, ReserveName)); err != nil || info.Size() < 1<<20 {
		t.Errorf("the reserve after it was deleted: %v, %v; want it created again", info, err)
	}
	l.check(t, s)
}

// TestReserveWhereFreeSpaceIsUnknown creates the reserve as on systems that cannot
// report free space, and by writing it, as on systems that cannot allocate.
func TestReserveWhereFreeSpaceIsUnknown(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	r, err := openReserve(Options{Dir: dir, Reserve: 3<<20 + 5, free: func(string) (int64, bool) { return 0, false }})
	if err != nil || r.short {
		t.Fatalf("openReserve = short %v, %v; want one that is there", r.short, err)
	}
	r.release()
	f, err := os.Create(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fill(f, r.size), f.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(r.path); err != nil || info.Size() != r.size {
		t.Errorf("the reserve that was written: %v, %v; want %d bytes", info, err, r.size)
	}
}
