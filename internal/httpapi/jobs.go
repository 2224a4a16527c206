package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/operator"
)

// jobStates are the states that a job can have.
var jobStates = map[string]gateway.State{"queued": gateway.Queued, "delivering": gateway.Delivering,
	"retrying": gateway.Retrying}

// listJobs lists the jobs that are still to be done, and the health of destinations.
func (s *Server) listJobs(c *call) {
	p := c.params()
	f := gateway.JobFilter{
		Destination: p.destination(),
		State:       jobStates[p.oneOf("state", "queued", "delivering", "retrying")],
		After:       gateway.JobID(p.cursor(ofQueue)),
		Limit:       p.limit(),
		Message:     p.messageID("message"),
	}
	if p.err != nil {
		c.fail(p.err)
		return
	}
	list, next, err := s.Operator.Jobs(c.r.Context(), f)
	list.NextCursor = ofQueue.text(int64(next))
	c.result(http.StatusOK, list, err)
}

// showJob shows one job.
func (s *Server) showJob(c *call) {
	view, err := s.Operator.Job(c.r.Context(), c.r.PathValue("job"))
	c.result(http.StatusOK, view, err)
}

// retryJob makes an attempt at a job due now, whatever the health of its destination.
func (s *Server) retryJob(c *call) {
	job, err := s.Operator.Retry(c.r.Context(), c.r.PathValue("job"))
	c.note("job", int64(job.ID), "destination", job.Destination)
	c.result(http.StatusOK, admin.JobChange{Job: job}, err)
}

// cancelJob withdraws the deliveries of a job that are still open.
func (s *Server) cancelJob(c *call) {
	job, err := s.Operator.Cancel(c.r.Context(), c.r.PathValue("job"))
	c.note("job", int64(job.ID), "message", string(job.MessageID), "destination", job.Destination)
	c.result(http.StatusOK, admin.JobChange{Job: job}, err)
}

// destination reads the name of a destination.
func (p *params) destination() gateway.Destination {
	return operator.Destination(p.text("destination"))
}
