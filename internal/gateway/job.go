package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// JobID names a job for good; it is never used again.
type JobID int64

// Job is something that the gateway does after it has answered: to carry one
// message to one destination, or to report a failure. It ends when every
// recipient that it has is decided.
type Job struct {
	ID          JobID
	Destination Destination
	State       State // Queued, Delivering or Retrying
	Fence       int64 // counts the claims; guards what is settled
	Attempts    int   // claims of the present generation
	Begun       time.Time
	FirstTry    time.Time // zero before the first claim
	LastTry     time.Time
	Due         time.Time // when it may be claimed
	Lease       time.Time // until when it is claimed, zero when it is not
	Rekeys      int       // how often the other side had to see a new idempotency key
	Redriven    time.Time // of a redrive so late that the other side may have forgotten the message, else zero
	Size        int       // bytes of the message
	Code        amtp.Code // of the last attempt that failed
	Reason      string
	Since       time.Time // of the first attempt in a row that ended with Code, zero when nobody counts
	Same        int       // attempts in that row
	Troubles    string    // of recipients that fare otherwise, as Settle wrote it; "" when none does
	Message     amtp.MessageID
	Class       Class // the message's
	SenderAgent AgentID
	Flow        Flow // whose jobs it takes turns with
}

// Parcel is a job with what it carries.
type Parcel struct {
	Job
	Envelope   Envelope
	Body       []byte
	Recipients []Delivery // those not decided yet; of a report those that failed
	// InReplyTo is the id under which other gateways know the message that this
	// one answers; "" when the sender's own word is all that is known.
	InReplyTo amtp.MessageID
	Answered  Answered // of a message that InReplyTo names
	// Thread is that of the message in the recipient's mailbox, of a push; "" of
	// any other job.
	Thread amtp.MessageID
}

// Result is what became of one recipient in an attempt.
type Result struct {
	Delivery DeliveryID
	Event    Event // Success, Refuse or GiveUp; nothing else decides
	Code     amtp.Code
	Reason   string // our words, never the other side's
	// Inbox says that the success is an entry into the recipient's inbox
	// instead: of a push agent that receives no more.
	Inbox bool
}

// Settlement ends one attempt.
type Settlement struct {
	Job     JobID
	Fence   int64
	Now     time.Time
	Results []Result  // recipients without one stay with the job
	Due     time.Time // when the rest is tried again; zero is at once
	Code    amtp.Code // why it is tried again
	Reason  string
	Since   time.Time // as of a Job
	Same    int
	// Troubles is as of a Job.
	Troubles string
	// Unmade says that no attempt was made, and nothing else but Due counts.
	Unmade bool
	Rekey  bool // the next attempt needs a new idempotency key
	Report bool // failures among the results are reported to the sender, if it is still here
}

// JobFilter chooses jobs. Zero members do not restrict.
type JobFilter struct {
	Destination Destination
	Message     amtp.MessageID
	State       State
	After       JobID // exclusive
	Limit       int
}

// JobPage is part of a list, oldest first.
type JobPage struct {
	Jobs       []Parcel // without bodies
	HasMore    bool
	Next       JobID // the After of the page that follows
	Incomplete bool  // the page ended before its limit, because it looked at MaxScan jobs
}

// DeliveryID names one delivery that is not in an inbox.
type DeliveryID int64

// DeadLetter is a delivery that failed, which an operator may try again as long
// as the message's body is kept. AMTP §8.
type DeadLetter struct {
	ID          DeliveryID
	Delivery    Delivery
	Destination Destination
	Envelope    Envelope
	Body        []byte // only of DeadLetter
	Size        int
	FirstTry    time.Time
	LastTry     time.Time
	At          time.Time // when it was given up
	Generation  int       // how often it was tried again
}

// DeadFilter chooses dead letters. Zero members do not restrict.
type DeadFilter struct {
	IDs         []DeliveryID
	Destination Destination
	Message     amtp.MessageID
	Code        amtp.Code
	Before      time.Time  // given up before
	After       DeliveryID // exclusive
	Limit       int
}

// DeadPage is part of a list, in the order of IDs.
type DeadPage struct {
	Letters    []DeadLetter
	HasMore    bool
	Next       DeliveryID // the After of the page that follows
	Incomplete bool       // the page ended before its limit, because it looked at MaxScan letters
}

