package gateway

import (
	"fmt"
	"slices"

	"github.com/amtp-go/amtp"
)

// State is the state of one delivery. docs/states.md draws the transitions.
type State int

// The states. The numbers are stored.
const (
	Queued       State = 1  // durable and due, without a lease
	Delivering   State = 2  // leased by a worker
	Retrying     State = 3  // waits for its next due time
	Held         State = 4  // waits for a decision
	Delivered    State = 5  // in the inbox, or accepted by the other side
	Acknowledged State = 6  // the recipient is done with it
	Failed       State = 7  // refused for good
	Expired      State = 8  // attempts or days ran out
	Rejected     State = 9  // a held message was refused, or the recipient rejected it
	Cancelled    State = 10 // withdrawn before delivery
)

// Event is a change of a delivery.
type Event int

// The events.
const (
	Claim    Event = iota + 1 // a worker takes a lease; the attempt counts from here
	Success                   // the recipient has the message
	Postpone                  // the attempt failed and may be tried again
	Refuse                    // the attempt failed for good
	GiveUp                    // the attempt failed and was the last allowed
	Lapse                     // the lease ended without a result
	Hold                      // policy requires a decision first
	Release                   // the decision: deliver
	Reject                    // the decision: do not
	Ack                       // the recipient acknowledges
	Redrive                   // an operator tries a failed one again
	Cancel                    // the sender or an operator cancels it
	Return                    // the first attempt was not made after all
	PutBack                   // an operator puts a message that was in an inbox back into it
)

var stateNames = map[State]string{
	Queued: "queued", Delivering: "delivering", Retrying: "retrying", Held: "held",
	Delivered: "delivered", Acknowledged: "acknowledged", Failed: "failed",
	Expired: "expired", Rejected: "rejected", Cancelled: "cancelled",
}

var eventNames = map[Event]string{
	Claim: "claim", Success: "success", Postpone: "postpone", Refuse: "refuse",
	GiveUp: "give up", Lapse: "lapse", Hold: "hold", Release: "release",
	Reject: "reject", Ack: "ack", Redrive: "redrive", Cancel: "cancel", Return: "return",
	PutBack: "put back",
}

func (s State) String() string { return stateNames[s] }
func (e Event) String() string { return eventNames[e] }

// transitions lists every allowed transition; any other is a defect.
var transitions = map[State]map[Event]State{
	Queued:   {Claim: Delivering, Hold: Held, Cancel: Cancelled},
	Retrying: {Claim: Delivering, Cancel: Cancelled},
	Delivering: {Success: Delivered, Postpone: Retrying, Refuse: Failed, GiveUp: Expired, Lapse: Retrying,
		Return: Queued},
	Held:         {Release: Queued, Success: Delivered, Reject: Rejected, GiveUp: Expired, Cancel: Cancelled},
	Delivered:    {Ack: Acknowledged, Reject: Rejected, GiveUp: Expired},
	Acknowledged: {Ack: Acknowledged},
	Failed:       {Redrive: Queued},
	Expired:      {Redrive: Queued, PutBack: Delivered},
	Rejected:     {PutBack: Delivered},
	Cancelled:    {},
}

// Next returns the state that follows from s by e. A transition that is not allowed is
// an error and returns s. Success on a held delivery is its release into a local inbox.
func Next(s State, e Event) (State, error) {
	next, ok := transitions[s][e]
	if !ok {
		return s, fmt.Errorf("a delivery that is %v cannot %v", s, e)
	}
	return next, nil
}

// Wire returns the protocol's status for s, and the error code that distinguishes s
// where the protocol has one status for several states.
func (s State) Wire() (amtp.Status, amtp.Code) {
	switch s {
	case Queued, Held:
		return amtp.StatusQueued, ""
	case Delivering:
		return amtp.StatusDelivering, ""
	case Retrying:
		return amtp.StatusRetrying, ""
	case Delivered, Acknowledged:
		return amtp.StatusDelivered, ""
	case Expired:
		return amtp.StatusFailed, amtp.CodeRecipientUnavailable
	case Rejected:
		return amtp.StatusFailed, amtp.CodeAccessDenied
	case Cancelled:
		return amtp.StatusFailed, amtp.CodeCancelled
	}
	return amtp.StatusFailed, ""
}

// Pending reports whether a delivery in s is still to be decided.
func (s State) Pending() bool {
	return s == Queued || s == Delivering || s == Retrying || s == Held
}

// Summary returns the status of a message from those of its recipients: failed if all
// failed, delivered if all delivered, else retrying if any is, else delivering if any
// is, else queued.
func Summary(deliveries []Delivery) amtp.Status {
	count := make(map[amtp.Status]int, 2)
	for i := range deliveries {
		status, _ := deliveries[i].State.Wire()
		count[status]++
	}
	switch all := len(deliveries); {
	case all > 0 && count[amtp.StatusFailed] == all:
		return amtp.StatusFailed
	case all > 0 && count[amtp.StatusDelivered] == all:
		return amtp.StatusDelivered
	case count[amtp.StatusRetrying] > 0:
		return amtp.StatusRetrying
	case count[amtp.StatusDelivering] > 0:
		return amtp.StatusDelivering
	}
	return amtp.StatusQueued
}

// InStatus reports whether the filter word want selects a message with these
// deliveries. No word selects every message. amtp.StatusPending selects a message that
// is not decided for some recipient: queued, delivering, retrying or held. Any other
// word selects by [Summary]. AMTP §5.
func InStatus(deliveries []Delivery, want amtp.Status) bool {
	switch want {
	case "":
		return true
	case amtp.StatusPending:
		return slices.ContainsFunc(deliveries, func(d Delivery) bool { return d.State.Pending() })
	}
	return Summary(deliveries) == want
}
