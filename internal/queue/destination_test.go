package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

var dawn = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// table is destinations with a store that always has more new mail, of one flow.
type table struct {
	*scheduler
	*testing.T
	under []leasedJob
	next  gateway.JobID
}

func newTable(t *testing.T) *table { return &table{scheduler: newScheduler(), T: t} }

// begin makes the destinations claim all that they want at now, and returns the number
// of attempts.
func (b *table) begin(now time.Time) (n int) {
	b.Helper()
	for wanted := b.wanted(now); len(wanted) > 0; wanted = b.wanted(now) {
		got := make([]gateway.Claimed, len(wanted))
		for i, w := range wanted {
			got[i] = gateway.Claimed{Destination: w.Destination, Next: now, Fresh: true}
			if slices.Contains(w.Except, 1) {
				got[i].Held = []gateway.Flow{1}
				continue
			}
			for range w.Limit {
				b.next++
				got[i].Jobs = append(got[i].Jobs, gateway.Job{ID: b.next, Destination: w.Destination, Flow: 1})
			}
			n += len(got[i].Jobs)
		}
		b.under = append(b.under, b.noteClaims(wanted, got, now)...)
	}
	return n
}

// end ends all attempts under way.
func (b *table) end(began, now time.Time, how attemptResult) {
	for _, f := range b.under {
		how.leasedJob, how.began, how.tried = f, began, true
		b.finish(&how, now)
	}
	b.under = nil
}

// TestSlowStart: a destination gets one attempt, and about twice as many with every
// round of successes, up to what one sender may have.
func TestSlowStart(t *testing.T) {
	b := newTable(t)
	b.arrived("b.example", dawn)
	now := dawn
	for _, want := range []int{1, 2, 3, 6, 10, 18, 33, 66, 80, 80} {
		if got := b.begin(now); got != want {
			t.Fatalf("begun %d attempts, want %d", got, want)
		}
		b.end(now, now.Add(time.Millisecond), attemptResult{})
		now = now.Add(time.Second)
	}
}

// TestClaimsInBulk: a busy destination claims when a quarter of its attempts is free,
// and not for every single one. For new mail it claims sooner, a few times a second.
func TestClaimsInBulk(t *testing.T) {
	l := newDestination("b.example", dawn)
	l.window, l.fresh.underWay, l.fresh.at, l.fresh.lastClaim = 32, 32, dawn, dawn
	for free := range 16 {
		l.fresh.newWork = false
		if _, wants := l.fresh.ready(); wants {
			t.Errorf("with %d of 32 attempts free it wants to claim, want 16 to be free, of which 8 are kept", free)
		}
		l.fresh.newWork = true
		if at, wants := l.fresh.ready(); wants != (free > 0) || wants && !at.Equal(dawn.Add(peekTime)) {
			t.Errorf("something came, %d attempts are free: claims %v at %v, want at %v if any is", free, wants, at,
				dawn.Add(peekTime))
		}
		l.fresh.underWay--
	}
	l.fresh.newWork = false
	if _, wants := l.fresh.ready(); !wants {
		t.Error("with 16 of 32 attempts free it does not want to claim")
	}
}

// TestDeadDestination: after five failures in a row a destination gets single attempts,
// with growing pauses of at most a minute. It starts slowly when it is back.
func TestDeadDestination(t *testing.T) {
	b := newTable(t)
	b.arrived("dead.example", dawn)
	now, tries := dawn, 0
	for now.Before(dawn.Add(time.Hour)) {
		n := b.begin(now)
		b.end(now, now, attemptResult{down: true})
		tries += n
		if n > 1 {
			t.Fatalf("%d attempts at once at a destination that never answered", n)
		}
		now = now.Add(max(b.sleep(now), time.Millisecond))
	}
	if tries < 60 || tries > 80 {
		t.Errorf("%d attempts in an hour, want about one a minute", tries)
	}
	now = now.Add(time.Minute)
	if n := b.begin(now); n != 1 {
		t.Fatalf("%d attempts as a probe, want 1", n)
	}
	b.end(now, now, attemptResult{})
	if n := b.begin(now.Add(time.Minute)); n != 2 {
		t.Errorf("%d attempts after the first success, want 2", n)
	}
}

// TestFailuresTogether: attempts that were under way at the same time and fail count as
// one failure.
func TestFailuresTogether(t *testing.T) {
	for _, answered := range []bool{false, true} {
		l := newDestination("b.example", dawn)
		l.window, l.fresh.underWay = 32, 32
		for range 32 {
			l.finish(&attemptResult{leasedJob: leasedJob{part: gateway.Fresh}, began: dawn, tried: true, down: true,
				answered: answered}, dawn.Add(time.Second))
		}
		if n := max(l.fresh.gate.failures, l.tried.gate.failures); n != 1 || l.window != 16 ||
			l.fresh.gate.closedUntil.After(dawn) {
			t.Errorf("32 failures at once, answered %v: %d counted, window %d, closed %v; want 1, 16 and open",
				answered, n, l.window, l.fresh.gate.closedUntil)
		}
	}
}

