package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// JobID identifies a job for good; it is never used again.
type JobID int64

// Job is work that the gateway does after it has answered: to deliver one message to
// one destination, or to report a failure. It ends when every recipient that it has is
// decided.
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
	Lease       time.Time // the end of its lease, zero when it is not claimed
	Rekeys      int       // how often a new idempotency key was needed
	Redriven    time.Time // the time of a redrive so late that the other side may have forgotten the message, else zero
	Size        int       // bytes of the message
	Code        amtp.Code // of the last attempt that failed
	Reason      string
	Since       time.Time // of the first attempt in a row that ended with Code, zero when they are not counted
	Same        int       // attempts in that row
	Troubles    string    // of recipients that differ from Since, Same and Due, as Settle wrote it; "" when none does
	Message     amtp.MessageID
	Class       Class // the message's
	SenderAgent AgentID
	Flow        Flow // the flow in whose turn it is claimed
}

// Parcel is a job with its message and recipients.
type Parcel struct {
	Job
	Envelope   Envelope
	Body       []byte
	Recipients []Delivery // those not decided yet; in a report, those that failed
	// InReplyTo is the id under which other gateways know the message that this one
	// answers; "" when only the sender's own text gives it.
	InReplyTo amtp.MessageID
	Answered  Answered // what is known of the message that InReplyTo names
	// Thread is the thread of the message in the recipient's mailbox, for a push; ""
	// for any other job.
	Thread amtp.MessageID
	At     time.Time // for which later work was asked; zero for any other job
}

// Result is the decision on one recipient in an attempt.
type Result struct {
	Delivery DeliveryID
	Event    Event // Success, Refuse or GiveUp; no other event decides
	Code     amtp.Code
	Reason   string // a text of this gateway, never the other side's
	// Inbox says that the message goes into the recipient's inbox instead: the
	// recipient is a push agent that receives by push no longer.
	Inbox bool
}

