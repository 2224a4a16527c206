package gateway_test

import (
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

var states = []gateway.State{
	gateway.Queued, gateway.Delivering, gateway.Retrying, gateway.Held, gateway.Delivered,
	gateway.Acknowledged, gateway.Failed, gateway.Expired, gateway.Rejected, gateway.Cancelled,
}

var events = []gateway.Event{
	gateway.Claim, gateway.Success, gateway.Postpone, gateway.Refuse, gateway.GiveUp, gateway.Lapse,
	gateway.Hold, gateway.Release, gateway.Reject, gateway.Ack, gateway.Redrive, gateway.Cancel, gateway.Return,
	gateway.PutBack,
}

// no stands for a refused step.
const no gateway.State = 0

// nexts has a row per state and a column per event, in the order of states and events.
var nexts = [][]gateway.State{
	// claim, success, postpone, refuse, give up, lapse, hold, release, reject, ack, redrive, cancel, return, put back
	// queued
	{gateway.Delivering, no, no, no, no, no, gateway.Held, no, no, no, no, gateway.Cancelled, no, no},
	// delivering
	{no, gateway.Delivered, gateway.Retrying, gateway.Failed, gateway.Expired, gateway.Retrying, no, no, no, no, no, no,
		gateway.Queued, no},
	// retrying
	{gateway.Delivering, no, no, no, no, no, no, no, no, no, no, gateway.Cancelled, no, no},
	// held
	{no, gateway.Delivered, no, no, gateway.Expired, no, no, gateway.Queued, gateway.Rejected, no, no,
		gateway.Cancelled, no, no},
	{no, no, no, no, gateway.Expired, no, no, no, gateway.Rejected, gateway.Acknowledged, no, no, no, no}, // delivered
	// acknowledged
	{no, no, no, no, no, no, no, no, no, gateway.Acknowledged, no, no, no, no},
	{no, no, no, no, no, no, no, no, no, no, gateway.Queued, no, no, no},                // failed
	{no, no, no, no, no, no, no, no, no, no, gateway.Queued, no, no, gateway.Delivered}, // expired
	{no, no, no, no, no, no, no, no, no, no, no, no, no, gateway.Delivered},             // rejected
	{no, no, no, no, no, no, no, no, no, no, no, no, no, no},                            // cancelled
}

func TestNext(t *testing.T) {
	for i, from := range states {
		for j, event := range events {
			got, err := gateway.Next(from, event)
			switch want := nexts[i][j]; {
			case want == no && (err == nil || got != from):
				t.Errorf("Next = %v, %v, want %v and an error; state %v, event %v", got, err, from, from, event)
			case want != no && (err != nil || got != want):
				t.Errorf("Next = %v, %v, want %v; state %v, event %v", got, err, want, from, event)
			}
		}
	}
}

func TestNextOfNoState(t *testing.T) {
	for _, event := range append(events, 0, 15) {
		if got, err := gateway.Next(0, event); err == nil {
			t.Errorf("Next = %v, want an error; state 0, event %v", got, event)
		}
	}
}

// The numbers are stored: another release must read them as this one does.
func TestStatesKeepTheirNumbersAndNames(t *testing.T) {
	names := []string{
		"queued", "delivering", "retrying", "held", "delivered",
		"acknowledged", "failed", "expired", "rejected", "cancelled",
	}
	for i, s := range states {
		if int(s) != i+1 || s.String() != names[i] {
			t.Errorf("state is %d %v, want %d %s", s, s, i+1, names[i])
		}
	}
}

func TestEventsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range events {
		if e.String() == "" || seen[e.String()] {
			t.Errorf("event %d is called %q, want a name of its own", e, e)
		}
		seen[e.String()] = true
	}
}

