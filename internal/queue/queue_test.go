package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestSevenDays: a message that no gateway accepts is tried 169 times, at exactly the
// delays of the schedule. Then its sender gets one report.
func TestSevenDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = postpones
		id := w.send("bob@b.example")
		stop := w.run(&seldom{Store: w.store})
		defer stop()
		time.Sleep(8 * 24 * time.Hour)

		tries := w.tried("b.example")
		if len(tries) != gateway.MaxAttempts {
			t.Errorf("%d attempts, want %d", len(tries), gateway.MaxAttempts)
		}
		for i := 1; i < len(tries); i++ {
			got, want := tries[i].Sub(tries[i-1]), gateway.Backoff(w.jobs["b.example"], i)
			if off := (got - want).Abs(); off > time.Microsecond {
				t.Fatalf("attempt %d is made after %v, want %v", i+1, got, want)
			}
		}
		if d := w.state(id); d.State != gateway.Expired || d.Attempts != gateway.MaxAttempts {
			t.Errorf("the delivery is %v after %d attempts, want expired after %d", d.State, d.Attempts,
				gateway.MaxAttempts)
		}
		dead, err := w.store.DeadLetters(context.Background(), gateway.DeadFilter{Limit: 10})
		if err != nil || len(dead.Letters) != 1 || dead.Letters[0].Envelope.ID != id {
			t.Errorf("dead letters %+v, %v, want the message", dead.Letters, err)
		}
		if n := w.reports(); n != 1 {
			t.Errorf("alice has %d reports, want 1", n)
		}
		if n := w.waiting(); n != 0 {
			t.Errorf("%d jobs are left, want none", n)
		}
	})
}

// TestClosedForDays: a destination asks again and again for a pause of a day. It gets
// each message once a day, and its waiting mail still expires after seven days.
func TestClosedForDays(t *testing.T) {
	slow.Test(t, "it delivers for days of its own time")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			return limited(p, 24*time.Hour)
		}
		const n = 50
		w.sendMany(n, "closed.example")
		stop := w.run(&seldom{Store: w.store})
		defer stop()
		time.Sleep(7*24*time.Hour - time.Hour)
		end := w.expire()
		defer end()
		time.Sleep(59 * time.Minute)
		if tries, left := len(w.tried("closed.example")), w.waiting(); tries != 7*n || left != n {
			t.Errorf("%d attempts in seven days, %d jobs wait; want one a day of each, and all %d", tries, left, n)
		}
		time.Sleep(3 * time.Minute)
		if left, reports := w.waiting(), w.reports(); left != 0 || reports != n {
			t.Errorf("%d jobs are left and alice has %d reports, want none and %d", left, reports, n)
		}
	})
}

// TestDeadDomain: ten thousand messages for a domain that does not answer cost few
// attempts and delay no other domain. When it is back, all of them arrive.
func TestDeadDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		var back atomic.Bool
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if p.Destination == "dead.example" && !back.Load() {
				return down(ctx, p)
			}
			time.Sleep(time.Second) // of the bubble
			return delivers(ctx, p)
		}
		n := 10_000
		if underRace || testing.Short() {
			n = 1000
		}
		w.sendMany(n, "dead.example")
		stop := w.run(nil)
		defer stop()
		time.Sleep(10 * time.Minute)
		began := time.Now()
		id := w.send("bob@alive.example")
		time.Sleep(time.Hour)
		if d := w.state(id); d.State != gateway.Delivered || d.Delivered.Sub(began) > time.Second+time.Microsecond {
			t.Errorf("the message to another domain is %v after %v, want delivered as if it were alone", d.State,
				d.Delivered.Sub(began))
		}
		if tries := len(w.tried("dead.example")); tries < 70 || tries > 90 {
			t.Errorf("%d attempts in 70 minutes, want about one a minute", tries)
		}
		back.Store(true)
		time.Sleep(time.Hour)
		if left := w.waiting(); left != 0 {
			t.Errorf("%d messages wait an hour after the domain is back", left)
		}
		if most := w.atMost(); most > 192 {
			t.Errorf("%d attempts at once at one domain, want 192 at the most", most)
		}
	})
}

