package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// crash is a store that ends at a given point, in one of several ways.
type crash struct {
	*testing.T
	disk       *faultfs.Disk
	store      *Store
	alice, bob gateway.Agent
	ledger     *ledger
	chance     *rand.Rand
	loss       faultfs.Loss
}

// atEachLoss runs a test once for every way in which unsynced data may be lost.
func atEachLoss(t *testing.T, point string, test func(c *crash)) {
	t.Helper()
	seed := seeded(t)
	for loss := range faultfs.Losses {
		t.Run(point+", "+loss.String(), func(t *testing.T) {
			c := &crash{T: t, disk: faultfs.New(t), ledger: newLedger(),
				chance: rand.New(rand.NewPCG(seed, 0)), loss: loss}
			c.store = mustOpenOn(t, c.disk, fresh(t, scratch(t)), small)
			c.alice, c.bob = cast(t, c.store)
			test(c)
		})
	}
}

// restart ends the store at this point and opens the restored files.
func (c *crash) restart() {
	c.Helper()
	dir := scratch(c.T)
	if err := c.disk.Restore(dir, c.loss, c.chance); err != nil {
		c.Fatal(err)
	}
	c.store.Close() // the store is on a lost disk; its error is expected
	c.disk = faultfs.New(c.T)
	c.store = mustOpenOn(c.T, c.disk, dir, small)
	c.ledger.check(c.T, c.store)
}

// inbox returns the number of messages in bob's inbox.
func (c *crash) inbox() int {
	c.Helper()
	page, err := c.store.Inbox(context.Background(), gateway.Acting{Agent: c.bob.ID}, gateway.InboxFilter{})
	if err != nil {
		c.Fatalf("inbox: %v", err)
	}
	return len(page.Items)
}

// retry sends the message again. replayed is whether it must be recognised.
func (c *crash) retry(name string, replayed bool) {
	c.Helper()
	got, err := c.store.Accept(context.Background(), note(c.alice, c.bob, name))
	if err != nil || got.Replayed != replayed {
		c.Errorf("the retry = replayed %v, %v; want replayed %v, no error", got.Replayed, err, replayed)
	}
}

// TestCP03 ends the process in the transaction, before its commit is written: nothing
// is stored, and the retry is a new message.
func TestCP03(t *testing.T) {
	t.Parallel()
	atEachLoss(t, "before the commit", func(c *crash) {
		c.disk.Fail(faultfs.Fault{Ops: faultfs.Write, File: "-wal", N: 1, Cut: true})
		if err := c.ledger.post(c.store, c.alice, c.bob, "letter"); !errors.Is(err, gateway.ErrClosed) {
			c.Fatalf("Accept = %v, want the error %q", err, gateway.ErrClosed)
		}
		c.restart()
		if n := c.inbox(); n != 0 {
			c.Errorf("%d messages in the inbox, want none", n)
		}
		c.retry("letter", false)
	})
	atEachLoss(t, "commit written and not synced", func(c *crash) {
		c.disk.Fail(faultfs.Fault{Ops: faultfs.Sync, File: "-wal", N: 1, Cut: true})
		if err := c.ledger.post(c.store, c.alice, c.bob, "letter"); !errors.Is(err, gateway.ErrClosed) {
			c.Fatalf("Accept = %v, want the error %q", err, gateway.ErrClosed)
		}
		c.restart()
		c.retry("letter", c.inbox() == 1) // in both cases it is stored once
		if n := c.inbox(); n != 1 {
			c.Errorf("%d messages in the inbox after the retry, want 1", n)
		}
	})
}

// TestCP04 ends it after the commit and before the answer (CP04), in the answer (CP05),
// and after it but before a reader is woken (CP07). The message is stored once, and a
// retry is recognised.
func TestCP04(t *testing.T) {
	t.Parallel()
	atEachLoss(t, "after the commit", func(c *crash) {
		if err := c.ledger.post(c.store, c.alice, c.bob, "letter"); err != nil {
			c.Fatal(err)
		}
		c.restart()
		c.retry("letter", true)
		if n := c.inbox(); n != 1 {
			c.Errorf("%d messages in the inbox, want 1", n)
		}
	})
}

