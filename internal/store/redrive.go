package store

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// deadStep is how many dead letters one transaction changes, because arriving messages
// wait for it.
const deadStep = 256

// EachDead calls do with the dead letters that match, at most deadStep at once. It
// returns the sum of the numbers that do returned. page returns the numbers of the
// letters on a page. do runs in its own transaction. After an error some letters may be
// done.
func EachDead(f gateway.DeadFilter, page func(gateway.DeadFilter) ([]int64, gateway.DeadPage, error),
	do func(letters []int64) (int, error)) (done int, err error) {
	for rest := f.Limit; ; {
		if f.Limit = deadStep; rest > 0 {
			f.Limit = min(rest, deadStep)
		}
		found, on, err := page(f)
		if err != nil || len(found) == 0 && !on.HasMore {
			return done, err
		}
		if f.After = on.Next; len(found) == 0 {
			continue
		}
		did, err := do(found)
		if err != nil {
			return done, err
		}
		done += did
		if rest -= len(found); rest == 0 || !on.HasMore {
			return done, nil
		}
	}
}

// LetterRow is the part of a dead letter that a redrive needs.
type LetterRow struct {
	DeliveryRow        // Seq, Agent, Address, State and Further
	Message     int64  // the row of the message
	Received    int64  // microseconds
	Size        int    // bytes of the body
	UUID        []byte // the message's canonical id
	Sender      gateway.AgentID
	From        string // the sender's address if it is no agent here
}

// Redriven are the values that a redrive writes. Times are microseconds, 0 for no change.
type Redriven struct {
	State       gateway.State // of the delivery
	Inbox       bool          // the message was in an inbox and returns to it; there is no job
	Destination gateway.Destination
	Flow        gateway.Flow     // of a new job
	Names       []amtp.MessageID // ids under which the message may be sent, besides its own
	AsNew       int64            // of the delivery: it is sent under the id of this redrive
	JobAsNew    int64            // of the job, unless it has one
}

// Redrive returns what a redrive at the time of times writes. ok is false for a delivery
// whose state is not a failure, though its row says that it is dead.
//
// A message for another domain may be sent under a new id, now or later: other gateways
// forget the id that they know after gateway.Forgotten.
//
// A message that was in an inbox returns to it as if it had just arrived.
func (l *LetterRow) Redrive(dir *Directory, times *Times) (r Redriven, ok bool) {
	if l.Agent != 0 && !l.Pushed {
		state, err := gateway.Next(l.State, gateway.PutBack)
		return Redriven{State: state, Inbox: true}, err == nil && dir.Lives(l.Agent)
	}
	state, err := gateway.Next(l.State, gateway.Redrive)
	if err != nil {
		return r, false
	}
	now := FromMicros(times.Now())
	r = Redriven{State: state, Destination: l.Destination(), Flow: FlowOf(l.Sender, l.From)}
	d := l.Delivery(dir)
	if d.Agent == 0 && d.Damage == "" {
		d.Redriven = gateway.AsNew(FromMicros(l.Received), now)
		r.Names = Names(&d, MessageID(l.UUID))
	}
	if now.Sub(times.At(l.Received, l.Message)) < gateway.Forgotten {
		return r, true
	}
	if r.JobAsNew = times.Now(); d.Agent == 0 {
		r.AsNew = r.JobAsNew
	}
	return r, true
}

// ReportJob is a report that is not written yet.
type ReportJob struct {
	ID      int64
	Payload string
}

// Withdraw takes deliveries that are redriven out of the reports of their messages. It
// returns the reports that have no delivery left, and those whose payload changed.
func Withdraw(reports []ReportJob, again []int64) (gone []int64, changed []ReportJob) {
	for _, j := range reports {
		switch rest, withdrawn := withdraw(j.Payload, again); {
		case !withdrawn:
		case rest == "":
			gone = append(gone, j.ID)
		default:
			changed = append(changed, ReportJob{j.ID, rest})
		}
	}
	return gone, changed
}