// Jobs is the part of a Store that keeps what is to be done after the answer.
type Jobs interface {
	// Work returns the bell of the queue. It rings after a job became due at
	// once: by Accept, by Settle (a report) and by an operator.
	Work() WorkBell

	// Waiting lists the destinations that have jobs, in the order of their
	// names, those behind after only. A job that is leased is due when Claim
	// says that it is due again.
	Waiting(ctx context.Context, after Destination, limit int) ([]Waiting, error)

	// Claim leases for each destination up to Limit jobs of the Part that are due
	// at now, and so many that no more than Most of the destination are leased at
	// now, and that their messages have Bytes at the most, until lease, and a large
	// message for the time longer that Carrying says.
	//
	// One whose message does not fit is left, with its size in Needs, and those of other
	// flows that fit are leased, and of its own among as many behind it as Behind says.
	// The same is done with a large one with which its flow would have more than its
	// Share: it is in Left.
	//
	// Those that were never tried come first, and of them the flows by turns: the
	// one behind After begins, and of each the earliest due is first and among
	// those the oldest. However much one flow has, another's is found at once; one
	// of which nothing is due takes no turn. Where there are many such, a call ends
	// before it has found all that are due, and Passed says where. Of
	// those that were tried the earliest due come first, the flows by turns among
	// as many as one call looks at. A flow of Except gets nothing.
	//
	// Fence and Attempts of each were counted up, State is Delivering and LastTry
	// now, all of it durable before Claim returns. A job is not due again before its
	// lease ends, nor before the retry that Backoff gives for the attempt. A
	// job whose lease ended without being settled is claimed like any other. Two calls
	// never lease the same job for overlapping times. ErrPaused while the store
	// is paused: then nothing is leased.
	//
	// What a call costs does not grow with what waits. No destination is wanted
	// twice in one call.
	Claim(ctx context.Context, wanted []Claiming, now, lease time.Time) ([]Claimed, error)

	// Parcel returns a job that was leased under the fence, with its message.
	// Further of a delivery was settled when it was stored.
	// ErrStale when it was claimed again or settled meanwhile.
	Parcel(ctx context.Context, job JobID, fence int64) (Parcel, error)

	// Settle ends an attempt: each result is applied to its delivery by Next and
	// takes it from the job, and a Report is queued for those that failed, in
	// the same transaction. When the job has no recipient left it is gone;
	// otherwise it is Retrying and due as the settlement says. Delivered and
	// failed deliveries keep the job's attempts; a failure is a dead letter from
	// then on. A delivery that is decided already, as those of a report are, is
	// taken from the job and left as it is. A sender that was removed gets no
	// report. ErrStale when the fence is not the job's: then nothing was changed.
	//
	// Of an Unmade attempt nothing is left but the Fence and, where there were others
	// before, LastTry: Attempts is one less, and a job that has none is Queued, was
	// never tried and takes its turn as such.
	Settle(context.Context, Settlement) error

	// Expire gives up jobs that were begun before then and are not leased,
	// as an attempt that ends with GiveUp and the job's last error, or
	// RECIPIENT_UNAVAILABLE where it has none, reporting as report decides:
	// limit of them at the most, the oldest first, wherever they stand among
	// others. One call looks at some of them only, and the next goes on behind those
	// until all were looked at. It returns how many it gave up. ErrPaused while the
	// store is paused: then nothing is given up.
	Expire(ctx context.Context, begun, now time.Time, limit int, report func(Job) bool) (int, error)

	// JobsPage lists jobs with their recipients, oldest first. It looks at few of
	// them: a page may end before its limit, and says so.
	JobsPage(context.Context, JobFilter) (JobPage, error)

	// MakeDue makes a job that waits due at once and rings. ErrNotFound when
	// there is no such job, ErrConflict when it is leased at now.
	MakeDue(ctx context.Context, job JobID, now time.Time) error

	// Cancel ends a job that is not leased at now: its recipients that are not
	// decided are Cancelled; nothing is reported and nothing is a dead letter.
	// ErrNotFound and ErrConflict as MakeDue.
	Cancel(ctx context.Context, job JobID, now time.Time) error

	// DeadLetters lists dead letters, without bodies, as JobsPage does.
	DeadLetters(context.Context, DeadFilter) (DeadPage, error)

	// DeadLetter returns one with its body. ErrNotFound.
	DeadLetter(context.Context, DeliveryID) (DeadLetter, error)

	// Redrive queues dead letters again, due at once, with a new schedule or
	// that of the message's job for the destination where there is one, and
	// returns how many. Calling it again changes nothing: what was redriven is
	// no dead letter. What was not reported yet is not reported any more. After
	// Forgotten since the message was received, Redriven of each delivery is now,
	// and of the job what it was first. Before that each attempt decides by the age
	// that the message has then, see AsNew. The sender finds the message by every id
	// under which the delivery may leave, as an answer does.
	//
	// Many letters are queued in steps, so that those who write at the same time
	// do not wait: after an error some may be queued. So does PurgeDead.
	Redrive(ctx context.Context, f DeadFilter, now time.Time) (int, error)

	// PurgeDead takes letters from the list for good; the messages keep their
	// failed status. It returns how many.
	PurgeDead(context.Context, DeadFilter) (int, error)
}

// WorkBell tells for which destinations there is something to do.
type WorkBell interface {
	// C receives after Take would return something. It has room for one ring.
	C() <-chan struct{}
	// Take returns the destinations that rang since the last call. All says
	// that there were too many to note: ask Waiting.
	Take() (rang []Destination, all bool)
}

// DestinationHealth says how well the queue gets through to one destination.
type DestinationHealth struct {
	Destination Destination
	Window      int       // attempts that may be made at once
	InFlight    int       // attempts under way
	Failures    int       // in a row
	ClosedUntil time.Time // jobs that were tried before wait until then; zero if they need not
}
