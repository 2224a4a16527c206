package amtp

// JobID names something that a gateway still has to do.
type JobID int64

// QueuedJob is a message on its way to one destination, as the gateway's
// operator sees it: to another domain, to the endpoint of an agent here, or the
// report of a failure. Zero times are left out.
type QueuedJob struct {
	ID          JobID  `json:"id"`
	Kind        string `json:"kind"`        // remote, push or report
	Destination string `json:"destination"` // the domain, or push:… and report: for those here
	// queued, delivering, retrying; cancelled in the answer to a cancellation
	State        string            `json:"state"`
	MessageID    MessageID         `json:"message_id"`
	Sender       Address           `json:"sender"`
	Subject      string            `json:"subject,omitempty"`
	Recipients   []RecipientStatus `json:"recipients"` // those that are not decided; of a report those that failed
	Size         int               `json:"size"`       // bytes of the message
	Attempts     int               `json:"attempts"`
	CreatedAt    Time              `json:"created_at"` // from when on it is tried
	FirstAttempt Time              `json:"first_attempt,omitzero"`
	LastAttempt  Time              `json:"last_attempt,omitzero"`
	NextAttempt  Time              `json:"next_attempt,omitzero"`
	LeasedUntil  Time              `json:"leased_until,omitzero"` // while it is delivered
	ErrorCode    Code              `json:"error_code,omitempty"`  // of the last attempt
	ErrorMessage string            `json:"error_message,omitempty"`
	// of the first attempt in a row that ended like the last; zero where that is not counted, as of an outage
	ErrorSince Time `json:"error_since,omitzero"`
	RedrivenAt Time `json:"redriven_at,omitzero"` // of a redrive so late that it goes out as a new message
}

// DestinationHealth says how well a gateway gets through to a destination.
type DestinationHealth struct {
	Destination string `json:"destination"`
	Window      int    `json:"window"`                // attempts that may be made at once
	InFlight    int    `json:"in_flight"`             // attempts under way
	Failures    int    `json:"failures"`              // in a row
	ClosedUntil Time   `json:"closed_until,omitzero"` // what failed is not tried again before it
}

// JobList is part of the queue, oldest first.
type JobList struct {
	Jobs       []QueuedJob `json:"jobs"`
	Count      int         `json:"count"` // of the jobs on this page
	HasMore    bool        `json:"has_more"`
	NextCursor string      `json:"next_cursor"`          // give it as After to read on
	Incomplete bool        `json:"incomplete,omitempty"` // the page ended before its limit; read on
	// Destinations are those of the jobs on this page, as far as they were tried.
	Destinations []DestinationHealth `json:"destinations"`
}

// JobView is one job, and the health of its destination where that is known.
type JobView struct {
	Job         QueuedJob          `json:"job"`
	Destination *DestinationHealth `json:"destination,omitempty"`
}

// JobChange answers the calls that change a job.
type JobChange struct {
	Job QueuedJob `json:"job"`
}