// TestSlowDomains: domains that do not answer hold a bounded number of messages, each
// for the time of one attempt.
func TestSlowDomains(t *testing.T) {
	slow.Test(t, "many domains are slow")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			<-ctx.Done()
			return down(ctx, p)
		}
		const n = 600
		for i := range n {
			w.sendAs([]gateway.Agent{w.alice, w.bob}[i%2], fmt.Sprintf("carol@slow%d.example", i))
		}
		stop := w.run(nil)
		defer stop()
		time.Sleep(time.Minute)
		if most := w.atMost(); most < 90 || most > 2*80+64 {
			t.Errorf("%d attempts at once of two senders, want what each may have for new mail and for other, "+
				"and what is reserved", most)
		}
		time.Sleep(3 * time.Minute)
		for i := range n {
			if len(w.tried(gateway.Destination(fmt.Sprintf("slow%d.example", i)))) == 0 {
				t.Fatalf("slow%d.example was not tried in four minutes", i)
			}
		}
	})
}

// heavy is a store in which every message to one domain has the largest size.
type heavy struct {
	queue.Store
	domain gateway.Destination
}

func (h heavy) Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error) {
	got, err := h.Store.Claim(ctx, wanted, now, lease)
	for _, c := range got {
		for i := range c.Jobs {
			if c.Destination == h.domain {
				c.Jobs[i].Size = amtp.MaxMessageSize
			}
		}
	}
	return got, err
}

// TestLargeAndSlow: a domain accepted many large messages and then stops answering. Its
// messages do not hold the memory that messages to others need.
func TestLargeAndSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		var hangs atomic.Bool
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if p.Destination == "slow.example" && hangs.Load() {
				<-ctx.Done()
				return down(ctx, p)
			}
			return delivers(ctx, p)
		}
		stop := w.run(heavy{w.store, "slow.example"})
		defer stop()
		w.sendMany(100, "slow.example")
		time.Sleep(time.Minute)
		if n := w.waiting(); n != 0 {
			t.Fatalf("%d messages wait, want none while the domain answers", n)
		}
		hangs.Store(true)
		w.sendMany(100, "slow.example")
		time.Sleep(time.Second)
		began := time.Now()
		id := w.send("bob@alive.example")
		synctest.Wait()
		if d := w.state(id); d.State != gateway.Delivered || time.Since(began) != 0 {
			t.Errorf("the message to another domain is %v, want delivered at once", d.State)
		}
	})
}

// TestFewTakeNotAll: a few domains accepted many messages at once and then stop
// answering. They do not hold all attempts: another domain is not delayed.
func TestFewTakeNotAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		var hangs atomic.Bool
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if p.Destination != "alive.example" && hangs.Load() {
				<-ctx.Done()
				return down(ctx, p)
			}
			return delivers(ctx, p)
		}
		stop := w.run(nil)
		defer stop()
		const domains = 8
		for range 2 {
			for i := range domains {
				w.sendMany(100, fmt.Sprintf("slow%d.example", i))
			}
			time.Sleep(time.Minute)
			if !hangs.Load() && w.waiting() != 0 {
				t.Fatalf("%d messages wait, want none while the domains answer", w.waiting())
			}
			hangs.Store(true)
		}
		began := time.Now()
		id := w.send("bob@alive.example")
		synctest.Wait()
		if d := w.state(id); d.State != gateway.Delivered || time.Since(began) != 0 {
			t.Errorf("the message to another domain is %v, want delivered at once", d.State)
		}
	})
}

