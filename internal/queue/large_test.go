package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/queue"
)

// ofSize makes an agent send a message of the given size, as the magnified store
// reports it.
func (w *world) ofSize(size int, from gateway.Agent, to ...string) amtp.MessageID {
	w.t.Helper()
	const around = `{"sender":"alice@a.example","recipients":["x@b.example"],"payload":""}`
	return w.post(strings.Replace(around, `""`, `"`+strings.Repeat("x", size/scale-len(around))+`"`, 1), from, to...)
}

// magnified is a store that reports every message as a thousand times as large, without
// the bytes.
type magnified struct{ queue.Store }

const scale = 1 << 10

func (m magnified) Claim(ctx context.Context, wanted []gateway.Claiming, now,
	lease time.Time) ([]gateway.Claimed, error) {
	small := slices.Clone(wanted)
	for i := range small {
		small[i].Bytes /= scale
		share := &small[i].Share
		share.Bytes, share.From = share.Bytes/scale, share.From/scale
		used := make(map[gateway.Flow]int64)
		for f, n := range share.Used {
			used[f] = n / scale
		}
		share.Used = used
	}
	got, err := m.Store.Claim(ctx, small, now, lease.Add(gateway.Carrying(10<<20))) // as the store does for the largest
	for i := range got {
		got[i].Needs *= scale
		got[i].Left.Size *= scale
		for k := range got[i].Jobs {
			got[i].Jobs[k].Size *= scale
		}
	}
	return got, err
}

func (m magnified) Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error) {
	p, err := m.Store.Parcel(ctx, job, fence)
	p.Size *= scale
	return p, err
}

// little is the largest size of a message with almost no content.
const little = 200 * scale

// line is a line to gateways, which several messages share.
type line struct {
	rate    int // bytes a second
	mu      sync.Mutex
	busy    int // messages under way
	most    int
	carried map[amtp.MessageID]int
	whole   int
}

// carry takes the time that the line needs for the message.
func (l *line) carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	l.mu.Lock()
	l.carried[p.Envelope.ID]++
	l.busy++
	l.most = max(l.most, l.busy)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy--
	}()
	for left := float64(p.Size); left > 0; {
		l.mu.Lock()
		share := float64(l.rate) / float64(l.busy)
		l.mu.Unlock()
		select {
		case <-time.After(time.Second):
			left -= share
		case <-ctx.Done():
			return down(ctx, p)
		}
	}
	l.mu.Lock()
	l.whole++
	l.mu.Unlock()
	return delivers(ctx, p)
}

// TestLargeMessagesOverASlowLine: large messages to gateways behind slow lines are sent
// once each, and no attempt is counted that was not made. Small messages to the same
// and to other destinations do not wait for them.
func TestLargeMessagesOverASlowLine(t *testing.T) {
	for _, c := range []struct {
		name         string
		n, size      int
		rate         int // bytes a second
		destinations int
	}{
		{"60 of 10 MiB over 4 Mbit/s", 60, 10 << 20, 500_000, 1},
		{"6 of 10 MiB over 256 kbit/s", 6, 10 << 20, 32_000, 1},
		{"one of 10 MiB over 256 kbit/s", 1, 10 << 20, 32_000, 1},
		{"12 of 10 MiB to 12 over 4 Mbit/s", 12, 10 << 20, 500_000, 12},
		{"40 of 2 MiB over 1 Mbit/s", 40, 2 << 20, 125_000, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				l := &line{rate: c.rate, carried: make(map[amtp.MessageID]int)}
				w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
					if p.Size < little {
						return delivers(ctx, p)
					}
					return l.carry(ctx, p)
				}
				size, n := c.size, c.n
				stop := w.run(magnified{w.store})
				defer stop()
				began := time.Now()
				var ids []amtp.MessageID
				for i := range n {
					ids = append(ids, w.ofSize(size, w.bob, fmt.Sprintf("x@slow%d.example", i%c.destinations)))
				}
				time.Sleep(90 * time.Second)
				w.soon(w.alice, "y@slow0.example")
				w.soon(w.alice, "y@"+alive)
				w.soon(w.bob, "y@"+alive)
				w.soon(w.bob, "y@slow0.example")
				alone := time.Duration(n*size/c.rate) * time.Second
				time.Sleep(2*alone + time.Hour)
				synctest.Wait()
				var last time.Time
				for _, id := range ids {
					d := w.state(id)
					if d.State != gateway.Delivered || d.Attempts != 1 || l.carried[id] != 1 {
						t.Errorf("a message is %v after %d attempts, %d of them made; want delivered by the one that was made",
							d.State, d.Attempts, l.carried[id])
					}
					if d.Delivered.After(last) {
						last = d.Delivered
					}
				}
				if took := last.Sub(began); took > 2*alone {
					t.Errorf("all took %v, one after the other they take %v", took, alone)
				} else {
					t.Logf("%d messages, %d at once at the most: all delivered after %v; the line takes %v for them", n,
						l.most, took, alone)
				}
			})
		})
	}
}

