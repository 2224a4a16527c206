package access

import (
	"net/netip"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/cache"
)

// Bounds on guessing. An agent's key has 256 bits, so they only keep guesses cheap for
// the gateway; the right key is never delayed. A short admin key that a person chose is
// not compared while its address has to wait.
const (
	failuresPerMinute = 10
	addressesWatched  = 4096 // beyond that, addresses that failed once are removed first
)

// Failures counts wrong keys by the address that sent them.
type Failures struct {
	mu      sync.Mutex
	windows *cache.Cache[netip.Prefix, window]
}

type window struct {
	start time.Time
	count int
}

// over reports whether the window's minute is over, or the clock was set back behind it.
func (w window) over(now time.Time) bool { return now.Sub(w.start).Abs() >= time.Minute }

// NewFailures returns an empty Failures.
func NewFailures() *Failures {
	return &Failures{windows: cache.New[netip.Prefix, window](addressesWatched)}
}

// Count counts one wrong key from the address. It returns how long the address has to
// wait, 0 while it is within the limit of its minute.
func (f *Failures) Count(ip string, now time.Time) time.Duration {
	prefix := NetworkOf(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.windows.Get(prefix)
	if !ok || w.over(now) {
		w = window{start: now}
	}
	w.count++
	f.windows.Set(prefix, w)
	if w.count <= failuresPerMinute {
		return 0
	}
	return w.start.Add(time.Minute).Sub(now)
}

// Over reports whether the address has used up the limit of its minute.
func (f *Failures) Over(ip string, now time.Time) bool {
	prefix := NetworkOf(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.windows.Get(prefix)
	return ok && w.count > failuresPerMinute && !w.over(now)
}