// TestGates: a failure decides when new mail, and when mail that failed before, is
// tried again.
func TestGates(t *testing.T) {
	for name, c := range map[string]struct {
		how          attemptResult
		times        int
		fresh, tried time.Duration // until each gate is open
	}{
		"it does not answer": {attemptResult{leasedJob: leasedJob{part: gateway.Fresh}, down: true}, 20,
			time.Minute, time.Minute},
		"a failed message fails again": {attemptResult{leasedJob: leasedJob{part: gateway.Tried}, down: true}, 20, 0,
			time.Minute},
		"it answers and takes nothing": {attemptResult{leasedJob: leasedJob{part: gateway.Fresh}, down: true,
			answered: true}, 20, shortPause, time.Minute},
		"it asks for a day": {attemptResult{leasedJob: leasedJob{part: gateway.Fresh}, down: true,
			answered: true, pause: 24 * time.Hour}, 1, 0, 0},
		"it asks everybody for a day": {attemptResult{leasedJob: leasedJob{part: gateway.Fresh}, down: true,
			answered: true, pause: 24 * time.Hour}, 5, shortPause, time.Minute},
		"it refuses messages and nothing else": {attemptResult{leasedJob: leasedJob{part: gateway.Fresh}}, 20, 0, 0},
		"nothing was tried":                    {attemptResult{leasedJob: leasedJob{part: gateway.Fresh}}, 0, 0, 0},
		"a failed message is refused once more": {attemptResult{leasedJob: leasedJob{part: gateway.Tried}, down: true,
			answered: true}, 4, 0, 0},
		"failed messages are refused many times": {attemptResult{leasedJob: leasedJob{part: gateway.Tried}, down: true,
			answered: true}, 20, shortPause, time.Minute},
	} {
		l, now := newDestination("b.example", dawn), dawn
		for range c.times {
			now = now.Add(time.Minute)
			l.entry(c.how.part).underWay++
			c.how.began, c.how.tried = now, true
			l.finish(&c.how, now)
		}
		if fresh, tried := max(l.fresh.gate.closedUntil.Sub(now), 0),
			max(l.tried.gate.closedUntil.Sub(now), 0); fresh != c.fresh || tried != c.tried {
			t.Errorf("%s: new mail waits %v and other mail %v, want %v and %v", name, fresh, tried, c.fresh, c.tried)
		}
	}
}

// TestNewMailIsTheProbe: while a destination is closed, mail that failed does not take
// the attempt for which new mail waits.
func TestNewMailIsTheProbe(t *testing.T) {
	b := newTable(t)
	l := b.at("dead.example", dawn)
	for range 20 {
		l.fresh.underWay++
		l.finish(
			&attemptResult{leasedJob: leasedJob{part: gateway.Fresh}, began: dawn, tried: true, down: true, due: dawn},
			dawn,
		)
	}
	b.placeAll(l)
	if w := b.wanted(dawn.Add(time.Hour)); len(w) != 1 || w[0].Part != gateway.Tried {
		t.Fatalf("without new mail %v is claimed, want what was tried", w)
	}
	b.arrived("dead.example", dawn)
	if w := b.wanted(dawn.Add(time.Hour)); len(w) != 1 || w[0].Part != gateway.Fresh {
		t.Errorf("with new mail %v is claimed, want that", w)
	}
}

// TestReopen: an operator's request opens a closed destination.
func TestReopen(t *testing.T) {
	b := newTable(t)
	b.arrived("dead.example", dawn)
	for range 20 {
		now := dawn.Add(b.sleep(dawn))
		b.begin(now)
		b.end(now, now, attemptResult{down: true})
	}
	if b.begin(dawn) != 0 {
		t.Fatal("the destination is open, want it closed")
	}
	b.reopen("dead.example", dawn)
	if n := b.begin(dawn); n == 0 {
		t.Error("begun none after it was reopened")
	}
}

