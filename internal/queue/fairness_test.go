package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// alive is a domain whose gateway answers at once.
const alive = "alive.example"

// many returns how many of something a test uses: few if all would take minutes.
func many(n int) int {
	if underRace || testing.Short() {
		return n / 50
	}
	return n
}

// fan makes an agent write to n domains, a hundred in each message.
func (w *world) fan(from gateway.Agent, n int, name string) {
	w.t.Helper()
	var all sync.WaitGroup
	const at, each = 32, 100
	for part := range at {
		all.Go(func() {
			for i := part; i < (n+each-1)/each; i += at {
				to := make([]string, 0, each)
				for k := i * each; k < min((i+1)*each, n); k++ {
					to = append(to, fmt.Sprintf("x@"+name, k))
				}
				w.sendAs(from, to...)
			}
		})
	}
	all.Wait()
}

// pile makes an agent write n messages to one address.
func (w *world) pile(from gateway.Agent, n int, to string) {
	w.t.Helper()
	var all sync.WaitGroup
	const at = 100
	for part := range at {
		all.Go(func() {
			for i := part; i < n; i += at {
				w.sendAs(from, to)
			}
		})
	}
	all.Wait()
}

// soon checks that messages to the domain that answers arrive within a second, twice
// with some time between.
func (w *world) soon(from gateway.Agent, to string) {
	w.t.Helper()
	for i := range 2 {
		began := time.Now()
		id := w.sendAs(from, to)
		time.Sleep(time.Second)
		synctest.Wait()
		if d := w.state(id); d.State == gateway.Delivered {
			w.t.Logf("message %d of %s to %s: delivered after %v", i+1, from.Address, to, d.Delivered.Sub(began))
		} else {
			w.t.Errorf("message %d of %s to %s is %v after a second, want delivered", i+1, from.Address, to, d.State)
		}
		time.Sleep(40 * time.Second)
	}
}

// hang is the carriage of an attempt at a host that accepts connections and sends
// nothing.
func hang(ctx context.Context, p gateway.Parcel, most time.Duration) gateway.Carriage {
	select {
	case <-time.After(most):
	case <-ctx.Done():
	}
	return down(ctx, p)
}

// TestAliveBeside: whatever else is queued, by any sender, a message to a destination
// that answers arrives within a second.
func TestAliveBeside(t *testing.T) {
	slow.Test(t, "a hundred thousand destinations are dead")
	isAlive := func(p gateway.Parcel) bool { return p.Destination == alive }
	type setting struct {
		fill  func(w *world, known bool)
		carry func(ctx context.Context, p gateway.Parcel) gateway.Carriage
	}
	dead := func(took time.Duration) func(context.Context, gateway.Parcel) gateway.Carriage {
		return func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if isAlive(p) {
				return delivers(ctx, p)
			}
			return hang(ctx, p, took)
		}
	}
	fanned := func(n int, name string) func(*world, bool) {
		return func(w *world, known bool) {
			if known { // the full number is tested once only
				n /= 20
			}
			w.fan(w.bob, many(n), name)
		}
	}
	for name, s := range map[string]setting{
		"dead destinations that take 10 s":     {fanned(100_000, "d%d.example"), dead(10 * time.Second)},
		"dead destinations that take for ever": {fanned(20_000, "d%d.example"), dead(time.Hour)},
		"dead destinations that fail at once":  {fanned(2_000, "d%d.example"), dead(0)},
		"a tarpit of many names": {fanned(10_000, "n%d.slow.example"),
			func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
				if isAlive(p) {
					return delivers(ctx, p)
				}
				c := hang(ctx, p, 20*time.Second)
				c.Host = "192.0.2.1:443"
				return c
			}},
	} {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, known %v", name, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					defer w.close()
					w.carry = s.carry
					stop := w.run(nil)
					defer stop()
					if before {
						w.send("bob@" + alive)
						time.Sleep(time.Second)
					}
					s.fill(w, before)
					time.Sleep(2 * time.Second)
					w.soon(w.alice, "x@"+alive)
					w.soon(w.bob, "y@"+alive)
				})
			})
		}
	}
}

// TestRestartBesideMany: after a restart, when the health of no destination is known,
// mail to a destination that answers does not wait for the others.
func TestRestartBesideMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if p.Destination == alive {
				return delivers(ctx, p)
			}
			return hang(ctx, p, 10*time.Second)
		}
		w.fan(w.bob, many(20_000), "d%d.example")
		for range 2 {
			stop := w.run(nil)
			time.Sleep(30 * time.Second)
			w.soon(w.alice, "x@"+alive)
			stop()
		}
	})
}

