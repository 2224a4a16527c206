package sim

import (
	"container/heap"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// world is one simulation: two gateways, the agents and operators who use them, and all
// faults.
type world struct {
	t     *testing.T
	seed  seed
	began time.Time
	plan
	sites   []*site
	net     *network
	trace   *trace
	people  []*person // agents, and behind them the shared mailboxes
	writers []*person // the agents
	letter  []*letter // in the order in which they were first written
	healed  atomic.Bool

	todo     agenda
	order    int           // the number of entries so far, which orders those of one time
	noticed  chan *process // processes with a failed store
	patience time.Time     // when everything must be done
	leased   time.Time     // until when a lease may last
	redrives int

	mu     sync.Mutex
	faults []string // faults of the product
}

// result is the outcome of a simulation.
type result struct {
	seed   seed
	faults []string
	trace  *trace
}

// simulate runs the simulation of a seed to its end. Events are printed to live, unless
// that is nil.
func simulate(t *testing.T, n seed, live io.Writer) (r result) {
	defer func() {
		if cause := recover(); cause != nil { // for example: all goroutines are blocked
			panic(fmt.Sprintf("seed %d: %v", n, cause))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, n, live)
		w.run()
		w.check()
		w.close()
		r = result{seed: n, faults: w.faults, trace: w.trace}
	})
	return r
}

func newWorld(t *testing.T, n seed, live io.Writer) *world {
	w := &world{t: t, seed: n, began: time.Now(), net: newNetwork(), noticed: make(chan *process, 16)}
	w.trace = &trace{began: w.began, counts: make(map[string]int), live: live}
	for _, d := range []amtp.Domain{"a.example", "b.example"} {
		s := w.newSite(d)
		w.sites = append(w.sites, s)
		for _, name := range people[d] {
			address := name + "@" + string(d)
			w.people = append(w.people, newPerson(s, address, s.keys[address]))
		}
	}
	w.writers = w.people
	for _, s := range w.sites {
		if name := mailboxes[s.domain]; name != "" {
			var keys []string
			for _, member := range people[s.domain] {
				keys = append(keys, s.keys[member+"@"+string(s.domain)])
			}
			w.people = append(w.people, newPerson(s, name+"@"+string(s.domain), keys...))
		}
	}
	w.draw()
	return w
}

// siteOf returns the site of a domain, nil when there is none.
func (w *world) siteOf(domain string) *site {
	for _, s := range w.sites {
		if string(s.domain) == domain {
			return s
		}
	}
	return nil
}

// fault records a fault of the product.
func (w *world) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace.add("WRONG: %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, text)
}

// notice reports that the store of a process failed.
func (w *world) notice(p *process) { w.noticed <- p }

// entry is something to do at a time.
type entry struct {
	at    time.Time
	order int
	do    func()
}

// agenda is a heap of entries, the earliest on top.
type agenda []entry

func (a agenda) Len() int { return len(a) }

func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].order < a[j].order
	}
	return a[i].at.Before(a[j].at)
}

func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(entry)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

// later schedules do after a duration. Only functions that run from the agenda may call
// it.
func (w *world) later(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.todo, entry{time.Now().Add(d), w.order, do})
}

// run does the entries of the agenda, one after the other. Between two entries
// everything in the gateways that can run without time passing has run.
func (w *world) run() {
	for len(w.todo) > 0 {
		e := w.todo[0]
		if wait := time.Until(e.at); wait > 0 && !w.rest(wait) {
			continue
		}
		heap.Pop(&w.todo)
		e.do()
		synctest.Wait()
	}
}

// rest waits, and returns false when a gateway had to be restarted meanwhile.
func (w *world) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case p := <-w.noticed:
		p.site.failed(p)
		synctest.Wait()
		return false
	case <-timer.C:
		return true
	}
}

// heal repairs everything around the gateways. From here on each gateway has a while
// for its work.
func (w *world) heal() {
	w.trace.add("all is well")
	w.healed.Store(true)
	// Leases end within a minute. Times up to five minutes ahead, which a wrong clock wrote
	// before, are waited for and not corrected.
	w.leased = time.Now().Add(6 * time.Minute)
	for _, s := range w.sites {
		s.clock.jump(0)
		s.disk.Heal()
	}
	const most = 2 * time.Hour
	w.patience = time.Now().Add(most)
	w.later(time.Minute, w.look)
}

// look ends the simulation when no work is left, or when there was time enough for it.
func (w *world) look() {
	if time.Now().Before(w.patience) && w.waits() {
		w.later(time.Minute, w.look)
	}
}

// waits reports whether any work is left.
func (w *world) waits() bool {
	if time.Now().Before(w.leased) {
		return true
	}
	for _, l := range w.letter {
		if !l.answered() {
			return true
		}
	}
	for _, s := range w.sites {
		if jobs, ok := s.jobs(); !ok || len(jobs) > 0 {
			return true
		}
	}
	return false
}

// close ends both gateways and removes their disks.
func (w *world) close() {
	w.net.late.Wait()
	for _, s := range w.sites {
		s.kill(faultfs.Killed) // which is faster than stopping them
		s.remove()
	}
}