// TestRecoveredIsNotAside: mail that waits for a slot of the trials stops waiting when
// its gateway has answered, because it is no longer a trial.
func TestRecoveredIsNotAside(t *testing.T) {
	b := newTable(t)
	l := b.at("b.example", dawn)
	l.health = ill
	b.slots.held[trial][1], b.slots.atLimit[trial][1] = fairShare(trial), true
	b.due(gateway.Waiting{Destination: "b.example", Due: dawn, Fresh: true}, dawn)
	b.park(&l.fresh, reason{flow: 1, class: trial})
	if w := b.wanted(dawn); len(w) != 0 {
		t.Fatalf("%v is claimed for a flow that is full, want nothing", w)
	}
	f := leasedJob{Job: gateway.Job{Destination: "b.example", Flow: 1}, part: gateway.Tried, class: again}
	b.slots.take(&f)
	l.tried.count(&f, 1)
	b.finish(&attemptResult{leasedJob: f, began: dawn, tried: true}, dawn.Add(time.Second))
	if w := b.wanted(dawn.Add(time.Second)); len(w) != 1 || w[0].Part != gateway.Fresh {
		t.Errorf("after a success %v is claimed, want the new mail", w)
	}
}

// TestOneHostTwoFates: destinations that do not answer use up the slots of their
// address only for others whose health is not good.
func TestOneHostTwoFates(t *testing.T) {
	b := newTable(t)
	b.slots.hosts["192.0.2.1:443"] = &host{ill: true, others: hostWidth}
	for d, h := range map[gateway.Destination]health{"well.example": well, "new.example": unknown, "ill.example": ill} {
		l := b.at(d, dawn)
		l.health, l.host = h, "192.0.2.1:443"
		b.due(gateway.Waiting{Destination: d, Due: dawn, Fresh: true}, dawn)
		b.due(gateway.Waiting{Destination: d, Due: dawn}, dawn)
	}
	if w := b.wanted(dawn); len(w) != 1 || w[0].Destination != "well.example" {
		t.Fatalf("%v is claimed, want new mail of the one that is well", w)
	}
	b.slots.hosts["192.0.2.1:443"] = &host{ill: true, well: maxWindow}
	if w := b.wanted(dawn); len(w) == 0 || isClaimed(w, b.all["well.example"]) {
		t.Errorf("with many attempts at a healthy gateway %v is claimed, want the others", w)
	}
}

// TestManyDestinations: one claim is for a bounded number of destinations and jobs, and
// memory for destinations is bounded. A new destination replaces one that has nothing
// to do, or waits, or whose mail failed before. The cost of that does not grow.
func TestManyDestinations(t *testing.T) {
	name := func(i int) gateway.Destination { return gateway.Destination(fmt.Sprintf("d%d.example", i)) }
	for what, w := range map[string]gateway.Waiting{
		"with mail that failed":         {Due: dawn},
		"with mail that waits":          {Due: dawn.Add(time.Hour)},
		"with new mail that was thrown": {Due: dawn.Add(time.Hour), Fresh: true},
	} {
		t.Run(what, func(t *testing.T) {
			b := newTable(t)
			for i := range maxDestinations {
				w.Destination = name(i)
				if !b.due(w, dawn) {
					t.Fatalf("there is no room for destination %d", i)
				}
			}
			for i := range maxDestinations {
				w.Destination = name(maxDestinations + i)
				if fits := b.due(w, dawn); fits != w.Due.After(dawn) {
					t.Fatalf("beyond the bound one more that is due at %v fits: %v", w.Due, fits)
				}
			}
			if len(b.all) != maxDestinations {
				t.Fatalf("%d destinations, want %d", len(b.all), maxDestinations)
			}
			for _, alive := range []gateway.Destination{"alive.example", "well.example"} {
				b.arrived(alive, dawn)
				if w := b.wanted(dawn); len(w) == 0 || w[0].Destination != alive || len(w) > perClaim {
					t.Fatalf("asked for %d destinations, want %s before others, and %d at most", len(w),
						alive, perClaim)
				}
			}
			if len(b.all) != maxDestinations {
				t.Errorf("%d destinations, want %d", len(b.all), maxDestinations)
			}
		})
	}
	t.Run("with nothing to do", func(t *testing.T) {
		b := newTable(t)
		for i := range maxDestinations {
			b.arrived(name(i), dawn)
		}
		for w := b.wanted(dawn); len(w) > 0; w = b.wanted(dawn) {
			if len(w) > perClaim {
				t.Fatalf("%d destinations in one claim, want %d at the most", len(w), perClaim)
			}
			b.noteClaims(w, nil, dawn)
		}
		now := dawn.Add(2 * time.Second)
		for w := b.wanted(now); len(w) > 0; w = b.wanted(now) {
			b.noteClaims(w, nil, now)
		}
		b.arrived("new.example", now)
		if w := b.wanted(now); len(w) != 1 || w[0].Destination != "new.example" {
			t.Errorf("with %d destinations that have nothing to do, a new one is not claimed for: %v",
				maxDestinations, w)
		}
		if b.forget(now.Add(time.Hour)); len(b.all) != 1 {
			t.Errorf("%d destinations are kept, want that of the one that is asked for", len(b.all))
		}
	})
}