// TestRestart: a queue that is stopped lets the attempts under way end and claims no
// more. The next queue continues there.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			select {
			case <-time.After(5 * time.Second):
				return delivers(ctx, p)
			case <-ctx.Done():
				return down(ctx, p)
			}
		}
		first, second := w.send("bob@b.example"), w.send("carol@b.example")
		stop := w.run(nil)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("the queue ended after %v, want when the attempt did, after 4 s", took)
		}
		if d := w.state(first); d.State != gateway.Delivered {
			t.Errorf("what was under way is %v, want delivered", d.State)
		}
		if n := len(w.tried("b.example")); n != 1 {
			t.Errorf("%d attempts, want 1: nothing is begun after the stop", n)
		}
		stop = w.run(nil)
		defer stop()
		time.Sleep(6 * time.Second)
		if d := w.state(second); d.State != gateway.Delivered {
			t.Errorf("what waited is %v after the restart, want delivered", d.State)
		}
	})
}

// TestStopCutsOff: attempts that do not end are cut off, and made again by the next
// queue.
func TestStopCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			<-ctx.Done()
			return down(ctx, p)
		}
		id := w.send("bob@b.example")
		stop := w.run(nil)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the queue ended after %v, want 10 s", took)
		}
		w.carry = delivers
		stop = w.run(nil)
		defer stop()
		time.Sleep(2 * time.Second)
		if d := w.state(id); d.State != gateway.Delivered || d.Attempts != 2 {
			t.Errorf("the message is %v after %d attempts, want delivered after 2", d.State, d.Attempts)
		}
	})
}

// TestKilled: a job that a process had leased when it was killed is retried when the
// lease ends, and not before.
func TestKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = delivers
		id := w.send("bob@b.example")
		now := time.Now()
		claimed, err := w.store.Claim(context.Background(), []gateway.Claiming{{Destination: "b.example", Limit: 9}},
			now, now.Add(2*time.Minute))
		if err != nil || len(claimed) != 1 || len(claimed[0].Jobs) != 1 {
			t.Fatalf("Claim = %+v, %v", claimed, err)
		}
		stop := w.run(nil)
		defer stop()
		time.Sleep(2*time.Minute - time.Second)
		if n := len(w.tried("b.example")); n != 0 {
			t.Errorf("%d attempts while the lease holds, want none", n)
		}
		time.Sleep(2 * time.Second)
		if d := w.state(id); d.State != gateway.Delivered || d.Attempts != 2 {
			t.Errorf("the message is %v after %d attempts, want delivered after 2", d.State, d.Attempts)
		}
	})
}

// TestPanic: a defect in a courier costs an attempt and affects no other message.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if p.Destination == "b.example" && p.Attempts < 3 {
				panic("a defect")
			}
			return delivers(ctx, p)
		}
		bad, good := w.send("bob@b.example"), w.send("bob@c.example")
		stop := w.run(nil)
		time.Sleep(5 * time.Second)
		stop()
		if d := w.state(bad); d.State != gateway.Delivered || d.Attempts != 3 {
			t.Errorf("the message is %v after %d attempts, want delivered after 3", d.State, d.Attempts)
		}
		if d := w.state(good); d.State != gateway.Delivered || d.Attempts != 1 {
			t.Errorf("the other is %v after %d attempts, want delivered after 1", d.State, d.Attempts)
		}
		if log := w.log.String(); !strings.Contains(log, "a defect") || !strings.Contains(log, "queue_test.go") {
			t.Errorf("the log does not tell the defect and where it is: %s", log)
		}
	})
}

// disturbed is a store that may refuse to settle.
type disturbed struct {
	queue.Store
	settle func(gateway.Settlement) error // nil calls the store
	asked  int
}

func (d *disturbed) Settle(ctx context.Context, s gateway.Settlement) error {
	d.asked++
	if err := d.settle(s); err != nil {
		return err
	}
	return d.Store.Settle(ctx, s)
}