// TestPoison: messages that a gateway always answers with an error, or on which it
// hangs, do not delay other messages to it, whatever the error is.
func TestPoison(t *testing.T) {
	slow.Test(t, "it delivers for days of its own time")
	poisoned := func(p gateway.Parcel) bool {
		return strings.HasPrefix(p.Recipients[0].Recipient.String(), "poison")
	}
	for name, answer := range map[string]func(context.Context, gateway.Parcel) gateway.Carriage{
		"an error of its own": func(ctx context.Context,
			p gateway.Parcel) gateway.Carriage {
			return postpones(ctx, p)
		},
		"an error that may be its gateway's": func(_ context.Context, p gateway.Parcel) gateway.Carriage {
			return limited(p, 0)
		},
		"a limit for a day": func(_ context.Context, p gateway.Parcel) gateway.Carriage {
			return limited(p,
				24*time.Hour)
		},
	} {
		for _, n := range []int{5, 40, 200} {
			t.Run(fmt.Sprintf("%s for %d", name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					defer w.close()
					w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
						if poisoned(p) {
							return answer(ctx, p)
						}
						return delivers(ctx, p)
					}
					stop := w.run(nil)
					defer stop()
					w.pile(w.alice, n, "poison@"+alive)
					time.Sleep(2 * time.Minute)
					w.soon(w.alice, "x@"+alive)
					w.soon(w.bob, "x@"+alive)
				})
			})
		}
	}
}

// TestHangsForFive: five messages on which a gateway hangs delay others by at most the
// first pause, and not at all later.
func TestHangsForFive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if strings.HasPrefix(p.Recipients[0].Recipient.String(), "poison") {
				return hang(ctx, p, 20*time.Second)
			}
			return delivers(ctx, p)
		}
		stop := w.run(nil)
		defer stop()
		w.pile(w.alice, 5, "poison@"+alive)
		time.Sleep(4 * time.Minute)
		w.soon(w.alice, "x@"+alive)
		time.Sleep(3 * time.Hour)
		w.soon(w.alice, "x@"+alive)
	})
}

// TestOneSender: one sender with very many messages, to one destination or to very
// many, delays no other sender.
func TestOneSender(t *testing.T) {
	slow.Test(t, "one sender has a hundred thousand messages")
	for name, c := range map[string]struct {
		took time.Duration
		fill func(w *world)
		to   string
	}{
		"the same destination": {50 * time.Millisecond, func(w *world) {
			w.pile(w.bob, many(20_000), "x@busy.example")
		}, "y@busy.example"},
		"the same, which is slow": {4 * time.Second, func(w *world) {
			w.pile(w.bob, many(20_000), "x@busy.example")
		}, "y@" + alive},
		"another destination": {
			50 * time.Millisecond, func(w *world) { w.pile(w.bob, many(100_000), "x@busy.example") }, "y@" + alive,
		},
		"other destinations": {50 * time.Millisecond, func(w *world) {
			w.fan(w.bob, many(5_000), "d%d.example")
		}, "y@" + alive},
		"other destinations, all slow": {4 * time.Second, func(w *world) {
			w.fan(w.bob, many(20_000), "d%d.example")
		}, "y@" + alive},
		"one of its other destinations": {50 * time.Millisecond, func(w *world) {
			w.fan(w.bob, many(5_000), "d%d.example")
		}, "y@d7.example"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
					if p.Destination != alive {
						time.Sleep(c.took)
					}
					return delivers(ctx, p)
				}
				c.fill(w)
				stop := w.run(nil)
				defer stop()
				var longest time.Duration
				for range 20 {
					began := time.Now()
					id := w.send(c.to)
					time.Sleep(time.Second)
					synctest.Wait()
					if d := w.state(id); d.State != gateway.Delivered {
						t.Errorf("alice's message is %v after a second, want delivered", d.State)
					} else {
						longest = max(longest, d.Delivered.Sub(began))
					}
				}
				t.Logf("alice's 20 messages beside: delivered after %v at the latest", longest)
			})
		})
	}
}

// TestTriedToo: mail that failed before gets its attempts next to new mail that never
// ends.
func TestTriedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		var mu sync.Mutex
		met := make(map[amtp.MessageID]bool)
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			mu.Lock()
			again := met[p.Envelope.ID]
			met[p.Envelope.ID] = true
			mu.Unlock()
			if strings.HasPrefix(p.Recipients[0].Recipient.String(), "twice") && !again {
				return postpones(ctx, p)
			}
			time.Sleep(time.Second)
			return delivers(ctx, p)
		}
		stop := w.run(nil)
		defer stop()
		id := w.send("twice@busy.example")
		time.Sleep(100 * time.Millisecond)
		w.pile(w.bob, many(20_000), "x@busy.example")
		time.Sleep(10 * time.Second)
		if d := w.state(id); d.State != gateway.Delivered {
			t.Errorf("mail that failed once is %v after 10 s with new mail, want delivered", d.State)
		}
	})
}

// TestOneHost: names at one host that does not answer share 64 attempts; other mail
// that failed has its own.
func TestOneHost(t *testing.T) {
	slow.Test(t, "one host has many domains")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		var mu sync.Mutex
		at := make(map[string]int)
		most := 0
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			mu.Lock()
			if p.Attempts > 1 {
				at["host"]++
				most = max(most, at["host"])
			}
			mu.Unlock()
			c := hang(ctx, p, 20*time.Second)
			mu.Lock()
			if p.Attempts > 1 {
				at["host"]--
			}
			mu.Unlock()
			c.Host = "192.0.2.1:443"
			return c
		}
		w.fan(w.bob, 300, "n%d.slow.example")
		w.fan(w.alice, 300, "m%d.slow.example")
		stop := w.run(nil)
		defer stop()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most < 40 || most > 64 {
			t.Errorf("%d attempts at once at mail that failed before, at one host; want 64 at the most, and about as many",
				most)
		}
	})
}