func TestWire(t *testing.T) {
	for _, c := range []struct {
		state  gateway.State
		status amtp.Status
		code   amtp.Code
	}{
		{gateway.Queued, amtp.StatusQueued, ""},
		{gateway.Delivering, amtp.StatusDelivering, ""},
		{gateway.Retrying, amtp.StatusRetrying, ""},
		{gateway.Held, amtp.StatusQueued, ""},
		{gateway.Delivered, amtp.StatusDelivered, ""},
		{gateway.Acknowledged, amtp.StatusDelivered, ""},
		{gateway.Failed, amtp.StatusFailed, ""},
		{gateway.Expired, amtp.StatusFailed, amtp.CodeRecipientUnavailable},
		{gateway.Rejected, amtp.StatusFailed, amtp.CodeAccessDenied},
		{gateway.Cancelled, amtp.StatusFailed, "CANCELLED"},
	} {
		if status, code := c.state.Wire(); status != c.status || code != c.code {
			t.Errorf("Wire = %s, %q, want %s, %q; state %v", status, code, c.status, c.code, c.state)
		}
	}
}

func TestInStatus(t *testing.T) {
	pending := []gateway.State{gateway.Queued, gateway.Delivering, gateway.Retrying, gateway.Held}
	decided := []gateway.State{gateway.Delivered, gateway.Acknowledged, gateway.Failed, gateway.Expired,
		gateway.Rejected, gateway.Cancelled}
	of := func(states ...gateway.State) (list []gateway.Delivery) {
		for _, s := range states {
			list = append(list, gateway.Delivery{State: s})
		}
		return list
	}
	check := func(states []gateway.Delivery, want amtp.Status, in bool) {
		t.Helper()
		if got := gateway.InStatus(states, want); got != in {
			t.Errorf("InStatus = %t, want %t; deliveries %v, status %q", got, in, states, want)
		}
	}
	for _, d := range decided {
		check(of(d), amtp.StatusPending, false)
		check(of(d, gateway.Failed), amtp.StatusPending, false)
		for _, p := range pending {
			check(of(p), amtp.StatusPending, true)
			check(of(d, p), amtp.StatusPending, true)
			check(of(d, p), "", true)
		}
	}
	check(nil, amtp.StatusPending, false)
	check(of(gateway.Acknowledged), amtp.StatusDelivered, true)
	check(of(gateway.Delivered, gateway.Retrying), amtp.StatusRetrying, true)
	check(of(gateway.Delivered), amtp.StatusFailed, false)
	if len(pending)+len(decided) != int(gateway.Cancelled) {
		t.Errorf("the test knows %d states, want all %d", len(pending)+len(decided), gateway.Cancelled)
	}
}

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		states []gateway.State
		want   amtp.Status
	}{
		{nil, amtp.StatusQueued},
		{[]gateway.State{gateway.Queued}, amtp.StatusQueued},
		{[]gateway.State{gateway.Held}, amtp.StatusQueued},
		{[]gateway.State{gateway.Delivering}, amtp.StatusDelivering},
		{[]gateway.State{gateway.Retrying}, amtp.StatusRetrying},
		{[]gateway.State{gateway.Delivered}, amtp.StatusDelivered},
		{[]gateway.State{gateway.Acknowledged}, amtp.StatusDelivered},
		{[]gateway.State{gateway.Delivered, gateway.Acknowledged}, amtp.StatusDelivered},
		{[]gateway.State{gateway.Failed, gateway.Expired, gateway.Rejected, gateway.Cancelled}, amtp.StatusFailed},
		{[]gateway.State{gateway.Delivered, gateway.Failed}, amtp.StatusQueued},
		{[]gateway.State{gateway.Delivered, gateway.Queued}, amtp.StatusQueued},
		{[]gateway.State{gateway.Failed, gateway.Queued}, amtp.StatusQueued},
		{[]gateway.State{gateway.Queued, gateway.Delivering}, amtp.StatusDelivering},
		{[]gateway.State{gateway.Failed, gateway.Delivered, gateway.Delivering}, amtp.StatusDelivering},
		{[]gateway.State{gateway.Delivering, gateway.Retrying}, amtp.StatusRetrying},
		{[]gateway.State{gateway.Failed, gateway.Delivered, gateway.Retrying}, amtp.StatusRetrying},
	} {
		deliveries := make([]gateway.Delivery, len(c.states))
		for i, s := range c.states {
			deliveries[i].State = s
		}
		if got := gateway.Summary(deliveries); got != c.want {
			t.Errorf("Summary = %s, want %s; states %v", got, c.want, c.states)
		}
	}
}
