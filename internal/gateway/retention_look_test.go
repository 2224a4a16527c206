package gateway

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLookAgain: whatever happens to a message between two looks at it, none of its
// data ends before the second look.
func TestLookAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * day
		}
		r := Retention{Acknowledged: days("acknowledged", 1, 40), Unacknowledged: days("unacknowledged", 1, 200),
			Sent:   days("sent", 1, 40),
			Failed: days("failed", 1, 40), Status: days("status", 9, 400), Keys: days("keys", 9, 30)}
		// as the configuration asks
		r.Status = max(r.Status, r.Acknowledged, r.Unacknowledged, r.Sent, r.Failed, r.Keys)
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		now := start.Add(days("now", 0, 500))
		k := Kept{Body: rapid.Bool().Draw(t, "body")}
		for range rapid.IntRange(1, 4).Draw(t, "deliveries") {
			d := Delivery{Agent: AgentID(rapid.IntRange(0, 1).Draw(t, "agent")),
				Changed: start.Add(days("changed", 0, 500))}
			if d.Changed.After(now) {
				d.Changed = now
			}
			d.State = rapid.SampledFrom([]State{Queued, Delivered, Acknowledged, Failed}).Draw(t, "state")
			if !k.Body && d.State == Queued {
				d.State = Delivered // a waiting delivery has its body
			}
			k.Deliveries = append(k.Deliveries, d)
		}
		for range rapid.IntRange(0, 2).Draw(t, "keys") {
			k.Keys = append(k.Keys, now.Add(-days("used", 0, 100)))
		}
		k.Keys = slices.DeleteFunc(k.Keys, func(used time.Time) bool {
			at, ends := r.KeyEnds(used, k.Deliveries)
			return ends && !at.After(now) // this look has removed it
		})
		again := r.LookAgain(k, now)
		if !again.After(now) {
			t.Fatalf("LookAgain = %v, want a time after %v", again, now)
		}
		if again.After(now.Add(r.longest())) {
			t.Fatalf("LookAgain = %v, want no later than %v after %v", again, r.longest(), now)
		}
		// The changes that an agent, a gateway or an operator makes meanwhile.
		between := now.Add(time.Duration(rapid.Int64Range(0, int64(again.Sub(now))).Draw(t, "between")))
		i := rapid.IntRange(0, len(k.Deliveries)-1).Draw(t, "which")
		d := &k.Deliveries[i]
		switch {
		case d.State == Delivered:
			d.State, d.Changed = Acknowledged, between
		case d.State == Queued, k.Body && d.State == Failed: // it is tried again
			d.State, d.Changed = rapid.SampledFrom([]State{Delivered, Failed}).Draw(t, "end"), between
		}
		open := func(at time.Time, ends bool) bool { return ends && at.After(now) && at.Before(again) }
		if k.Body {
			if at, ends := r.BodyEnds(k.Deliveries); open(at, ends) {
				t.Fatalf("the body ends at %v, and the message is looked at at %v, after a look at %v", at, again, now)
			}
			return
		}
		end, ends := r.StatusEnds(k.Deliveries)
		for _, used := range k.Keys {
			at, ends := r.KeyEnds(used, k.Deliveries)
			if open(at, ends) {
				t.Fatalf("a key ends at %v, and the message is looked at at %v, after a look at %v", at, again, now)
			}
			if at.After(end) {
				end = at // the message waits for its keys
			}
		}
		if open(end, ends) {
			t.Fatalf("the message ends at %v, and the next look is at %v, after a look at %v", end, again, now)
		}
	})
}