// unreadable is a store from which no parcel can be read for a while.
type unreadable struct {
	queue.Store
	until time.Time
	asked int
}

func (u *unreadable) Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error) {
	if u.asked++; time.Now().Before(u.until) {
		return gateway.Parcel{}, errors.New("the disk is slow")
	}
	return u.Store.Parcel(ctx, job, fence)
}

// TestNotMadeNotCounted: an attempt that this gateway could not make is given back, and
// the message is tried as if it had never been tried.
func TestNotMadeNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.carry = delivers
		id := w.send("bob@b.example")
		u := &unreadable{Store: w.store, until: time.Now().Add(time.Minute)}
		stop := w.run(u)
		defer stop()
		time.Sleep(59 * time.Second)
		if d := w.state(id); d.State != gateway.Queued && d.State != gateway.Delivering || d.Attempts > 1 {
			t.Errorf("before any attempt was made the message is %v after %d, want queued", d.State, d.Attempts)
		}
		time.Sleep(3 * time.Second)
		if d := w.state(id); d.State != gateway.Delivered || d.Attempts != 1 || u.asked < 30 || u.asked > 70 {
			t.Errorf("the message is %v after %d attempts, read %d times; want delivered by the first, about a second after it can be read",
				d.State, d.Attempts, u.asked)
		}
	})
}

// TestMemoryIsShared: however many destinations hang on large messages, there is memory
// for small ones, and for a large one to a gateway that answers.
func TestMemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		var mu sync.Mutex
		bytes, most := 0, 0
		w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
			mu.Lock()
			bytes += 3 * p.Size
			most = max(most, bytes)
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				bytes -= 3 * p.Size
			}()
			if p.Destination == alive {
				return delivers(ctx, p)
			}
			return hang(ctx, p, time.Hour)
		}
		stop := w.run(magnified{w.store})
		defer stop()
		w.send("known@" + alive)
		time.Sleep(time.Second)
		for i := range 12 {
			w.ofSize(9<<20, []gateway.Agent{w.alice, w.bob}[i%2], fmt.Sprintf("x@d%d.example", i))
		}
		for i := range 200 {
			w.sendAs(w.bob, fmt.Sprintf("x@s%d.example", i)) // the largest size that counts as small
		}
		time.Sleep(2 * time.Minute)
		w.soon(w.alice, "x@"+alive)
		began := time.Now()
		id := w.ofSize(9<<20, w.alice, "x@"+alive)
		time.Sleep(time.Second)
		synctest.Wait()
		if d := w.state(id); d.State != gateway.Delivered {
			t.Errorf("a large message to a gateway that answers is %v after a second, want delivered", d.State)
		} else {
			t.Logf("a large message to a gateway that answers: delivered after %v", d.Delivered.Sub(began))
		}
		if most > 128<<20 {
			t.Errorf("messages of %d MiB in memory at once, want 128 at the most", most>>20)
		}
	})
}

