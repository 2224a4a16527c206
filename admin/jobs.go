package admin

import (
	"context"
	"strconv"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/calls"
)

// JobID names a job: a message on its way to one destination.
type JobID int64

// QueuedJob is a message on its way to one destination, as the gateway's operator sees
// it. The destination is another domain, the endpoint of an agent here, or the inbox of
// a sender who gets a bounce. Zero times are left out.
type QueuedJob struct {
	ID          JobID  `json:"id"`
	Kind        string `json:"kind"`        // remote, push, report, deadline or expiry
	Destination string `json:"destination"` // the domain; for a destination here push:…, report:, deadline: or expiry:
	// queued, delivering, retrying; cancelled in the answer to a cancellation
	State        string                 `json:"state"`
	MessageID    amtp.MessageID         `json:"message_id"`
	Sender       amtp.Address           `json:"sender"`
	Subject      string                 `json:"subject,omitempty"`
	Recipients   []amtp.RecipientStatus `json:"recipients"` // those not decided yet; of a bounce those that failed
	Size         int                    `json:"size"`       // bytes of the message
	Attempts     int                    `json:"attempts"`
	CreatedAt    amtp.Time              `json:"created_at"` // from this time on it is tried
	FirstAttempt amtp.Time              `json:"first_attempt,omitzero"`
	LastAttempt  amtp.Time              `json:"last_attempt,omitzero"`
	NextAttempt  amtp.Time              `json:"next_attempt,omitzero"`
	LeasedUntil  amtp.Time              `json:"leased_until,omitzero"` // while it is being delivered
	ErrorCode    amtp.Code              `json:"error_code,omitempty"`  // of the last attempt
	ErrorMessage string                 `json:"error_message,omitempty"`
	// the first of the latest attempts in a row with the same result; zero where that
	// is not counted, as during an outage
	ErrorSince amtp.Time `json:"error_since,omitzero"`
	RedrivenAt amtp.Time `json:"redriven_at,omitzero"` // of a redrive so late that it is sent as a new message
}

// DestinationHealth says how well attempts at a destination succeed.
type DestinationHealth struct {
	Destination string    `json:"destination"`
	Window      int       `json:"window"`                // how many attempts may be made at once
	InFlight    int       `json:"in_flight"`             // attempts under way
	Failures    int       `json:"failures"`              // in a row
	ClosedUntil amtp.Time `json:"closed_until,omitzero"` // failed jobs are not tried again before this time
}

// JobList is a page of the queue, oldest first.
type JobList struct {
	Jobs       []QueuedJob `json:"jobs"`
	Count      int         `json:"count"` // of the jobs on this page
	HasMore    bool        `json:"has_more"`
	NextCursor string      `json:"next_cursor"`          // give it as After to read on
	Incomplete bool        `json:"incomplete,omitempty"` // the page ended before its limit; read on
	// Destinations are those of the jobs on this page that were tried at least once.
	Destinations []DestinationHealth `json:"destinations"`
}

// JobView is one job, and the health of its destination if it is known.
type JobView struct {
	Job         QueuedJob          `json:"job"`
	Destination *DestinationHealth `json:"destination,omitempty"`
}

// JobChange answers the calls that change a job.
type JobChange struct {
	Job QueuedJob `json:"job"`
}

// JobQuery chooses jobs of the queue. Zero members do not restrict.
type JobQuery struct {
	Destination string
	Message     amtp.MessageID
	State       amtp.Status // queued, delivering or retrying
	After       string      // NextCursor of an earlier page
	Limit       int         // 0 leaves it to the gateway: 100
}

// Jobs lists the messages that the gateway still has to deliver, oldest first, and the
// health of their destinations.
func (c *Client) Jobs(ctx context.Context, q JobQuery) (JobList, error) {
	v := make(calls.Query)
	v.Text("destination", q.Destination)
	v.Text("message", string(q.Message))
	v.Text("state", string(q.State))
	v.Text("after", q.After)
	v.Number("limit", q.Limit)
	var out JobList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "queue"}, Query: v, Repeat: true}, &out)
	return out, err
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, id JobID) (JobView, error) {
	var out JobView
	err := c.call(ctx, amtp.Request{Method: "GET", Path: jobPath(id), Repeat: true}, &out)
	return out, err
}

// RetryJob makes the gateway try a job at once, whatever the health of its destination.
// The error is CONFLICT while the job is being delivered.
func (c *Client) RetryJob(ctx context.Context, id JobID) (QueuedJob, error) {
	var out JobChange
	err := c.call(ctx, amtp.Request{Method: "POST", Path: jobPath(id, "retry"), Repeat: true}, &out)
	return out.Job, err
}

// CancelJob cancels the deliveries of a job that are not done. The sender sees them as
// cancelled and gets no bounce. The error is CONFLICT while the job is being delivered.
// It is not repeated: a second call would find nothing.
func (c *Client) CancelJob(ctx context.Context, id JobID) (QueuedJob, error) {
	var out JobChange
	err := c.call(ctx, amtp.Request{Method: "DELETE", Path: jobPath(id)}, &out)
	return out.Job, err
}

func jobPath(id JobID, segments ...string) []string {
	return append([]string{"admin", "queue", strconv.FormatInt(int64(id), 10)}, segments...)
}
