package queue_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// wrongClock is a machine's clock that a test sets.
type wrongClock struct {
	w     *world
	ahead time.Duration // ahead of the bubble's clock
	stood time.Time     // its time while it stands still
}

func (c *wrongClock) now() time.Time {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if !c.stood.IsZero() {
		return c.stood
	}
	return time.Now().Round(0).Add(c.ahead)
}

// set moves the clock, and makes the store look at it as the gateway does.
func (c *wrongClock) set(ahead time.Duration) {
	c.w.mu.Lock()
	c.ahead, c.stood = ahead, time.Time{}
	c.w.mu.Unlock()
	c.look()
}

func (c *wrongClock) stand(d time.Duration) {
	shown := c.now()
	c.w.mu.Lock()
	c.stood = shown
	c.w.mu.Unlock()
	for ; d > 0; d -= time.Minute {
		time.Sleep(time.Minute)
		c.look()
	}
	c.set(shown.Sub(time.Now().Round(0)))
}

func (c *wrongClock) look() {
	if _, err := c.w.store.NoteClock(context.Background()); err != nil {
		c.w.t.Errorf("NoteClock = %v", err)
	}
}

const hours, days = time.Hour, 24 * time.Hour

// TestClockIsWrong: a domain is down while the clock jumps, stops or goes back. It
// comes back some time after the clock was corrected. The message is neither given up
// nor forgotten.
func TestClockIsWrong(t *testing.T) {
	slow.Test(t, "it delivers for days of its own time")
	for name, wrong := range map[string]func(*wrongClock){
		"a second ahead":     func(c *wrongClock) { c.set(time.Second) },
		"an hour back":       func(c *wrongClock) { c.set(-hours) },
		"an hour ahead":      func(c *wrongClock) { c.set(hours) },
		"thirty days ahead":  func(c *wrongClock) { c.set(30 * days) },
		"ten years ahead":    func(c *wrongClock) { c.set(3650 * days) },
		"400 days behind":    func(c *wrongClock) { c.set(-400 * days) },
		"in 1970":            func(c *wrongClock) { c.set(time.Unix(1, 0).Sub(time.Now().Round(0))) },
		"ahead, then behind": func(c *wrongClock) { c.set(400 * days); time.Sleep(time.Minute); c.set(-400 * days) },
		"standing":           func(c *wrongClock) { c.stand(20 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &wrongClock{w: &world{}}
				w := newWorldBy(t, func() time.Time { return c.now() })
				c.w = w
				defer w.close()
				away := true
				w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
					w.mu.Lock()
					gone := away
					w.mu.Unlock()
					if gone {
						return down(ctx, p)
					}
					return delivers(ctx, p)
				}
				stop, expire := w.run(nil), w.expire()
				defer stop()
				defer expire()
				before := w.send("bob@b.example")
				time.Sleep(10 * time.Minute)
				wrong(c)
				time.Sleep(time.Minute)
				during := w.send("carol@c.example")
				time.Sleep(10 * time.Minute)
				c.set(0)
				time.Sleep(3 * hours)
				for what, id := range map[string]gateway.Delivery{"before": w.state(before),
					"while the clock was wrong": w.state(during)} {
					if id.State == gateway.Failed || id.State == gateway.Expired {
						t.Fatalf("what was sent %s is %v, want that it waits", what, id.State)
					}
				}
				w.mu.Lock()
				away = false
				w.mu.Unlock()
				time.Sleep(90 * time.Minute) // longer than the longest pause
				for what, id := range map[string]gateway.Delivery{"before": w.state(before),
					"while the clock was wrong": w.state(during)} {
					if id.State != gateway.Delivered {
						t.Errorf("what was sent %s is %v, want delivered", what, id.State)
					}
				}
			})
		})
	}
}

// TestClockWentBackALittle: new mail that was accepted by a clock a few minutes ahead
// waits until it is due, and delays no other sender's.
func TestClockWentBackALittle(t *testing.T) {
	for name, before := range map[string]bool{"the queue runs": true, "the queue is started then": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &wrongClock{w: &world{}}
				w := newWorldBy(t, func() time.Time { return c.now() })
				c.w = w
				defer w.close()
				w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
					time.Sleep(time.Millisecond)
					return delivers(ctx, p)
				}
				held := w.holding(w.store)
				if before {
					defer w.run(held)()
				}
				c.set(4 * time.Minute)
				early := w.sendAs(w.alice, "x@b.example")
				c.set(0)
				id := w.sendAs(w.bob, "x@b.example")
				held.held.Store(false)
				if !before {
					defer w.run(held)()
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if s := w.state(id).State; s != gateway.Delivered {
					t.Errorf("with a message that is due in four minutes another sender's is %v, want delivered", s)
				}
				time.Sleep(5 * time.Minute)
				if s := w.state(early).State; s != gateway.Delivered {
					t.Errorf("five minutes later the first is %v, want delivered", s)
				}
			})
		})
	}
}

// holding is a store from which no job is claimed for a while.
type holding struct {
	queue.Store
	held atomic.Bool
}

func (w *world) holding(s queue.Store) *holding {
	h := &holding{Store: s}
	h.held.Store(true)
	return h
}

func (h *holding) Claim(ctx context.Context, wanted []gateway.Claiming, now,
	lease time.Time) ([]gateway.Claimed, error) {
	if h.held.Load() {
		return nil, errors.New("it is not time yet")
	}
	return h.Store.Claim(ctx, wanted, now, lease)
}

// TestExpiryWaitsForTheClock: jobs are given up when they are a week old by a trusted
// clock, and not because of its jump.
func TestExpiryWaitsForTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &wrongClock{w: &world{}}
		w := newWorldBy(t, func() time.Time { return c.now() })
		c.w = w
		defer w.close()
		w.carry = down
		id := w.send("bob@b.example")
		stop := w.expire()
		defer stop()
		for _, ahead := range []time.Duration{2 * days, 30 * days, 0} {
			c.set(ahead)
			time.Sleep(5 * time.Minute)
			if s := w.state(id).State; s != gateway.Queued {
				t.Fatalf("%v ahead the message is %v, want queued", ahead, s)
			}
		}
		for range 8 * 24 {
			time.Sleep(time.Hour)
			c.look()
		}
		if s := w.state(id).State; s != gateway.Expired {
			t.Errorf("after eight days the message is %v, want expired", s)
		}
	})
}
