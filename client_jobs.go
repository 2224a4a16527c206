package amtp

import (
	"context"
	"strconv"
)

// JobQuery chooses jobs of the queue. Zero members do not restrict.
type JobQuery struct {
	Destination string
	Message     MessageID
	State       Status // queued, delivering or retrying
	After       string // NextCursor of an earlier page
	Limit       int    // 0 leaves it to the gateway: 100
}

// Jobs lists what the gateway still has to deliver, oldest first, and how the
// healthy the destinations are. It, and the calls below, need AdminKey.
func (c *Client) Jobs(ctx context.Context, q JobQuery) (JobList, error) {
	v := make(query)
	v.text("destination", q.Destination)
	v.text("message", string(q.Message))
	v.text("state", string(q.State))
	v.text("after", q.After)
	v.number("limit", q.Limit)
	var out JobList
	_, err := c.do(ctx, call{method: "GET", path: path("admin", "queue"), query: v, admin: true, repeat: true}, &out)
	return out, err
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, id JobID) (JobView, error) {
	var out JobView
	_, err := c.do(ctx, call{method: "GET", path: jobPath(id), admin: true, repeat: true}, &out)
	return out, err
}

// RetryJob has a job tried at once, however its destination felt the last time.
// CONFLICT while it is being delivered.
func (c *Client) RetryJob(ctx context.Context, id JobID) (QueuedJob, error) {
	var out JobChange
	_, err := c.do(ctx, call{method: "POST", path: jobPath(id, "retry"), admin: true, repeat: true}, &out)
	return out.Job, err
}

// CancelJob withdraws what a job has not delivered; its sender sees it as
// cancelled and gets no report. CONFLICT while it is being delivered. It is not
// repeated: a second one would find nothing.
func (c *Client) CancelJob(ctx context.Context, id JobID) (QueuedJob, error) {
	var out JobChange
	_, err := c.do(ctx, call{method: "DELETE", path: jobPath(id), admin: true}, &out)
	return out.Job, err
}

func jobPath(id JobID, segments ...string) string {
	return path(append([]string{"admin", "queue", strconv.FormatInt(int64(id), 10)}, segments...)...)
}
