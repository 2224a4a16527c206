package limits

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// How much of a budget a replica may use before the others know. Beyond the first part it
// tells them; beyond the second it waits with the next use. All replicas together use at
// most the rate and an eighth of it for each replica.
const (
	tellAt = 16
	waitAt = 8
)

// Bounds of the exchange with the other replicas.
const (
	tellEvery   = time.Second      // at the latest
	tallyTime   = 5 * time.Second  // for one exchange
	mostTallies = 1000             // in one exchange
	forgetEvery = 10 * time.Minute // how often use that has come back is forgotten
)

// part returns the n-th part of a rate, as the time in which it comes back.
func part(r gateway.Rate, n int64) int64 { return max(r.Period.Microseconds()/n, 1) }

// Run tells the other replicas on the store what this one used, until ctx ends.
func (l *Limits) Run(ctx context.Context) error {
	if l.shared == nil {
		<-ctx.Done()
		return nil
	}
	tick, forget := time.NewTicker(tellEvery), time.NewTicker(forgetEvery)
	defer tick.Stop()
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-forget.C:
			_ = l.shared.ForgetSpent(ctx, l.now()) // the next round does it too
		case <-l.wake:
			l.share()
		case <-tick.C:
			l.share()
		}
	}
}

// wakeRun makes Run exchange at once.
func (l *Limits) wakeRun() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// settle waits until the other replicas know what was used, if too much of it is unknown
// to them. In the usual case it makes no exchange.
func (l *Limits) settle(list []charge) {
	if l.shared == nil || !l.unsettled(list) {
		return
	}
	l.sharing.Lock()
	defer l.sharing.Unlock()
	// Another exchange may have told them meanwhile. If the store has just failed, the
	// callers that wait do not each ask it, because they would wait for one another.
	if l.unsettled(list) && l.now().Sub(l.failed).Abs() >= tellEvery {
		l.exchange()
	}
}

// unsettled reports whether a charge has to wait for the others.
func (l *Limits) unsettled(list []charge) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range list {
		ch := &list[i]
		e := l.tables[ch.class][ch.what].named[ch.of]
		if e == nil {
			continue
		}
		for u, r := range l.rates[ch.class][ch.what] {
			if r.Burst > 0 && e.unsent[u] >= part(r, waitAt) {
				return true
			}
		}
	}
	return false
}

// share tells the other replicas what this one used, and learns what they used. If the
// store does not answer, only the counts known here apply, and the exchange is repeated
// later.
func (l *Limits) share() {
	l.sharing.Lock()
	defer l.sharing.Unlock()
	l.exchange()
}

// exchange is share for a caller that holds l.sharing.
func (l *Limits) exchange() {
	told, list := l.unshared()
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tallyTime) // not a caller's context: others wait as well
	defer cancel()
	all, err := l.shared.Tally(ctx, list, l.now())
	if err != nil {
		l.failed = l.now()
	}
	now := l.now().UnixMicro()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, ch := range told {
		e := ch.entry
		if err != nil || len(all) != len(list) {
			e.unsent[0], e.unsent[1] = e.unsent[0]+list[i].Cost[0], e.unsent[1]+list[i].Cost[1]
			continue
		}
		l.tables[ch.class][ch.what].set(e, all[i].Add(e.unsent, now))
	}
}

// unshared returns the counts that the other replicas do not know yet.
func (l *Limits) unshared() (told []charge, list []gateway.Tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.tables {
		for w := range l.tables[c] {
			k, r := kind{class(c), what(w)}, &l.rates[c][w]
			for _, e := range l.tables[c][w].list {
				if e.unsent[0] < part(r[0], tellAt) && (r[1].Burst == 0 || e.unsent[1] < part(r[1], tellAt)) {
					continue
				}
				told, list = append(told, charge{kind: k, entry: e}),
					append(list, gateway.Tally{Name: k.name(e.name.String()), Cost: e.unsent})
				e.unsent = [2]int64{}
				if len(list) == mostTallies {
					return told, list
				}
			}
		}
	}
	return told, list
}