// TestCP06 ends it while a batch of 20 is committed: all of the batch is stored, or
// none of it.
func TestCP06(t *testing.T) {
	t.Parallel()
	const batch = 20
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.Sync} {
		atEachLoss(t, fmt.Sprintf("in a batch, before call %d", op), func(c *crash) {
			running, release := make(chan struct{}), make(chan struct{})
			go c.store.write(context.Background(), 0, func(*writer) error { // keeps the writer busy
				close(running)
				<-release
				return nil
			})
			<-running
			gone, cancel := context.WithCancel(context.Background())
			cancel() // no caller waits for these
			for i := range batch {
				name := fmt.Sprintf("letter-%d", i)
				a := note(c.alice, c.bob, name)
				c.ledger.letters[name] = &letter{body: string(a.Message.Raw())}
				if _, err := c.store.Accept(gone, a); !errors.Is(err, context.Canceled) {
					c.Fatalf("Accept = %v, want the error of a caller that has left", err)
				}
			}
			c.disk.Fail(faultfs.Fault{Ops: op, File: "-wal", N: 1, Cut: true})
			close(release)
			<-c.store.Failed()
			c.restart()
			if n := c.inbox(); n != 0 && n != batch {
				c.Errorf("%d messages in the inbox, want none or all %d", n, batch)
			}
		})
	}
}

// TestCP18 ends it after the commit of an acknowledgement. A second one gets the same
// answer, and the sender's retry (CP19) does not bring the message back.
func TestCP18(t *testing.T) {
	t.Parallel()
	atEachLoss(t, "after an acknowledgement", func(c *crash) {
		err := errors.Join(c.ledger.post(c.store, c.alice, c.bob, "letter"), c.ledger.ack(c.store, c.bob, "letter"))
		if err != nil {
			c.Fatal(err)
		}
		c.restart()
		mark, err := c.store.Ack(context.Background(), gateway.Acting{Agent: c.bob.ID},
			c.ledger.letters["letter"].id, dawn.AddDate(0, 0, 1))
		if err != nil || !mark.At.Equal(dawn) {
			c.Errorf("the second Ack = %v, %v; want %v, no error", mark.At, err, dawn)
		}
		c.retry("letter", true)
		if n := c.inbox(); n != 0 {
			c.Errorf("%d messages in the inbox after the sender's retry, want none", n)
		}
	})
}

// TestCP26 cuts the power at every call that creates a database in an empty directory.
// The next start completes it.
func TestCP26(t *testing.T) {
	slow.Test(t, "it loses the power at every write of a run")
	t.Parallel()
	seed := seeded(t)
	d := faultfs.New(t)
	mustOpenOn(t, d, scratch(t), small)
	calls := d.Calls()
	if calls < 8 {
		t.Errorf("there were %d calls, too few to be a migration", calls)
	}
	for n := range calls {
		t.Run(fmt.Sprintf("call %d of %d", n+1, calls), func(t *testing.T) {
			t.Parallel()
			cutMigration(t, n+1, rand.New(rand.NewPCG(seed, uint64(n))))
		})
	}
}

