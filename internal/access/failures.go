package access

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds on guessing. An agent's key has 256 bits, so this only keeps guessers from
// costing anything; whoever shows the right one is never held up. An admin key that
// somebody chose and that is short is not looked at meanwhile.
const (
	failuresPerMinute = 10
	addressesWatched  = 4096 // beyond that some window is forgotten
)

// Failures counts wrong keys by the address that showed them.
type Failures struct {
	mu      sync.Mutex
	windows map[netip.Prefix]*window
	swept   time.Time // when what is over was last forgotten
}

type window struct {
	start time.Time
	count int
}

// Count notes one wrong key from the address and returns how long it has to
// wait, 0 while it has not used up its minute.
func (f *Failures) Count(ip string, now time.Time) time.Duration {
	prefix := NetworkOf(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.windows == nil {
		f.windows = make(map[netip.Prefix]*window)
	}
	w := f.windows[prefix]
	if w == nil || now.Sub(w.start).Abs() >= time.Minute { // a clock may go back
		f.makeRoom(now)
		w = &window{start: now}
		f.windows[prefix] = w
	}
	if w.count++; w.count <= failuresPerMinute {
		return 0
	}
	return w.start.Add(time.Minute).Sub(now)
}

// Over reports whether the address has used up its minute.
func (f *Failures) Over(ip string, now time.Time) bool {
	prefix := NetworkOf(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.windows[prefix]
	return w != nil && w.count > failuresPerMinute && now.Sub(w.start).Abs() < time.Minute
}

// makeRoom forgets what is over, at most once a second, and any one more when
// that was not enough.
func (f *Failures) makeRoom(now time.Time) {
	if len(f.windows) < addressesWatched {
		return
	}
	if now.Sub(f.swept).Abs() >= time.Second {
		f.swept = now
		for prefix, w := range f.windows {
			if now.Sub(w.start).Abs() >= time.Minute {
				delete(f.windows, prefix)
			}
		}
	}
	for prefix := range f.windows {
		if len(f.windows) >= addressesWatched {
			delete(f.windows, prefix)
		}
		return
	}
}
