package storetest

import (
	"strconv"
	"sync/atomic"
	"time"
)

// leasing are the promises about work that only one owner may do. The times are near
// the present and further apart than a slow machine needs, because a store may use a
// clock of its own.
func leasing() []promise {
	return []promise{
		{"Hold takes a lease that is free, and the owner's already", leaseTaken},
		{"who does not hold it is told so", leaseRefused},
		{"a lease that ended is free", leaseEnded},
		{"holding it again prolongs it", leaseProlonged},
		{"leases of other names are others", leaseOfAnotherName},
		{"of those who ask at once, one holds it", leaseAtOnce},
		{"Release ends the owner's lease", leaseReleased},
		{"Release of what the owner does not hold changes nothing", leaseOfAnotherOwner},
	}
}

// hold requests the lease from now on, and checks the answer.
func (w *world) hold(name, owner string, length time.Duration, want bool) {
	w.Helper()
	now := time.Now()
	held, err := w.store.Hold(w.ctx, name, owner, now, now.Add(length))
	w.works("Hold", err)
	if held != want {
		w.Errorf("Hold = %v, want %v; lease %s, owner %s", held, want, name, owner)
	}
}

func leaseTaken(w *world) {
	w.hold("purge", "a", time.Hour, true)
	w.hold("purge", "a", time.Hour, true)
}

func leaseRefused(w *world) {
	w.hold("purge", "a", time.Hour, true)
	w.hold("purge", "b", time.Hour, false)
	w.hold("purge", "b", time.Hour, false)
	w.hold("purge", "a", time.Hour, true)
}

func leaseEnded(w *world) {
	w.hold("purge", "a", -time.Hour, true)
	w.hold("purge", "b", time.Hour, true)
	w.hold("purge", "a", time.Hour, false)
}

func leaseProlonged(w *world) {
	w.hold("purge", "a", -time.Hour, true)
	w.hold("purge", "a", time.Hour, true)
	w.hold("purge", "b", time.Hour, false)
	w.hold("purge", "a", -time.Hour, true) // or make it shorter
	w.hold("purge", "b", time.Hour, true)
}

func leaseOfAnotherName(w *world) {
	w.hold("purge", "a", time.Hour, true)
	w.hold("expiry", "b", time.Hour, true)
	w.hold("expiry", "a", time.Hour, false)
}

func leaseAtOnce(w *world) {
	var held atomic.Int64
	now := time.Now()
	together(30, func(i int) {
		got, err := w.store.Hold(w.ctx, "purge", strconv.Itoa(i), now, now.Add(time.Hour))
		w.works("Hold", err)
		if got {
			held.Add(1)
		}
	})
	same(w, "holders", held.Load(), 1)
}

func leaseReleased(w *world) {
	w.hold("purge", "a", time.Hour, true)
	w.works("Release", w.store.Release(w.ctx, "purge", "a"))
	w.hold("purge", "b", time.Hour, true)
}

func leaseOfAnotherOwner(w *world) {
	w.works("Release", w.store.Release(w.ctx, "purge", "a"))
	w.hold("purge", "a", time.Hour, true)
	w.works("Release", w.store.Release(w.ctx, "purge", "b"))
	w.hold("purge", "b", time.Hour, false)
}
