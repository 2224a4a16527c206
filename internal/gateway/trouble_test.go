package gateway_test

import (
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

const day = 24 * time.Hour

// life makes attempts at a parcel, at the times that their settlements give, until no
// recipient is left or the time is over.
type life struct {
	*gateway.Parcel
	now   time.Time
	made  map[gateway.DeliveryID]int            // attempts at each recipient
	ended map[gateway.DeliveryID]gateway.Result // the decisions
	at    map[gateway.DeliveryID]time.Duration  // the times of the decisions, since the first attempt
}

func newLife(recipients ...gateway.DeliveryID) *life {
	return &life{Parcel: parcel(recipients...), now: dawn, made: make(map[gateway.DeliveryID]int),
		ended: make(map[gateway.DeliveryID]gateway.Result), at: make(map[gateway.DeliveryID]time.Duration)}
}

// run makes the attempts. carry returns the outcome for a recipient; nil means that the
// attempt did not reach it.
func (l *life) run(until time.Duration, carry func(d gateway.DeliveryID, since time.Duration) *gateway.Outcome) {
	for len(l.Recipients) > 0 && l.now.Sub(dawn) <= until {
		l.Attempts++
		var c gateway.Carriage
		part := l.Now(l.now)
		for _, r := range part.Recipients {
			if o := carry(r.ID, l.now.Sub(dawn)); o != nil {
				l.made[r.ID]++
				o.Delivery = r.ID
				c.Outcomes = append(c.Outcomes, *o)
			}
		}
		s := l.Settle(c, l.now)
		for _, r := range s.Results {
			l.ended[r.Delivery], l.at[r.Delivery] = r, l.now.Sub(dawn)
		}
		var left []gateway.Delivery
		for _, r := range l.Recipients {
			if _, decided := l.ended[r.ID]; !decided {
				left = append(left, r)
			}
		}
		l.Recipients, l.Code, l.Reason, l.Since, l.Same, l.Troubles = left, s.Code, s.Reason, s.Since,
			s.Same, s.Troubles
		l.now = s.Due.Truncate(time.Microsecond) // as it is stored
	}
}

// TestEachHasItsOwnPatience: recipients with different troubles use up the patience
// with their own, in whatever order the troubles occur.
func TestEachHasItsOwnPatience(t *testing.T) {
	denied := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeAccessDenied,
		Patience: gateway.Patience{For: day}}
	unavailable := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable,
		Patience: gateway.Patience{For: day}}
	outage := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable}
	limited := outage
	limited.RetryAfter = day
	type meets = func(since time.Duration) *gateway.Outcome
	of := func(o gateway.Outcome) meets {
		return func(time.Duration) *gateway.Outcome { return &o }
	}
	turns := 0
	for name, c := range map[string]struct {
		told  []meets         // by recipient
		ends  []time.Duration // about when each is given up, 0 for never within three days
		event gateway.Event
	}{
		"two with different troubles": {told: []meets{of(denied), of(unavailable)},
			ends: []time.Duration{day, day}},
		"one beside an outage": {told: []meets{of(denied), of(outage)},
			ends: []time.Duration{day, 0}},
		"one beside one that waits a day": {told: []meets{of(denied), of(limited)},
			ends: []time.Duration{day, 0}},
		"one that waits a day, with its patience": {
			told: []meets{of(limited), of(denied), of(unavailable)},
			ends: []time.Duration{0, day, day}},
		"a trouble that ends and begins again": {told: []meets{of(denied),
			func(since time.Duration) *gateway.Outcome {
				if since > 12*time.Hour && since < 16*time.Hour {
					return &outage
				}
				return &unavailable
			}}, ends: []time.Duration{day, 40 * time.Hour}},
		"one that has no turn now and then": {told: []meets{func(time.Duration) *gateway.Outcome {
			if turns++; turns%3 == 0 {
				return nil
			}
			return &denied
		}, of(unavailable)}, ends: []time.Duration{day, day}},
	} {
		t.Run(name, func(t *testing.T) {
			var ids []gateway.DeliveryID
			for i := range c.told {
				ids = append(ids, gateway.DeliveryID(i+1))
			}
			l := newLife(ids...)
			l.run(3*day, func(d gateway.DeliveryID, since time.Duration) *gateway.Outcome {
				o := c.told[d-1](since)
				if o == nil {
					return nil
				}
				return new(*o)
			})
			for i, want := range c.ends {
				r, ended := l.ended[ids[i]]
				at := l.at[ids[i]]
				if ended != (want > 0) || ended && (r.Event != gateway.Refuse || at < want || at > want+4*time.Hour) {
					t.Errorf("recipient %d: %v after %v, ended %v; want a refusal after about %v", i+1, r.Event,
						at, ended, want)
				}
			}
		})
	}
}