// TestAliveAtTheHost: a gateway that answers has its slots next to very many names at
// its address that do not.
func TestAliveAtTheHost(t *testing.T) {
	slow.Test(t, "one host has many domains")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = func(ctx context.Context, p gateway.Parcel) (c gateway.Carriage) {
			if p.Destination == alive {
				c = delivers(ctx, p)
			} else {
				c = hang(ctx, p, 20*time.Second)
			}
			c.Host = "192.0.2.1:443"
			return c
		}
		stop := w.run(nil)
		defer stop()
		w.send("x@" + alive)
		for i, from := range []gateway.Agent{w.alice, w.bob, w.agent("carol"), w.agent("dave")} {
			w.fan(from, 150, fmt.Sprintf("n%%d.of%d.slow.example", i))
		}
		time.Sleep(10 * time.Minute)
		w.soon(w.agent("erin"), "x@"+alive)
		w.soon(w.bob, "x@"+alive)
	})
}

// TestHeard: a message from a domain that did not answer makes the queue try it. When
// the domain answers, all waiting mail follows. A domain that never answers is not
// tried much more often because of that.
func TestHeard(t *testing.T) {
	slow.Test(t, "it delivers for days of its own time")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		back := make(chan struct{})
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			select {
			case <-back:
				return delivers(ctx, p)
			default:
				return down(ctx, p)
			}
		}
		q, stop := w.runs(nil)
		defer stop()
		w.sendMany(50, "b.example")
		time.Sleep(10 * time.Hour)
		before := len(w.tried("b.example"))
		for range 3600 {
			q.Heard("b.example")
			q.Heard("nobody.example")
			time.Sleep(time.Second)
		}
		if more := len(w.tried("b.example")) - before; more > 60+20 {
			t.Errorf("%d attempts in an hour in which the domain wrote all the time, want hardly more than one a minute",
				more)
		}
		close(back)
		q.Heard("b.example")
		time.Sleep(2 * time.Minute) // by its own schedule it would be tried within the hour
		if n := w.waiting(); n != 0 {
			t.Errorf("%d messages wait two minutes after the domain is back, want none", n)
		}
	})
}

// counted is a store that counts claims, and calls a function before one of them.
type counted struct {
	queue.Store
	claims atomic.Int32
	at     int32
	before func()
}

func (c *counted) Claim(ctx context.Context, wanted []gateway.Claiming, now,
	lease time.Time) ([]gateway.Claimed, error) {
	if c.claims.Add(1) == c.at {
		c.before()
	}
	return c.Store.Claim(ctx, wanted, now, lease)
}

// TestHeardOfAmongFailures: attempts fail as fast as they begin, so that there is
// always more to claim. New mail is still claimed among the next.
func TestHeardOfAmongFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		c := &counted{Store: w.store, at: 20, before: func() { w.send("x@" + alive) }}
		var reached atomic.Int32
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			if p.Destination == alive {
				reached.Store(c.claims.Load())
				return delivers(ctx, p)
			}
			return down(ctx, p)
		}
		w.fan(w.bob, 1_500, "d%d.example")
		stop := w.run(c)
		defer stop()
		time.Sleep(500 * time.Millisecond)
		if all, n := c.claims.Load(), reached.Load(); all < 40 || n == 0 || n > c.at+10 {
			t.Errorf("what came at claim %d of %d was reached at %d, want that among the next ten", c.at, all, n)
		}
	})
}

// slowToList is a store whose Waiting takes a second.
type slowToList struct{ *sqlite.Store }

func (s slowToList) Waiting(ctx context.Context, after gateway.Destination, limit int) ([]gateway.Waiting, error) {
	time.Sleep(time.Second)
	return s.Store.Waiting(ctx, after, limit)
}

// TestAnAttemptThatEndsDuringAPoll: the queue does not sleep although an attempt that
// ended while the store was asked has made room for the next message.
func TestAnAttemptThatEndsDuringAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		first := make(chan struct{}, 1)
		first <- struct{}{}
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			select {
			case <-first:
				time.Sleep(8500 * time.Millisecond) // from second 2 to second 10.5; the store is asked from 10 to 11
			default:
			}
			return delivers(ctx, p)
		}
		stop := w.run(slowToList{w.store})
		defer stop()
		time.Sleep(2 * time.Second)
		w.send("x@" + alive)
		id := w.send("y@" + alive) // one attempt at a time, until the first one succeeds
		time.Sleep(9500 * time.Millisecond)
		synctest.Wait()
		if d := w.state(id); d.State != gateway.Delivered {
			t.Errorf("half a second after there was room the message is %v, want delivered", d.State)
		}
	})
}
