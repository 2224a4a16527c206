package sim

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	onlySeed  = flag.Uint64("seed", 0, "run the simulation of this seed only, and print its trace")
	firstSeed = flag.Uint64("first", 1, "the first of the seeds to run")
	seedCount = flag.Uint64("seeds", defaultSeeds, "how many seeds to run")
)

// TestSeeds runs the simulations of many seeds, or that of -seed.
func TestSeeds(t *testing.T) {
	prepare(t)
	if *onlySeed != 0 {
		for _, fault := range simulate(t, seed(*onlySeed), os.Stdout).faults {
			t.Error(fault)
		}
		return
	}
	seeds := *seedCount
	if testing.Short() {
		seeds = min(seeds, 10)
	}
	c := campaign{next: seed(*firstSeed), left: seeds, counts: make(map[string]int)}
	t.Run("all", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				c.work(t)
			})
		}
	})
	for _, kind := range slices.Sorted(maps.Keys(c.counts)) {
		t.Logf("%8d %s", c.counts[kind], kind)
	}
	if seeds >= defaultSeeds && !t.Failed() {
		for _, kind := range expected {
			if c.counts[kind] == 0 {
				t.Errorf("no simulation had %s, so they test less than they should", kind)
			}
		}
	}
}

// expected are events that must happen in some simulation of a hundred.
var expected = slices.Concat(troubleNames[refused:], []string{
	"acknowledgements", "acknowledgements under a lease", "answers that arrived", "attempts that ended after their lease", "cancellations", "claims", "clocks set",
	"deliveries", "failures by cancellation", "failures of the disk",
	"failures told", "kills", "leases extended", "leases refused", "letters accepted", "letters claimed again", "letters given back",
	"letters refused", "notices that no answer came", "purges",
	"questions to DNS without an answer", "redrives",
	"repeats recognised", "replies", "sends without an answer", "starts that failed",
	"workers that vanished",
})

// campaign is a run of many simulations.
type campaign struct {
	mu     sync.Mutex
	next   seed
	left   uint64
	failed int
	counts map[string]int
}

// tooMany is the number of failed seeds after which no more seeds are run.
const tooMany = 5

// take returns the next seed, false when there is none.
func (c *campaign) take() (seed, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 || c.failed >= tooMany {
		return 0, false
	}
	c.left--
	c.next++
	return c.next - 1, true
}

// work runs simulations one after the other.
func (c *campaign) work(t *testing.T) {
	for n, ok := c.take(); ok; n, ok = c.take() {
		r := simulate(t, n, nil)
		c.mu.Lock()
		for kind, count := range r.trace.counts {
			c.counts[kind] += count
		}
		if len(r.faults) > 0 {
			c.failed++
			t.Errorf("seed %d: %s\nto repeat it: go test ./internal/test/sim -run TestSeed -seed %d\n%s",
				n, strings.Join(r.faults, "\n    and: "), n, r.trace.all())
		}
		c.mu.Unlock()
	}
}

// TestReplay runs seeds again: the same events happen at the same times. Between events
// that are due at the same moment the scheduler chooses. Its choice shifts later events
// by less than a microsecond, which is the precision of a store's times. For a few
// seeds that decides whether a message waits for a poll of the queue. Such a seed has a
// few forms, each of which comes again.
func TestReplay(t *testing.T) {
	prepare(t)
	const forms, rare = 6, 50
	several := 0
	last := seed(replays)
	if testing.Short() {
		last = 2
	}
	for n := seed(1); n <= last; n++ {
		met := [][]event{simulate(t, n, nil).trace.events}
		var other []string
		for range forms {
			events := simulate(t, n, nil).trace.events
			again := func(earlier []event) bool { return len(differences(earlier, events)) == 0 }
			if slices.ContainsFunc(met, again) {
				break
			}
			other = append(other, differences(met[0], events)...)
			met = append(met, events)
		}
		if len(met) > 1 {
			several++
			t.Logf("seed %d has %d forms: %s", n, len(met), strings.Join(other, "\n    "))
		}
		if len(met) > forms {
			t.Errorf("seed %d was run %d times, and no two runs were the same", n, len(met))
		}
	}
	if several > max(replays/rare, 1) {
		t.Errorf("%d of %d seeds have several forms, want at most one in %d", several, replays, rare)
	}
}

// differences returns the events that are in only one of two lists.
func differences(first, second []event) (list []string) {
	const moment = time.Millisecond
	left := make(map[string][]time.Duration)
	for _, e := range second {
		left[e.what] = append(left[e.what], e.at)
	}
	for _, e := range first {
		times := left[e.what]
		if len(times) == 0 || (times[0]-e.at).Abs() > moment {
			list = append(list, "only once there is "+e.String())
			continue
		}
		left[e.what] = times[1:]
	}
	for what, times := range left {
		for _, at := range times {
			list = append(list, "only once there is "+event{at, what}.String())
		}
	}
	return list
}