// TestOneWaitsAndOthersDoNot: a recipient that asks for a day's delay gets it, and the
// other recipients are not delayed.
func TestOneWaitsAndOthersDoNot(t *testing.T) {
	l := newLife(1, 2, 3)
	delivered := false
	l.run(2*day+time.Hour, func(d gateway.DeliveryID, since time.Duration) *gateway.Outcome {
		switch {
		case d == 1:
			return &gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, RetryAfter: day}
		case d == 2 && since < 10*time.Second:
			return &gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable}
		case d == 3 && since == 0:
			return nil // the attempt ended before its turn
		}
		delivered = true
		return &gateway.Outcome{Event: gateway.Success}
	})
	if !delivered || l.at[2] > 20*time.Second || l.at[3] > 2*time.Second {
		t.Errorf("the others were delivered after %v and %v, want as their own schedule says", l.at[2], l.at[3])
	}
	if l.made[1] != 3 {
		t.Errorf("%d attempts in two days and an hour at one that asks for a day, want 3", l.made[1])
	}
}

// TestRetimed: only the times in troubles change, those that are present.
func TestRetimed(t *testing.T) {
	later := func(by int64) func(int64) int64 { return func(n int64) int64 { return n + by } }
	for was, want := range map[string]string{
		"": "",
		"7 1000 2 5000 ACCESS_DENIED\n8 0 0 6000 \n":   "7 1001 2 5010 ACCESS_DENIED\n8 0 0 6010 \n",
		"7 1000 2 0 ACCESS_DENIED\n":                   "7 1001 2 0 ACCESS_DENIED\n",
		"no line of troubles\n7 x 2 y ACCESS_DENIED\n": "no line of troubles\n7 x 2 y ACCESS_DENIED\n",
	} {
		if got := gateway.Retimed(was, later(1), later(10)); got != want {
			t.Errorf("the troubles %q become %q, want %q", was, got, want)
		}
	}
}

// TestTroublesThatDoNotRead: a text that is not a line of troubles is ignored and does
// no harm.
func TestTroublesThatDoNotRead(t *testing.T) {
	for _, text := range []string{"x", "1 2 3", "1 2 3 x A\n", "\n\n", "1 2 3 4 5 6\n",
		"99 1 1 9223372036854775807 A\n"} {
		p := parcel(1, 2)
		p.Attempts, p.Troubles = 1, text
		if part := p.Now(dawn); len(part.Recipients) != 2 {
			t.Errorf("%q: %d recipients are tried, want both", text, len(part.Recipients))
		}
		if s := p.Settle(p.All(gateway.Outcome{Event: gateway.Success}), dawn); len(s.Results) != 2 ||
			s.Troubles != "" {
			t.Errorf("%q: settled as %+v, want both delivered", text, s)
		}
	}
}

// TestNow: an attempt that an operator requests goes to the recipients that do not wait
// longer than their job, and to all where there are no others.
func TestNow(t *testing.T) {
	l := newLife(1, 2)
	waits := time.Hour
	l.run(0, func(gateway.DeliveryID, time.Duration) *gateway.Outcome {
		waits *= 2
		return &gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, RetryAfter: waits}
	})
	for _, c := range []struct {
		left  []gateway.Delivery
		after time.Duration
		want  int
	}{{l.Recipients, time.Minute, 1}, {l.Recipients, 3 * time.Hour, 1}, {l.Recipients, 5 * time.Hour, 2},
		{l.Recipients[1:], time.Minute, 1}} {
		p := *l.Parcel
		p.Recipients = c.left
		if part := p.Now(dawn.Add(c.after)); len(part.Recipients) != c.want || part.Recipients[0].ID != c.left[0].ID {
			t.Errorf("of %d recipients %d are tried after %v, want %d", len(c.left), len(part.Recipients),
				c.after, c.want)
		}
	}
}
