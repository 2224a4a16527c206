package sqlite

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// shipped sends a letter to recipients in another domain, and returns its job, leased.
func (c *crash) shipped(to ...string) gateway.Job {
	c.Helper()
	mustMail(c, c.store, c.alice, "letter", to...)
	c.ledger = newLedger() // the ledger must not know this letter
	return mustClaim(c, c.store, "far.example", 1, dawn)[0]
}

// again opens the restored files without the ledger, and runs the consistency checks.
func (c *crash) again() {
	c.Helper()
	dir := scratch(c.T)
	if err := c.disk.Restore(dir, c.loss, c.chance); err != nil {
		c.Fatal(err)
	}
	c.store.Close() // the store is on a lost disk; its error is expected
	c.disk = faultfs.New(c.T)
	c.store = mustOpenOn(c.T, c.disk, dir, small)
	sound(c.T, c.store)
	consistent(c.T, c.store)
}

// cut ends the process in the next commit, before it is written or synced.
func (c *crash) cut(op faultfs.Op) {
	c.disk.Fail(faultfs.Fault{Ops: op, File: "-wal", N: 1, Cut: true})
}

// states returns the states of the letter's deliveries.
func (c *crash) states() string {
	c.Helper()
	page, err := c.store.Messages(context.Background(), gateway.Reader{Everyone: true}, gateway.MessageFilter{})
	if err != nil || len(page.Messages) != 1 {
		c.Fatalf("there are %d messages, %v; want the letter", len(page.Messages), err)
	}
	text := ""
	for _, d := range page.Messages[0].Deliveries {
		text += fmt.Sprint(d.State, " ")
	}
	return text
}

// eitherWay runs a test that ends the process in a commit: once before it is written,
// and once before it is synced.
func eitherWay(t *testing.T, test func(c *crash, op faultfs.Op)) {
	t.Parallel()
	for name, op := range map[string]faultfs.Op{"before the commit": faultfs.Write,
		"commit written and not synced": faultfs.Sync} {
		atEachLoss(t, name, func(c *crash) { test(c, op) })
	}
}

// TestCP07 ends the process after the 202, before the queue was woken: the job is found
// without a bell.
func TestCP07(t *testing.T) {
	t.Parallel()
	atEachLoss(t, "after the answer", func(c *crash) {
		mustMail(c, c.store, c.alice, "letter", "a@far.example")
		c.again()
		list, err := c.store.Waiting(context.Background(), "", 10)
		if err != nil || len(list) != 1 || list[0].Destination != "far.example" || !list[0].Due.Equal(dawn) {
			c.Errorf("Waiting = %+v, %v; want far.example, due at %v", list, err, dawn)
		}
	})
}

// TestCP08 ends it after a claim was committed, before anything was sent. The lease
// ends with the process, the attempt counts as failed, and the next one follows. A
// claim that was not confirmed has sent nothing.
func TestCP08(t *testing.T) {
	atEachLoss(t, "after the claim", func(c *crash) {
		j := c.shipped("a@far.example")
		c.again()
		if c.states() != "retrying " {
			c.Errorf("the delivery is %s, want it retrying", c.states())
		}
		due := dawn.Add(gateway.Backoff(j.ID, 1))
		if early := mustClaim(c, c.store, "far.example", 1, due.Add(-time.Millisecond)); len(early) != 0 {
			c.Errorf("claimed before it is due: %+v", early)
		}
		next := mustClaim(c, c.store, "far.example", 1, due)
		if len(next) != 1 || next[0].Attempts != 2 || next[0].Fence != j.Fence+1 {
			c.Fatalf("the next attempt = %+v, want the second", next)
		}
		mustSettle(c, c.store, next[0], gateway.Success, due)
	})
	eitherWay(t, func(c *crash, op faultfs.Op) {
		mustMail(c, c.store, c.alice, "letter", "a@far.example")
		c.cut(op)
		wanted := []gateway.Claiming{{Destination: "far.example", Limit: 1}}
		if _, err := c.store.Claim(context.Background(), wanted, dawn, dawn.Add(leaseTime)); !errors.Is(err,
			gateway.ErrClosed) {
			c.Fatalf("Claim = %v, want the error %q", err, gateway.ErrClosed)
		}
		c.again()
		if n := len(mustClaim(c, c.store, "far.example", 1, dawn.Add(time.Minute))); n != 1 {
			c.Errorf("%d jobs are due a minute later, want 1", n)
		}
	})
}

