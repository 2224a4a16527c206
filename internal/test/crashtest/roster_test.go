package crashtest

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

// TestTheRosterFindsEveryBrokenPromise: each case is a story in which the gateway did one
// thing wrong with leases or with a deadline.
func TestTheRosterFindsEveryBrokenPromise(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	lease := func(r *Roster, attempt, from, until int) {
		r.Claimed(bob, "m", attempt, Leased{Token: strings.Repeat("t", attempt), From: at(from), Until: at(until)})
	}
	ask := func(r *Roster) {
		r.ledger.Attempt("q", []amtp.Address{bob}, nil)
		r.Asked("q-1", noon)
		r.ledger.Accepted("q", "q-1", false)
	}
	none, one := map[amtp.MessageID]int{}, map[amtp.MessageID]int{"q-1": 1}
	for _, c := range []struct {
		name, want string // "" for a story without a fault
		notices    map[amtp.MessageID]int
		story      func(*Roster)
	}{
		{"one after the other", "", none, func(r *Roster) { lease(r, 1, 0, 5); lease(r, 3, 5, 9) }},
		{"given back", "", none, func(r *Roster) { lease(r, 1, 0, 5); r.Returned(bob, "m", 1); lease(r, 2, 1, 6) }},
		{"two at once", "two live leases", none, func(r *Roster) { lease(r, 1, 0, 5); lease(r, 2, 4, 9) }},
		{"one attempt twice", "twice as attempt 1", none, func(r *Roster) { lease(r, 1, 0, 5); lease(r, 1, 6, 9) }},
		{"one token twice", "the same token", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			r.Claimed(bob, "m", 2, Leased{Token: "t", From: at(5), Until: at(9)})
		}},
		{"finished", "", none, func(r *Roster) { lease(r, 1, 0, 5); r.Finished(bob, "m", 1, 1, 1, at(2)) }},
		{"finished again, late", "", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			r.Finished(bob, "m", 1, 1, 1, at(2))
			r.Finished(bob, "m", 1, 1, 1, at(9))
		}},
		{"finished too late", "after the end of its lease", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			r.Finished(bob, "m", 1, 1, 1, at(6))
		}},
		{"finished under an earlier lease", "after attempt 2 began", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			lease(r, 2, 5, 9)
			r.Finished(bob, "m", 1, r.Newest(bob, "m"), 1, at(4))
		}},
		{"finished by two", "and then under attempt 2", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			r.Finished(bob, "m", 1, 1, 1, at(4))
			lease(r, 2, 5, 9)
			r.Finished(bob, "m", 2, 2, 1, at(6))
		}},
		{"finished after it was given back", "which was given back", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			r.Returned(bob, "m", 1)
			r.Finished(bob, "m", 1, 1, 1, at(2))
		}},
		{"refused after its end", "", none, func(r *Roster) { lease(r, 1, 0, 5); r.Refused(bob, "m", 1, 1, at(6)) }},
		{"refused before its end", "before its end", none, func(r *Roster) {
			lease(r, 1, 0, 5)
			r.Refused(bob, "m", 1, 1, at(4))
		}},
		{"a notice", "", one, ask},
		{"no notice", "there is no notice", none, ask},
		{"two notices", "there are 2 notices", map[amtp.MessageID]int{"q-1": 2}, ask},
		{"a notice about an answered question", "answered in time", one, func(r *Roster) {
			ask(r)
			r.Answering("q-1")
			r.Answered("q-1", at(-1))
		}},
		{"a notice before the answer", "", one, func(r *Roster) {
			ask(r)
			r.Answering("q-1")
			r.Answered("q-1", at(1))
		}},
		{"a notice about nothing", "has no deadline", one, func(*Roster) {}},
	} {
		l := NewLedger()
		r := NewRoster(l)
		c.story(r)
		r.Settle(c.notices)
		faults := strings.Join(l.faults, "\n")
		if c.want == "" && faults != "" || !strings.Contains(faults, c.want) {
			t.Errorf("%s: faults = %q, want %q", c.name, faults, c.want)
		}
	}
}