// TestSettleAgain: the outcome of an attempt is stored as soon as the store accepts it,
// and the message is not sent again.
func TestSettleAgain(t *testing.T) {
	for name, cause := range map[string]error{"busy": gateway.ErrBusy, "full": gateway.ErrFull,
		"a fault": errors.New("a fault")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				w.carry = delivers
				id := w.send("bob@b.example")
				until := time.Now().Add(30 * time.Second)
				d := &disturbed{Store: w.store, settle: func(gateway.Settlement) error {
					if time.Now().Before(until) {
						return cause
					}
					return nil
				}}
				stop := w.run(d)
				time.Sleep(time.Minute)
				stop()
				if n := len(w.tried("b.example")); n != 1 || d.asked < 3 || d.asked > 100 {
					t.Errorf("%d attempts, settled %d times; want 1, and a few", n, d.asked)
				}
				if got := w.state(id).State; got != gateway.Delivered {
					t.Errorf("the message is %v, want delivered", got)
				}
			})
		})
	}
}

// TestSettleNever: when the store accepts no settlement until the lease ends, the
// attempt is made again.
func TestSettleNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = delivers
		id := w.send("bob@b.example")
		until := time.Now().Add(150 * time.Second)
		stop := w.run(&disturbed{Store: w.store, settle: func(gateway.Settlement) error {
			if time.Now().Before(until) {
				return gateway.ErrBusy
			}
			return nil
		}})
		time.Sleep(10 * time.Minute)
		stop()
		if d := w.state(id); d.State != gateway.Delivered || d.Attempts != 2 {
			t.Errorf("the message is %v after %d attempts, want delivered after 2", d.State, d.Attempts)
		}
	})
}

// TestStale: an attempt that ended after its lease changes nothing, and the queue
// continues.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		first := true
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if !first {
				return delivers(ctx, p)
			}
			first = false
			later := time.Now().Add(3 * time.Minute) // another process claims it after the lease
			if _, err := w.store.Claim(ctx, []gateway.Claiming{{Destination: p.Destination, Limit: 1}}, later,
				later.Add(time.Minute)); err != nil {
				t.Errorf("Claim = %v", err)
			}
			return p.All(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeAgentUnknown, Reason: "stale"})
		}
		id := w.send("bob@b.example")
		stop := w.run(nil)
		time.Sleep(time.Minute)
		if d := w.state(id); d.State != gateway.Delivering || w.reports() != 0 {
			t.Errorf("the message is %v with %d reports, want delivering: the attempt was not the last to begin",
				d.State, w.reports())
		}
		time.Sleep(5 * time.Minute)
		stop()
		if d := w.state(id); d.State != gateway.Delivered || d.Attempts != 3 {
			t.Errorf("the message is %v after %d attempts, want delivered after 3", d.State, d.Attempts)
		}
	})
}

// TestPaused: a store that was restored from a backup leases no job until its operator
// confirms, and then continues by itself.
func TestPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = delivers
		id := w.send("bob@b.example")
		if err := w.store.Pause(context.Background(), time.Now()); err != nil {
			t.Fatal(err)
		}
		stop := w.run(nil)
		defer stop()
		time.Sleep(time.Hour)
		if n := len(w.tried("b.example")); n != 0 {
			t.Errorf("%d attempts while the store is paused, want none", n)
		}
		if err := w.store.Resume(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if d := w.state(id); d.State != gateway.Delivered || d.Attempts != 1 {
			t.Errorf("the message is %v after %d attempts, want delivered after 1", d.State, d.Attempts)
		}
	})
}

// TestBellOfALateOne: a message that is accepted while the queue sleeps is tried at
// once.
func TestBellOfALateOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = delivers
		stop := w.run(nil)
		defer stop()
		time.Sleep(7 * time.Hour)
		began := time.Now()
		id := w.send("bob@b.example")
		synctest.Wait()
		if d := w.state(id); d.State != gateway.Delivered || !d.Delivered.Equal(began.Truncate(time.Microsecond)) {
			t.Errorf("the message is %v at %v, want delivered at %v", d.State, d.Delivered, began)
		}
	})
}