// cutMigration opens an empty directory, with the power cut at call n, and then opens
// the restored files.
func cutMigration(t *testing.T, n int, chance *rand.Rand) {
	t.Helper()
	dir, left := scratch(t), scratch(t)
	d := faultfs.New(t)
	d.Fail(faultfs.Fault{Ops: faultfs.Any, N: n, Cut: true})
	s, err := openOn(t, d, dir, small)
	if !d.Off() {
		t.Fatalf("open made fewer than %d calls: %v", n, err)
	}
	if err := d.Restore(left, faultfs.Loss(n%int(faultfs.Losses)), chance); err != nil {
		t.Fatal(err)
	}
	if s != nil {
		s.Close()
	}
	again, err := openOn(t, faultfs.New(t), left, small)
	if err != nil {
		t.Fatalf("open after the power was cut at call %d = %v, want no error", n, err)
	}
	defer again.Close()
	alice, bob := cast(t, again)
	l := newLedger()
	if err := l.post(again, alice, bob, "letter"); err != nil {
		t.Errorf("Accept after the power was cut at call %d = %v, want no error", n, err)
	}
	l.check(t, again)
}

// TestNewerSchemaIsRefused opens a database that a newer release wrote.
func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	s := mustOpenOn(t, faultfs.New(t), dir, small)
	err := s.write(t.Context(), 0, func(w *writer) error {
		_, err := w.exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := openOn(t, faultfs.New(t), dir, small); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("open = %v, want an error that tells of a newer release", err)
	}
}

// TestEarlierBuildIsRefused opens a database that has the number of this schema and lacks
// one of its columns.
func TestEarlierBuildIsRefused(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	s := mustOpenOn(t, faultfs.New(t), dir, small)
	err := s.write(t.Context(), 0, func(w *writer) error {
		_, err := w.exec(`ALTER TABLE job DROP COLUMN payload`)
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = openOn(t, faultfs.New(t), dir, small)
	if err == nil || !strings.Contains(err.Error(), "no column payload in its table job") {
		t.Errorf("open = %v, want an error that names the column", err)
	}
}

// TestCP27 cuts the power at each of the first 24 calls that change the database file.
// These calls belong to checkpoints.
func TestCP27(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	for n := range 24 {
		c := &crash{T: t, disk: faultfs.New(t), ledger: newLedger(), chance: rand.New(rand.NewPCG(seed, uint64(n))),
			loss: faultfs.Loss(n) % faultfs.Losses}
		c.store = mustOpenOn(t, c.disk, fresh(t, scratch(t)), tiny)
		c.alice, c.bob = cast(t, c.store)
		c.disk.Fail(faultfs.Fault{Ops: faultfs.Any, File: FileName, N: n + 1, Cut: true})
		for i := 0; !c.disk.Off(); i++ {
			if i == 1000 {
				t.Fatalf("call %d did not come", n+1)
			}
			if c.ledger.step(c.store, c.alice, c.bob, c.chance, fmt.Sprintf("letter-%d", i)) != nil {
				break
			}
		}
		if c.restart(); t.Failed() {
			t.Fatalf("after a cut at call %d of a checkpoint, %s", n+1, c.loss)
		}
	}
}

// TestCP30 cuts the power at each call of Close.
func TestCP30(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	calls := 0
	for cut := true; cut; calls++ {
		c := &crash{T: t, disk: faultfs.New(t), ledger: newLedger(), chance: rand.New(rand.NewPCG(seed, uint64(calls))),
			loss: faultfs.Loss(calls) % faultfs.Losses}
		c.store = mustOpenOn(t, c.disk, fresh(t, scratch(t)), small)
		c.alice, c.bob = cast(t, c.store)
		for i := range 5 {
			if err := c.ledger.step(c.store, c.alice, c.bob, c.chance, fmt.Sprintf("letter-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		c.disk.Fail(faultfs.Fault{Ops: faultfs.Any, N: calls + 1, Cut: true})
		if err := c.store.Close(); err != nil && !c.disk.Off() {
			t.Errorf("close: %v", err)
		}
		cut = c.disk.Off()
		if c.restart(); t.Failed() {
			t.Fatalf("after a cut at call %d of Close, %s", calls+1, c.loss)
		}
	}
	if calls < 2 { // how many calls Close makes depends on the earlier writes
		t.Errorf("Close made %d calls, and the power was never cut", calls)
	}
	t.Logf("the power was cut at each of %d calls", calls)
}
