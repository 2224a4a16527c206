package operator

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Jobs lists the jobs that are not done, and the health of their destinations. Message
// of the filter may be any id by which a sender knows the message. next is where the
// following page begins.
func (o *Operator) Jobs(ctx context.Context, f gateway.JobFilter) (list admin.JobList, next gateway.JobID, err error) {
	given := f.Message
	var page gateway.JobPage
	if f.Message, err = o.canonical(ctx, given); err == nil && (given == "" || f.Message != "") {
		page, err = o.Store.JobsPage(ctx, f)
	}
	if err != nil {
		return list, 0, err
	}
	list = admin.JobList{Jobs: make([]admin.QueuedJob, len(page.Jobs)), Count: len(page.Jobs),
		HasMore: page.HasMore, Incomplete: page.Incomplete, Destinations: []admin.DestinationHealth{}}
	shown := make(map[gateway.Destination]bool)
	for i := range page.Jobs {
		list.Jobs[i] = jobView(&page.Jobs[i])
		shown[page.Jobs[i].Destination] = true
	}
	for _, h := range o.health(ctx) {
		if shown[h.Destination] {
			list.Destinations = append(list.Destinations, healthView(&h))
		}
	}
	return list, max(f.After, page.Next), nil
}

// healthTime is how long the queue may take to report the destinations' health. It
// answers between two steps of its work, and no longer once it has stopped.
const healthTime = 2 * time.Second

func (o *Operator) health(ctx context.Context) []gateway.DestinationHealth {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	return o.Queue.Destinations(ctx)
}

// Job returns one job, by the id that lists show.
func (o *Operator) Job(ctx context.Context, id string) (admin.JobView, error) {
	job, err := o.job(ctx, id)
	if err != nil {
		return admin.JobView{}, err
	}
	view := admin.JobView{Job: jobView(&job)}
	for _, h := range o.health(ctx) {
		if h.Destination == job.Destination {
			health := healthView(&h)
			view.Destination = &health
		}
	}
	return view, nil
}

// Retry has a job tried at once, whatever the health of its destination.
func (o *Operator) Retry(ctx context.Context, id string) (admin.QueuedJob, error) {
	job, err := o.job(ctx, id)
	if err != nil {
		return admin.QueuedJob{}, err
	}
	now := o.Now()
	if err := o.Store.MakeDue(ctx, job.ID, now); err != nil {
		return admin.QueuedJob{}, jobRefusal(err, job.ID)
	}
	o.Queue.Wake(job.Destination)
	job.Due, job.Lease = now, time.Time{}
	return jobView(&job), nil
}

// Cancel cancels the deliveries of a job that are not done.
func (o *Operator) Cancel(ctx context.Context, id string) (admin.QueuedJob, error) {
	job, err := o.job(ctx, id)
	if err != nil {
		return admin.QueuedJob{}, err
	}
	now := o.Now()
	if err := o.Store.Cancel(ctx, job.ID, now); err != nil {
		return admin.QueuedJob{}, jobRefusal(err, job.ID)
	}
	job.State, job.Due, job.Lease = gateway.Cancelled, time.Time{}, time.Time{}
	if !job.Destination.Kind().Decides() {
		return jobView(&job), nil
	}
	for i := range job.Recipients {
		d := &job.Recipients[i]
		d.State, d.Changed, d.NextDue, d.ErrorCode, d.ErrorText = gateway.Cancelled, now, time.Time{}, "", ""
	}
	return jobView(&job), nil
}

// job finds a job.
func (o *Operator) job(ctx context.Context, text string) (gateway.Parcel, error) {
	id := gateway.JobID(number(text))
	if id <= 0 {
		return gateway.Parcel{}, noJob(text)
	}
	page, err := o.Store.JobsPage(ctx, gateway.JobFilter{After: id - 1, Limit: 1})
	switch {
	case err != nil:
		return gateway.Parcel{}, err
	case len(page.Jobs) == 0 || page.Jobs[0].ID != id:
		return gateway.Parcel{}, noJob(text)
	}
	return page.Jobs[0], nil
}

// number reads an id in the form that lists show; 0 is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != s {
		return 0
	}
	return n
}

func noJob(id string) error {
	return amtp.Errorf(amtp.CodeJobNotFound, "There is no job %q in the queue; it may have been delivered meanwhile.",
		gateway.Short(id))
}

func jobRefusal(err error, id gateway.JobID) error {
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return noJob(strconv.FormatInt(int64(id), 10))
	case errors.Is(err, gateway.ErrConflict):
		return amtp.Errorf(amtp.CodeConflict,
			"Job %d is being delivered at this moment; ask again when the attempt has ended.", int64(id))
	}
	return err
}

func jobView(j *gateway.Parcel) admin.QueuedJob {
	v := admin.QueuedJob{
		ID: admin.JobID(j.ID), Kind: j.Destination.Kind().String(), Destination: string(j.Destination),
		State:     j.State.String(),
		MessageID: j.Message, Sender: j.Envelope.Sender, Subject: j.Envelope.Subject,
		Recipients: make([]amtp.RecipientStatus, 0, len(j.Recipients)), Size: j.Size, Attempts: j.Attempts,
		CreatedAt: amtp.Time{Time: j.Begun}, FirstAttempt: amtp.Time{Time: j.FirstTry},
		LastAttempt: amtp.Time{Time: j.LastTry},
		NextAttempt: amtp.Time{Time: j.Due}, LeasedUntil: amtp.Time{Time: j.Lease},
		ErrorCode: j.Code, ErrorMessage: j.Reason, ErrorSince: amtp.Time{Time: j.Since},
		RedrivenAt: amtp.Time{Time: j.Redriven},
	}
	for i := range j.Recipients {
		if !j.Destination.Kind().Whole() {
			v.Recipients = append(v.Recipients, j.Recipients[i].Status())
		}
	}
	return v
}

func healthView(h *gateway.DestinationHealth) admin.DestinationHealth {
	return admin.DestinationHealth{Destination: string(h.Destination), Window: h.Window, InFlight: h.InFlight,
		Failures: h.Failures, ClosedUntil: amtp.Time{Time: h.ClosedUntil}}
}
