package gateway_test

import (
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// FuzzNext applies any events to a delivery. It is always in one of the states, and a
// refused event changes nothing. The promises about its history hold in every order.
func FuzzNext(f *testing.F) {
	for _, events := range [][]byte{
		{}, {1, 2, 10, 10}, {1, 3, 1, 3, 1, 5, 11}, {7, 8, 1, 6, 1, 2}, {7, 9}, {12}, {1, 4, 11, 12}, {0, 13, 255},
		{7, 2, 10}, {1, 1}, {1, 2, 9, 14, 5, 14, 10}, {7, 9, 14},
	} {
		f.Add(events)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		state, inFlight := gateway.Queued, false
		for i, step := range steps {
			event := gateway.Event(step)
			next, err := gateway.Next(state, event)
			if err != nil {
				if next != state {
					t.Fatalf("a refused step changed %v to %v; event %v, steps %v", state, next, event, steps[:i+1])
				}
				continue
			}
			promise(t, state, event, next, inFlight)
			inFlight = event == gateway.Claim
			state = next
		}
		if status, _ := state.Wire(); state.String() == "" || status == "" || status == amtp.StatusAccepted {
			t.Fatalf("after %v the delivery is %d %q, on the wire %q", steps, state, state, status)
		}
	})
}

// promise checks the conditions on one step of any history.
func promise(t *testing.T, from gateway.State, event gateway.Event, to gateway.State, inFlight bool) {
	t.Helper()
	switch {
	case (from == gateway.Delivering) != inFlight:
		t.Fatalf("the delivery is %v; claimed by its last event: %v", from, inFlight)
	case (to == gateway.Delivering) != (event == gateway.Claim):
		t.Fatalf("%v by %v is %v: only a claim leads to Delivering", from, event, to)
	case from == gateway.Acknowledged && to != gateway.Acknowledged:
		t.Fatalf("an acknowledgement was undone: %v by %v is %v", from, event, to)
	case from == gateway.Delivered && to != gateway.Acknowledged && event != gateway.Reject && event != gateway.GiveUp:
		t.Fatalf("a delivery was undone: %v by %v is %v", from, event, to)
	case to == gateway.Delivered && (from == gateway.Rejected || from == gateway.Expired) && event != gateway.PutBack:
		t.Fatalf("a rejection was undone: %v by %v is %v", from, event, to)
	case to == gateway.Queued && (from == gateway.Failed || from == gateway.Expired) && event != gateway.Redrive:
		t.Fatalf("a failure was undone: %v by %v is %v", from, event, to)
	case from == gateway.Rejected && to != gateway.Delivered, from == gateway.Cancelled:
		t.Fatalf("a final state was left: %v by %v is %v", from, event, to)
	}
}