// TestCP11 ends it between the results for the recipients of one parcel. A recipient
// that has the message keeps it, and only the others are retried.
func TestCP11(t *testing.T) {
	atEachLoss(t, "after a part was settled", func(c *crash) {
		j := c.shipped("a@far.example", "b@far.example")
		e := settlement(c, c.store, j, gateway.Success, dawn)
		e.Results = e.Results[:1]
		if err := c.store.Settle(context.Background(), e); err != nil {
			c.Fatal(err)
		}
		c.again()
		if c.states() != "delivered retrying " {
			c.Errorf("the deliveries are %s, want the first delivered and the other retrying", c.states())
		}
		next := mustClaim(c, c.store, "far.example", 1, e.Due)[0]
		p, err := c.store.Parcel(context.Background(), next.ID, next.Fence)
		if err != nil || len(p.Recipients) != 1 || p.Recipients[0].Recipient.String() != "b@far.example" {
			c.Errorf("the next parcel is for %+v, %v; want b alone", p.Recipients, err)
		}
	})
	eitherWay(t, func(c *crash, op faultfs.Op) { // CP10: the settlement is complete, or the job is retried
		j := c.shipped("a@far.example", "b@far.example")
		e := settlement(c, c.store, j, gateway.Success, dawn)
		c.cut(op)
		if err := c.store.Settle(context.Background(), e); !errors.Is(err, gateway.ErrClosed) {
			c.Fatalf("Settle = %v, want the error %q", err, gateway.ErrClosed)
		}
		c.again()
		due := len(mustClaim(c, c.store, "far.example", 1, dawn.Add(time.Hour)))
		if text := c.states(); text != "delivering delivering " && due == 1 ||
			text != "delivered delivered " && due == 0 {
			c.Errorf("the deliveries are %s and %d jobs are due, want both waiting or both delivered", text, due)
		}
	})
}

// failedOnce reports whether the letter failed. A failed letter is one dead letter and
// has one report; any other has neither.
func (c *crash) failedOnce() bool {
	c.Helper()
	q := c.store.queue(c.T)
	dead, reports := q.dead["letter"], q.reports["letter"]
	switch text := c.states(); {
	case text == "failed " && dead == 1 && reports == 1:
		return true
	case text == "failed " || dead != 0 || reports != 0:
		c.Errorf("the delivery is %s, with %d dead letters and %d reports; want one of each, or none while it waits",
			text, dead, reports)
	}
	return false
}

// TestCP12 ends it while a failure is stored: the state, the dead letter and the report
// are all there, or none of them.
func TestCP12(t *testing.T) {
	eitherWay(t, func(c *crash, op faultfs.Op) {
		j := c.shipped("a@far.example")
		e := settlement(c, c.store, j, gateway.Refuse, dawn)
		c.cut(op)
		if err := c.store.Settle(context.Background(), e); !errors.Is(err, gateway.ErrClosed) {
			c.Fatalf("Settle = %v, want the error %q", err, gateway.ErrClosed)
		}
		c.again()
		if !c.failedOnce() {
			mustSettle(c, c.store, mustClaim(c, c.store, "far.example", 1, dawn.Add(time.Hour))[0],
				gateway.Refuse, dawn)
			if !c.failedOnce() {
				c.Error("the second attempt did not fail")
			}
		}
	})
}

// TestCP13 ends it after a failure was stored, before its report was sent: the report
// is due, exactly once.
func TestCP13(t *testing.T) {
	t.Parallel()
	atEachLoss(t, "after the failure", func(c *crash) {
		mustSettle(c, c.store, c.shipped("a@far.example"), gateway.Refuse, dawn)
		c.again()
		if !c.failedOnce() {
			c.Error("the failure is lost")
		}
		r := mustClaim(c, c.store, gateway.Reports, 9, dawn)
		if len(r) != 1 {
			c.Fatalf("%d reports are due, want 1", len(r))
		}
		mustSettle(c, c.store, r[0], gateway.Success, dawn)
		c.again()
		if left := mustClaim(c, c.store, gateway.Reports, 9, dawn.Add(time.Hour)); len(left) != 0 {
			c.Errorf("the report is due again: %+v", left)
		}
	})
}

// TestCP14 ends it during a redrive: the letter is a dead letter or it waits, never
// both, and it is retried once.
func TestCP14(t *testing.T) {
	redriven := func(c *crash, want int) {
		c.Helper()
		later := dawn.Add(time.Hour)
		n, err := c.store.Redrive(context.Background(), gateway.DeadFilter{}, later)
		if err != nil || n != want {
			c.Errorf("Redrive = %d, %v; want %d", n, err, want)
		}
		if n := len(mustClaim(c, c.store, "far.example", 9, later)); n != 1 || c.failedOnce() {
			c.Errorf("%d jobs are due, want 1", n)
		}
	}
	atEachLoss(t, "after the redrive", func(c *crash) {
		mustSettle(c, c.store, c.shipped("a@far.example"), gateway.Refuse, dawn)
		if n, err := c.store.Redrive(context.Background(), gateway.DeadFilter{}, dawn); n != 1 || err != nil {
			c.Fatalf("Redrive = %d, %v; want 1", n, err)
		}
		c.again()
		redriven(c, 0)
	})
	eitherWay(t, func(c *crash, op faultfs.Op) {
		mustSettle(c, c.store, c.shipped("a@far.example"), gateway.Refuse, dawn)
		c.cut(op)
		if _, err := c.store.Redrive(context.Background(), gateway.DeadFilter{}, dawn); !errors.Is(err,
			gateway.ErrClosed) {
			c.Fatalf("Redrive = %v, want the error %q", err, gateway.ErrClosed)
		}
		c.again()
		want := 0
		if c.failedOnce() {
			want = 1
		}
		redriven(c, want)
	})
}
