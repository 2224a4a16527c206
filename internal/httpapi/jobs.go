package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/queue"
)

// jobStates are the states that a job can have.
var jobStates = map[string]gateway.State{"queued": gateway.Queued, "delivering": gateway.Delivering,
	"retrying": gateway.Retrying}

// kinds are the words for what jobs do.
var kinds = map[gateway.Kind]string{gateway.KindRemote: "remote", gateway.KindPush: "push",
	gateway.KindReport: "report"}

// listJobs shows what is still to be delivered, and how healthy the destinations are.
func (s *Server) listJobs(c *call) {
	p := c.params()
	f := gateway.JobFilter{
		Destination: p.destination(),
		State:       jobStates[p.oneOf("state", "queued", "delivering", "retrying")],
		After:       gateway.JobID(p.cursor(ofQueue)),
		Limit:       p.limit(),
	}
	given := p.messageID("message")
	if p.err != nil {
		c.fail(p.err)
		return
	}
	var page gateway.JobPage
	var err error
	if f.Message, err = s.canonical(c.r.Context(), given); err == nil && (given == "" || f.Message != "") {
		page, err = s.Store.JobsPage(c.r.Context(), f)
	}
	if err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	list := admin.JobList{Jobs: make([]admin.QueuedJob, len(page.Jobs)), Count: len(page.Jobs),
		HasMore: page.HasMore, Incomplete: page.Incomplete, Destinations: []admin.DestinationHealth{}}
	shown := make(map[gateway.Destination]bool)
	for i := range page.Jobs {
		list.Jobs[i] = jobView(&page.Jobs[i])
		shown[page.Jobs[i].Destination] = true
	}
	list.NextCursor = ofQueue.text(int64(max(f.After, page.Next)))
	for _, l := range s.destinations(c.r.Context()) {
		if shown[l.Destination] {
			list.Destinations = append(list.Destinations, destinationView(l))
		}
	}
	c.reply(http.StatusOK, list)
}

// healthTime is how long the queue may take to tell the destinations' health: it is
// asked between two things that it does, and no more when it was stopped.
const healthTime = 2 * time.Second

func (s *Server) destinations(ctx context.Context) []queue.DestinationHealth {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	return s.Queue.Destinations(ctx)
}

// canonical returns the id of the message that a given one stands for, "" when
// there is none.
func (s *Server) canonical(ctx context.Context, given amtp.MessageID) (amtp.MessageID, error) {
	if given == "" {
		return "", nil
	}
	rec, err := s.Store.Message(ctx, gateway.Reader{Everyone: true}, given)
	if errors.Is(err, gateway.ErrNotFound) {
		return "", nil
	}
	return rec.ID, err
}

// showJob shows one job.
func (s *Server) showJob(c *call) {
	job, refused := s.job(c)
	if refused != nil {
		c.fail(refused)
		return
	}
	view := admin.JobView{Job: jobView(&job)}
	for _, l := range s.destinations(c.r.Context()) {
		if l.Destination == job.Destination {
			health := destinationView(l)
			view.Destination = &health
		}
	}
	c.reply(http.StatusOK, view)
}

// retryJob has a job tried at once, however its destination felt the last time.
func (s *Server) retryJob(c *call) {
	job, refused := s.job(c)
	if refused != nil {
		c.fail(refused)
		return
	}
	now := s.Now()
	if err := s.Store.MakeDue(c.r.Context(), job.ID, now); err != nil {
		c.fail(jobRefusal(err, job.ID))
		return
	}
	s.Queue.Wake(job.Destination)
	c.note("job", int64(job.ID), "destination", string(job.Destination))
	job.Due, job.Lease = now, time.Time{}
	c.reply(http.StatusOK, admin.JobChange{Job: jobView(&job)})
}

// cancelJob withdraws what a job has not delivered.
func (s *Server) cancelJob(c *call) {
	job, refused := s.job(c)
	if refused != nil {
		c.fail(refused)
		return
	}
	now := s.Now()
	if err := s.Store.Cancel(c.r.Context(), job.ID, now); err != nil {
		c.fail(jobRefusal(err, job.ID))
		return
	}
	c.note("job", int64(job.ID), "message", string(job.Message), "destination", string(job.Destination))
	job.State, job.Due, job.Lease = gateway.Cancelled, time.Time{}, time.Time{}
	for i := range job.Recipients {
		if d := &job.Recipients[i]; job.Destination != gateway.Reports {
			d.State, d.Changed, d.NextDue, d.ErrorCode, d.ErrorText = gateway.Cancelled, now, time.Time{}, "", ""
		}
	}
	c.reply(http.StatusOK, admin.JobChange{Job: jobView(&job)})
}

// job finds the job that the path names, for the operator.
func (s *Server) job(c *call) (gateway.Parcel, *amtp.Error) {
	id := gateway.JobID(number(c.r.PathValue("job")))
	if id <= 0 {
		return gateway.Parcel{}, noJob(c.r.PathValue("job"))
	}
	page, err := s.Store.JobsPage(c.r.Context(), gateway.JobFilter{After: id - 1, Limit: 1})
	switch {
	case err != nil:
		return gateway.Parcel{}, gateway.Refusal(err)
	case len(page.Jobs) == 0 || page.Jobs[0].ID != id:
		return gateway.Parcel{}, noJob(c.r.PathValue("job"))
	}
	return page.Jobs[0], nil
}

// number reads an id as lists show it; 0 is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != s {
		return 0
	}
	return n
}

func noJob(id string) *amtp.Error {
	return amtp.Errorf(amtp.CodeJobNotFound, "There is no job %q in the queue; it may have been delivered meanwhile.",
		gateway.Short(id))
}

func jobRefusal(err error, id gateway.JobID) *amtp.Error {
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return noJob(strconv.FormatInt(int64(id), 10))
	case errors.Is(err, gateway.ErrConflict):
		return amtp.Errorf(amtp.CodeConflict,
			"Job %d is being delivered at this moment; ask again when the attempt has ended.", int64(id))
	}
	return gateway.Refusal(err)
}

func jobView(j *gateway.Parcel) admin.QueuedJob {
	v := admin.QueuedJob{
		ID: admin.JobID(j.ID), Kind: kinds[j.Destination.Kind()], Destination: string(j.Destination),
		State:     j.State.String(),
		MessageID: j.Message, Sender: j.Envelope.Sender, Subject: j.Envelope.Subject,
		Recipients: make([]amtp.RecipientStatus, len(j.Recipients)), Size: j.Size, Attempts: j.Attempts,
		CreatedAt: amtp.Time{Time: j.Begun}, FirstAttempt: amtp.Time{Time: j.FirstTry},
		LastAttempt: amtp.Time{Time: j.LastTry},
		NextAttempt: amtp.Time{Time: j.Due}, LeasedUntil: amtp.Time{Time: j.Lease},
		ErrorCode: j.Code, ErrorMessage: j.Reason, ErrorSince: amtp.Time{Time: j.Since},
		RedrivenAt: amtp.Time{Time: j.Redriven},
	}
	for i := range j.Recipients {
		v.Recipients[i] = j.Recipients[i].Status()
	}
	return v
}

func destinationView(l queue.DestinationHealth) admin.DestinationHealth {
	return admin.DestinationHealth{Destination: string(l.Destination), Window: l.Window,
		InFlight: l.InFlight, Failures: l.Failures, ClosedUntil: amtp.Time{Time: l.ClosedUntil}}
}
