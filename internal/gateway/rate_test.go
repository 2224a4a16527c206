package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRate: in any span of time the use is at most the burst and the units that come
// back in the span, whatever the requests are. A caller that waits as long as it is
// told is served.
func TestRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Burst: rapid.Int64Range(1, 1_000_000).Draw(t, "burst"),
			Period: time.Duration(rapid.IntRange(1, 3600).Draw(t, "period")) * time.Second}
		type use struct{ at, n int64 }
		var used []use
		var spent Spent
		now := int64(1_700_000_000_000_000)
		for range rapid.IntRange(1, 60).Draw(t, "uses") {
			now += rapid.Int64Range(0, r.Period.Microseconds()/3).Draw(t, "pause")
			n := rapid.Int64Range(1, r.Burst).Draw(t, "n")
			cost := r.Cost(n)
			wait := r.Wait(spent[0], cost, now)
			if wait > 0 {
				if r.Wait(spent[0], cost, now+wait.Microseconds()) != 0 {
					t.Fatalf("after a wait of %v the use has to wait again", wait)
				}
				if wait > r.Period {
					t.Fatalf("the use has to wait for %v, longer than the period of %v", wait, r.Period)
				}
				continue
			}
			spent = spent.Add([2]int64{cost}, now)
			used = append(used, use{now, n})
		}
		for i := range used {
			sum := int64(0)
			for _, u := range used[i:] {
				sum += u.n
				most := float64(r.Burst) * (1 + float64(u.at-used[i].at)/float64(r.Period.Microseconds()))
				if float64(sum) > most+1e-6*most {
					t.Fatalf("%d were used in %dµs, want at most %.2f of %+v", sum, u.at-used[i].at, most, r)
				}
			}
		}
	})
}

// TestRateAfterAClockWentBack: no use waits for longer than two periods.
func TestRateAfterAClockWentBack(t *testing.T) {
	r := Rate{Burst: 10, Period: time.Minute}
	now := time.Now().UnixMicro()
	spent := Spent{}.Add([2]int64{r.Cost(10)}, now)
	before := now - (300 * 24 * time.Hour).Microseconds()
	if wait := r.Wait(spent[0], r.Cost(1), before); wait > 2*r.Period {
		t.Errorf("after the clock went back by 300 days the use has to wait for %v, want at most two minutes", wait)
	}
	if spent = spent.Add([2]int64{1}, before); spent[0] > before+maxDebt+1 {
		t.Errorf("a use then is %dµs ahead, want at most %d", spent[0]-before, maxDebt)
	}
}

// TestRateBoundsNothing: the zero rate bounds nothing.
func TestRateBoundsNothing(t *testing.T) {
	var r Rate
	if r.Cost(1<<40) != 0 || r.Wait(1<<60, 1<<40, 0) != 0 {
		t.Error("the zero rate bounds something")
	}
}

// TestCostIsBounded: a use larger than the burst is allowed when nothing else is used.
func TestCostIsBounded(t *testing.T) {
	r := Rate{Burst: 10, Period: time.Minute}
	if got := r.Cost(11); got != r.Period.Microseconds() || r.Wait(0, got, 1) != 0 {
		t.Errorf("11 of 10 cost %d, want one period", got)
	}
}
