package storetest

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// GrowthBound is the bound of a store that is opened for RunGrowth: one call of a list
// counts at most so many matches, and examines at most so many rows and agents. It is
// less than the smaller of the two stores holds.
const GrowthBound = 20

// How many of every thing the two stores hold, and how many times more work or
// allocated bytes an operation may cost at the larger one. The fixed cost of every call
// is not counted.
const (
	growthSmall = 25
	growthLarge = 20 * growthSmall
	growthRatio = 4
	slackSteps  = 600
	slackBytes  = 96 << 10
)

// Meter measures the work of a store. It counts no time, so it is the same on a slow
// machine.
type Meter struct {
	Filled func()       // called once, when the store is filled; nil does nothing
	Work   func() int64 // rows read, or steps taken, by its database up to now
}

// RunGrowth is the growth gate. It does every operation of a store that holds N of
// every thing and of one that holds 20 N, and compares the work. An operation may cost
// four times as much, as a list may whose page ends at a bound. Or its cost follows the
// size of its result, and its row says so. A method without a row in the table is an
// error, and so is a condition of a list that no row sets.
//
// open returns an empty store with the bound GrowthBound, and its meter.
func RunGrowth(t *testing.T, open func(t *testing.T) (gateway.Store, Meter)) {
	every := operations()
	t.Run("every operation has a row", func(t *testing.T) { everyMethod(t, every) })
	t.Run("every condition has a row", everyCondition)
	small, large := measure(t, open, growthSmall), measure(t, open, growthLarge)
	for i, op := range every {
		s, l := small[i], large[i]
		t.Run(op.method+" "+op.what, func(t *testing.T) {
			ratio, why := int64(growthRatio), "a page that ends at a bound"
			if op.all {
				ratio, why = 2*growthLarge/growthSmall, "all that it is asked for"
			}
			if l.steps > ratio*s.steps+slackSteps {
				t.Errorf("%d steps beside %d of everything and %d beside %d, want %d times as many at the most: %s",
					s.steps, growthSmall, l.steps, growthLarge, ratio, why)
			}
			if l.bytes > ratio*s.bytes+slackBytes {
				t.Errorf("%d bytes beside %d of everything and %d beside %d, want %d times as many at the most: %s",
					s.bytes, growthSmall, l.bytes, growthLarge, ratio, why)
			}
		})
	}
}

// operation is one way to use a store.
type operation struct {
	method string // of gateway.Store
	what   string
	all    bool // the operation returns, or changes, all of something
	do     func(*grown) error
}

// cost is what an operation used.
type cost struct{ steps, bytes int64 }

func measure(t *testing.T, open func(*testing.T) (gateway.Store, Meter), n int) []cost {
	t.Helper()
	store, meter := open(t)
	g := fill(t, store, n)
	if t.Failed() {
		t.FailNow()
	}
	if meter.Filled != nil {
		meter.Filled()
	}
	var list []cost
	for _, op := range operations() {
		var before, after runtime.MemStats
		steps := meter.Work()
		runtime.ReadMemStats(&before)
		err := op.do(g)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s %s, beside %d of everything: %v", op.method, op.what, n, err)
		}
		list = append(list, cost{meter.Work() - steps, int64(after.TotalAlloc - before.TotalAlloc)})
	}
	return list
}

// noWork are the methods that wait, or that read only a word of memory.
var noWork = []string{"Watch", "Work", "Paused", "Now", "Clock", "Failed", "Failure", "Close"}

func everyMethod(t *testing.T, every []operation) {
	contract := reflect.TypeFor[gateway.Store]()
	for i := range contract.NumMethod() {
		name := contract.Method(i).Name
		if !slices.Contains(noWork, name) && !slices.ContainsFunc(every,
			func(op operation) bool { return op.method == name }) {
			t.Errorf("%s has no row in the table of operations (growth_table.go): add one with a full store",
				name)
		}
	}
}

// everyCondition checks that some row sets each member of a filter.
func everyCondition(t *testing.T) {
	g := &grown{world: &world{tester: t}, n: growthSmall}
	covered(t, g.messageFilters())
	covered(t, g.inboxFilters())
	covered(t, g.takeFilters())
	covered(t, g.searchFilters())
	covered(t, g.jobFilters())
	covered(t, g.deadFilters())
	covered(t, g.agentFilters())
}

func covered[F any](t *testing.T, filters []named[F]) {
	kind := reflect.TypeFor[F]()
	for i := range kind.NumField() {
		set := func(f named[F]) bool { return !reflect.ValueOf(f.filter).Field(i).IsZero() }
		if !slices.ContainsFunc(filters, set) {
			t.Errorf("no row of the table sets %s.%s (growth_table.go)", kind.Name(), kind.Field(i).Name)
		}
	}
}

// named is a filter with the question that it asks.
type named[F any] struct {
	what   string
	filter F
}

// each makes an operation of every filter.
func each[F any](method string, filters func(*grown) []named[F], do func(*grown, F) error) (list []operation) {
	for i, f := range filters(&grown{world: &world{tester: quiet{}}, n: growthSmall}) {
		list = append(list, operation{method: method, what: f.what,
			do: func(g *grown) error { return do(g, filters(g)[i].filter) }})
	}
	return list
}

// quiet is a testing.TB of no test.
type quiet struct{}

func (quiet) Helper()             {}
func (quiet) Logf(string, ...any) {}

func (quiet) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
