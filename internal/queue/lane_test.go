package queue

import (
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

var dawn = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// begin has the lanes claim whatever they want at now, as a store that always
// has more.
func begin(t *testing.T, ls *lanes, now time.Time) int {
	t.Helper()
	wanted := ls.wanted(now, maxLeased)
	got := make([]gateway.Claimed, len(wanted))
	n := 0
	for i, w := range wanted {
		got[i] = gateway.Claimed{Destination: w.Destination, Jobs: make([]gateway.Job, w.Limit), Next: now}
		n += w.Limit
	}
	ls.claimed(wanted, got, now)
	return n
}

// TestSlowStart: a destination gets one attempt, and twice as many with every
// round of successes up to the widest.
func TestSlowStart(t *testing.T) {
	ls := newLanes()
	ls.due("b.example", dawn, dawn)
	now := dawn
	for _, want := range []int{1, 2, 4, 8, 16, 32, 64, 128, 192, 192} {
		if got := begin(t, &ls, now); got != want {
			t.Fatalf("begun %d attempts, want %d", got, want)
		}
		for range want {
			ls.finish(finished{destination: "b.example", began: now, tried: true}, now.Add(time.Millisecond))
		}
		now = now.Add(time.Second)
	}
}

// TestClaimsInBulk: a busy destination is claimed for when a quarter of its
// attempts is free, and not for every single one.
func TestClaimsInBulk(t *testing.T) {
	l := &lane{destination: "b.example", window: 32, flying: 32, next: dawn}
	for free := range 8 {
		if _, wants := l.ready(); wants {
			t.Errorf("with %d of 32 attempts free it wants to claim, want 8 to be free", free)
		}
		l.flying--
	}
	if _, wants := l.ready(); !wants {
		t.Error("with 8 of 32 attempts free it does not want to claim")
	}
}

// TestDeadDestination: after five failures in a row a destination is tried with
// one attempt, at growing distances of a minute at most, and begins slowly when
// it is back.
func TestDeadDestination(t *testing.T) {
	ls := newLanes()
	ls.due("dead.example", dawn, dawn)
	now, tries := dawn, 0
	for now.Before(dawn.Add(time.Hour)) {
		n := begin(t, &ls, now)
		for range n {
			ls.finish(finished{destination: "dead.example", began: now, tried: true, down: true}, now)
		}
		tries += n
		if n > 1 {
			t.Fatalf("%d attempts at once at a destination that never answered", n)
		}
		now = now.Add(max(ls.sleep(now), time.Millisecond))
	}
	if tries < 60 || tries > 80 {
		t.Errorf("%d attempts in an hour, want about one a minute", tries)
	}
	if n := begin(t, &ls, now.Add(time.Minute)); n != 1 {
		t.Fatalf("%d attempts as a probe, want 1", n)
	}
	ls.finish(finished{destination: "dead.example", began: now, tried: true}, now)
	if n := begin(t, &ls, now.Add(time.Minute)); n != 2 {
		t.Errorf("%d attempts after the first success, want 2", n)
	}
}

// TestFailuresTogether: attempts that were under way at the same time and fail
// together count once.
func TestFailuresTogether(t *testing.T) {
	l := &lane{destination: "b.example", window: 32, flying: 32}
	for range 32 {
		l.finish(finished{began: dawn, tried: true, down: true}, dawn.Add(time.Second))
	}
	if l.failures != 1 || l.window != 16 || l.closed.After(dawn) {
		t.Errorf("32 failures at once: %d counted, window %d, closed %v; want 1, 16 and open", l.failures, l.window, l.closed)
	}
}

// TestPause: a destination that asks for silence gets it, a day at the most.
func TestPause(t *testing.T) {
	for pause, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 1000 * time.Hour: 24 * time.Hour} {
		ls := newLanes()
		ls.due("b.example", dawn, dawn)
		begin(t, &ls, dawn)
		ls.finish(finished{destination: "b.example", began: dawn, tried: true, down: true, pause: pause, due: dawn.Add(time.Second)}, dawn)
		if n := begin(t, &ls, dawn.Add(want-time.Second)); n != 0 {
			t.Errorf("asked for %v: an attempt was begun before %v", pause, want)
		}
		if n := begin(t, &ls, dawn.Add(want)); n != 1 {
			t.Errorf("asked for %v: no attempt after %v", pause, want)
		}
	}
}

// TestReopen: an operator's wish opens a closed lane.
func TestReopen(t *testing.T) {
	ls := newLanes()
	ls.due("dead.example", dawn, dawn)
	for range 20 {
		now := dawn.Add(ls.sleep(dawn))
		for range begin(t, &ls, now) {
			ls.finish(finished{destination: "dead.example", began: now, tried: true, down: true}, now)
		}
	}
	if begin(t, &ls, dawn) != 0 {
		t.Fatal("the lane is open, want it closed")
	}
	ls.reopen("dead.example", dawn)
	if n := begin(t, &ls, dawn); n != 1 {
		t.Errorf("begun %d after it was reopened, want 1", n)
	}
}

// TestManyDestinations: one claim asks for a bounded number of destinations and
// jobs; the rest come next; memory for destinations is bounded.
func TestManyDestinations(t *testing.T) {
	ls := newLanes()
	for i := range maxLanes + 100 {
		ls.due(gateway.PushTo(gateway.AgentID(i)), dawn, dawn)
	}
	if len(ls.all) != maxLanes {
		t.Fatalf("%d lanes, want %d", len(ls.all), maxLanes)
	}
	seen := make(map[gateway.Destination]bool)
	for len(seen) < maxLanes {
		wanted := ls.wanted(dawn, maxLeased)
		if len(wanted) == 0 || len(wanted) > perClaim {
			t.Fatalf("%d destinations in one claim, want 1 to %d", len(wanted), perClaim)
		}
		for _, w := range wanted {
			seen[w.Destination] = true
		}
		ls.claimed(wanted, nil, dawn)
	}
	ls.due("new.example", dawn, dawn)
	if w := ls.wanted(dawn, maxLeased); len(w) != 1 || w[0].Destination != "new.example" {
		t.Errorf("with %d lanes that have nothing to do, a new destination is not asked for: %v", maxLanes, w)
	}
	if ls.forget(dawn.Add(time.Hour)); len(ls.all) != 1 {
		t.Errorf("%d lanes are kept, want that of the one that is asked for", len(ls.all))
	}
}

// TestWaitingLanesMakeRoom: destinations that wait for their next try do not keep
// out one that is due.
func TestWaitingLanesMakeRoom(t *testing.T) {
	ls := newLanes()
	for i := range maxLanes {
		ls.due(gateway.PushTo(gateway.AgentID(i)), dawn.Add(time.Hour), dawn)
	}
	ls.due("alive.example", dawn, dawn)
	if w := ls.wanted(dawn, maxLeased); len(w) != 1 || w[0].Destination != "alive.example" {
		t.Errorf("asked for %v, want alive.example", w)
	}
	if len(ls.all) != maxLanes || len(ls.order) != maxLanes-1 {
		t.Errorf("%d lanes, %d of them in order; want %d and all but the one asked for", len(ls.all), len(ls.order), maxLanes)
	}
}