// TestMemoryOfOneSender: one sender has large messages to gateways that take long or
// never answer. It leaves memory for those of another sender, and its own small
// messages pass them.
func TestMemoryOfOneSender(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("to gateways that are known %v", known), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				w.carry = func(ctx context.Context, p gateway.Parcel) gateway.Carriage {
					if p.Size < little || p.Destination == alive {
						return delivers(ctx, p)
					}
					return hang(ctx, p, time.Hour)
				}
				stop := w.run(magnified{w.store})
				defer stop()
				for i := range 4 {
					if known {
						w.sendAs(w.bob, fmt.Sprintf("x@slow%d.example", i))
						w.send("x@" + alive)
					}
				}
				time.Sleep(10 * time.Second)
				for i := range 8 {
					w.ofSize(9<<20, w.bob, fmt.Sprintf("x@slow%d.example", i%4))
				}
				time.Sleep(20 * time.Second)
				for i := range 2 { // twice as many of its messages as its share has room for are waiting
					began := time.Now()
					large := w.ofSize(9<<20, w.alice, "x@"+alive)
					small := w.sendAs(w.bob, fmt.Sprintf("x@slow%d.example", 2+i))
					time.Sleep(time.Second)
					synctest.Wait()
					if d := w.state(large); d.State != gateway.Delivered {
						t.Errorf("another's large message is %v after a second, want delivered", d.State)
					} else {
						t.Logf("another's large message: delivered after %v", d.Delivered.Sub(began))
					}
					if d := w.state(small); d.State != gateway.Delivered {
						t.Errorf("a small message after a large one that waits is %v after a second, want delivered",
							d.State)
					}
				}
			})
		})
	}
}

// TestOneOfTheRecipientsWaits: a gateway that answers 429 with a day for one recipient
// of a message delays neither the other recipients nor other messages.
func TestOneOfTheRecipientsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		made := make(map[string]int)
		var mu sync.Mutex
		w.carry = func(_ context.Context, p gateway.Parcel) gateway.Carriage {
			var c gateway.Carriage
			c.Answered = true
			mu.Lock()
			defer mu.Unlock()
			for _, r := range p.Recipients {
				made[r.Recipient.Local()]++
				o := gateway.Outcome{Delivery: r.ID, Event: gateway.Success}
				switch {
				case r.Recipient.Local() == "limited":
					o = gateway.Outcome{Delivery: r.ID, Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable,
						RetryAfter: 24 * time.Hour}
				case r.Recipient.Local() == "twice" && made["twice"] == 1:
					o = gateway.Outcome{Delivery: r.ID, Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable}
				}
				c.Outcomes = append(c.Outcomes, o)
			}
			return c
		}
		stop := w.run(nil)
		defer stop()
		id := w.send("limited@"+alive, "twice@"+alive, "bob@"+alive)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r, err := w.store.Message(context.Background(), gateway.Reader{Everyone: true}, id)
		if err != nil {
			t.Fatal(err)
		}
		states := fmt.Sprint(r.Deliveries[0].State, r.Deliveries[1].State, r.Deliveries[2].State)
		if states != fmt.Sprint(gateway.Retrying, gateway.Delivered, gateway.Delivered) {
			t.Errorf("two seconds later the recipients are %s, want those delivered that need not wait", states)
		}
		tried := func() int {
			mu.Lock()
			defer mu.Unlock()
			return made["limited"]
		}
		time.Sleep(23 * time.Hour)
		if n := tried(); n != 1 {
			t.Errorf("%d attempts in 23 hours at the one that asks for a day, want 1", n)
		}
		time.Sleep(2 * time.Hour)
		if n := tried(); n != 2 {
			t.Errorf("%d attempts in 25 hours at the one that asks for a day, want 2", n)
		}
	})
}