// Settlement ends one attempt.
type Settlement struct {
	Job     JobID
	Fence   int64
	Now     time.Time
	Results []Result  // recipients without a result stay with the job
	Due     time.Time // when the rest is tried again; zero is at once
	Code    amtp.Code // why it is tried again
	Reason  string
	Since   time.Time // as of a Job
	Same    int
	// Troubles is as of a Job.
	Troubles string
	// Unmade says that no attempt was made. Then only Due counts.
	Unmade bool
	Rekey  bool // the next attempt needs a new idempotency key
	Report bool // failures among the results are reported to the sender, if it still exists
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

// DeliveryID identifies one delivery that is not in an inbox.
type DeliveryID int64

// DeadLetter is a delivery that failed. An operator may try it again as long as the
// message's body is kept. AMTP §8.
type DeadLetter struct {
	ID          DeliveryID
	Delivery    Delivery
	Destination Destination
	Envelope    Envelope
	Body        []byte // only in the answer of DeadLetter
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

// Jobs is the part of a Store that keeps the work that remains after the answer.
type Jobs interface {
	// Work returns the bell of the queue. It rings after Accept, Settle (a report) or
	// an operator made a job due at once.
	Work() WorkBell

	// Waiting lists the destinations that have jobs, in the order of their names, only
	// those after the argument after. A leased job counts as due at the time at which
	// Claim makes it due again.
	Waiting(ctx context.Context, after Destination, limit int) ([]Waiting, error)

	// Claim leases, for each destination, jobs of the Part that are due at now, until
	// lease. It leases up to Limit of them, and so many that no more than Most of the
	// destination are leased at now. Their messages have Bytes together at the most.
	// The lease of a large message is longer by the time that Carrying returns.
	//
	// A job whose message does not fit is left, and Needs has its size. Jobs of other
	// flows that fit are leased, and of its own flow those among the next Behind jobs.
	// The same is done with a large message with which its flow would have more than
	// its Share: it is in Left.
	//
	// Jobs that were never tried come first, and among them the flows take turns. The
	// flow after After begins. In each flow the earliest due job is first, and of those
	// the oldest. However many jobs one flow has, another's is found at once. A flow
	// without a due job takes no turn. Where there are many such flows, a call ends
	// before it has found all due jobs, and Passed says where. Of the jobs that were
	// tried the earliest due come first, and the flows take turns among as many as one
	// call looks at. A flow of Except gets nothing.
	//
	// For each leased job Fence and Attempts were counted up, State is Delivering and
	// LastTry is now, all of it durable before Claim returns. A job is not due again
	// before its lease ends, nor before the retry that Backoff gives for the attempt. A
	// job whose lease ended without being settled is claimed like any other. Two calls
	// never lease the same job for overlapping times. ErrPaused while the store is
	// paused: then nothing is leased.
	//
	// The cost of a call does not grow with the number of waiting jobs. One call names
	// each destination at most once.
	Claim(ctx context.Context, wanted []Claiming, now, lease time.Time) ([]Claimed, error)

	// Parcel returns a job that was leased under the fence, with its message. Further
	// of each delivery has the value from when the delivery was stored. ErrStale when
	// the job was claimed again or settled meanwhile.
	Parcel(ctx context.Context, job JobID, fence int64) (Parcel, error)

	// Settle ends an attempt. Each result is applied to its delivery by Next, and takes
	// the delivery from the job. A Report is queued for the failed ones in the same
	// transaction. A job without a recipient left is gone; otherwise it is Retrying and
	// due as the settlement says. Delivered and failed deliveries keep the job's
	// attempts; a failure is a dead letter from then on. A delivery that is decided
	// already, as those of a report are, is taken from the job and left unchanged. A
	// sender that was removed gets no report. ErrStale when the fence is not the job's:
	// then nothing was changed.
	//
	// An Unmade attempt leaves only the Fence and, where there were others before,
	// LastTry. Attempts is one less. A job without attempts is Queued, counts as never
	// tried and takes its turn as such.
	Settle(context.Context, Settlement) error

	// Expire gives up jobs that began before begun and are not leased, as an attempt
	// that ends with GiveUp. The error is the job's last one, or RECIPIENT_UNAVAILABLE
	// where it has none. The function report decides whether a job is reported. It
	// gives up limit of them at the most, the oldest first, wherever they are among
	// others. One call looks at some jobs only, and the next continues after those
	// until all were looked at. It returns how many it gave up. ErrPaused while the
	// store is paused: then nothing is given up.
	Expire(ctx context.Context, begun, now time.Time, limit int, report func(Job) bool) (int, error)

	// JobsPage lists jobs with their recipients, oldest first. It looks at a bounded
	// number of them: a page may end before its limit, and says so.
	JobsPage(context.Context, JobFilter) (JobPage, error)

	// MakeDue makes a waiting job due at once and rings the bell. ErrNotFound when
	// there is no such job, ErrConflict when it is leased at now.
	MakeDue(ctx context.Context, job JobID, now time.Time) error

	// Cancel ends a job that is not leased at now. Its recipients that are not decided
	// become Cancelled; they are not reported and are no dead letters. ErrNotFound and
	// ErrConflict as in MakeDue.
	Cancel(ctx context.Context, job JobID, now time.Time) error

	// DeadLetters lists dead letters, without bodies, page by page as JobsPage does.
	DeadLetters(context.Context, DeadFilter) (DeadPage, error)

	// DeadLetter returns one dead letter with its body, or ErrNotFound.
	DeadLetter(context.Context, DeliveryID) (DeadLetter, error)

	// Redrive queues dead letters again, due at once, and returns how many. They get a
	// new schedule, or that of the message's job for the destination where there is
	// one. Calling it again changes nothing: a redriven letter is no dead letter. A
	// failure that was not reported yet is not reported any more. After Forgotten since
	// the message was received, Redriven of each delivery is now, and Redriven of the
	// job is what it was first. Before that each attempt decides by the age that the
	// message has then, see AsNew. The sender finds the message by every id under which
	// the delivery may leave, as an answer does.
	//
	// Many letters are queued in steps, so that concurrent writers do not wait. After
	// an error some of them may be queued. PurgeDead works in the same way.
	Redrive(ctx context.Context, f DeadFilter, now time.Time) (int, error)

	// PurgeDead removes letters from the list for good; the messages keep their failed
	// status. It returns how many.
	PurgeDead(context.Context, DeadFilter) (int, error)
}

// WorkBell tells which destinations have work.
type WorkBell interface {
	// C receives after Take would return something. It has room for one ring.
	C() <-chan struct{}
	// Take returns the destinations that rang since the last call. All says that there
	// were too many to list: the caller asks Waiting.
	Take() (rang []Destination, all bool)
}

// DestinationHealth says how well attempts at one destination succeed.
type DestinationHealth struct {
	Destination Destination
	Window      int       // attempts that may be made at once
	InFlight    int       // attempts under way
	Failures    int       // in a row
	ClosedUntil time.Time // the time until which jobs that were tried before wait; zero if they need not
}
