package store

import (
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// QueuedJob is a job with the row of its message. ID 0 means that there is no job.
type QueuedJob struct {
	gateway.Job
	Row     int64
	Payload string // see EncodeReport; "" for a job that decides deliveries
}

// LeasedUnder reports whether the job exists and is leased under the fence.
func (j *QueuedJob) LeasedUnder(fence int64) bool {
	return j.ID != 0 && j.Fence == fence && j.State == gateway.Delivering
}

// Idle refuses a job that does not exist, or that is leased at that time. It removes a
// lease that has ended.
func (j *QueuedJob) Idle(now time.Time) error {
	switch {
	case j.ID == 0:
		return gateway.ErrNotFound
	case j.Lease.After(now):
		return gateway.ErrConflict
	case j.State == gateway.Delivering: // and its lease has ended
		j.State = Lapsed(j.State)
	}
	return nil
}

// Lapse ends the lease of a process that ended. The attempt counts as failed, and the
// next one follows.
func (j *QueuedJob) Lapse() {
	j.State, j.Due = Lapsed(j.State), j.LastTry.Add(gateway.Backoff(j.ID, j.Attempts))
}

// Cancelled returns the state that the job's deliveries get when the job is cancelled.
// It is 0 for a job that decides no delivery.
func (j *QueuedJob) Cancelled() (gateway.State, error) {
	state, err := gateway.Next(j.State, gateway.Cancel)
	if !j.Destination.Kind().Decides() {
		state = 0
	}
	return state, err
}

// WaitingDelivery is a delivery that waits for its job. For a report, it is a delivery
// that failed and is not reported yet.
type WaitingDelivery struct {
	Seq   int64
	Agent gateway.AgentID
}

// Ending is the result of an attempt, with its job.
type Ending struct {
	gateway.Settlement
	Job QueuedJob
}

// CheckResults refuses a settlement with an event that does not decide a delivery.
func CheckResults(s *gateway.Settlement) error {
	for _, r := range s.Results {
		if _, err := Decided(r.Event); err != nil {
			return err
		}
	}
	return nil
}

// GiveUp returns the ending of a job that is given up because of its age, as if an
// attempt had failed for the last time.
func GiveUp(j QueuedJob, waiting []WaitingDelivery, now time.Time, report bool) Ending {
	e := Ending{Job: j, Settlement: gateway.Settlement{Job: j.ID, Now: now, Report: report}}
	code := j.Code
	if code == "" {
		code = amtp.CodeRecipientUnavailable
	}
	for _, d := range j.subject(waiting) {
		e.Results = append(e.Results, gateway.Result{Delivery: gateway.DeliveryID(d.Seq), Event: gateway.GiveUp,
			Code: code, Reason: j.Reason})
	}
	return e
}

// EndJob returns the ending of a job whose message has expired.
func EndJob(j QueuedJob, waiting []WaitingDelivery, now time.Time) Ending {
	e := GiveUp(j, waiting, now, true)
	for i := range e.Results {
		e.Results[i].Code, e.Results[i].Reason = amtp.CodeMessageExpired, expiredReason
	}
	return e
}

// MayReport reports whether failures of the job are reported, provided that the sender
// lives.
func (e *Ending) MayReport() bool {
	return e.Report && e.Job.Destination.Kind().Decides() && e.Job.SenderAgent != 0
}

// SettlementRows are the rows that settlements write, by the statement that writes
// them. Times are microseconds, 0 for none.
type SettlementRows struct {
	Done      []DoneRow      // deliveries that reached the other side
	Entered   []DoneRow      // deliveries that enter an inbox instead
	Dead      []DeadRow      // deliveries that failed
	Gone      []int64        // jobs without waiting deliveries
	Postponed []PostponedRow // jobs that are retried
	Returned  []ReturnedRow  // jobs whose attempt was not made
	Reports   []ReportRow    // jobs that report failures
	Work      []gateway.Destination
}

// DoneRow is a delivery that is decided. It no longer waits for a job.
type DoneRow struct {
	Seq      int64
	Agent    gateway.AgentID
	State    gateway.State
	Now      int64
	Attempts int
}

// DeadRow is a delivery that became a dead letter.
type DeadRow struct {
	DoneRow
	First, Last int64
	Code        string
	Reason      string
}

// PostponedRow is a job that waits for its next attempt.
type PostponedRow struct {
	*gateway.Settlement
	State   gateway.State
	Until   int64  // when it is due
	Payload string // as of a QueuedJob
}

// ReturnedRow is a job as it was before its lease.
type ReturnedRow struct {
	gateway.Job
	Now, Until int64
}

// ReportRow is a new job that reports failures of a message.
type ReportRow struct {
	Message int64
	Flow    gateway.Flow
	Now     int64
	Size    int
	Payload string // as EncodeReport returns it
}

// Add enters the settlement of a job that is still leased under its fence. waiting are
// the deliveries that wait for the job. senderLives reports whether its sender is a
// living agent here. No delivery waits for a report: its payload names deliveries that
// failed before, and their rows do not change.
func (r *SettlementRows) Add(e *Ending, waiting []WaitingDelivery, senderLives bool) error {
	if e.Unmade {
		return r.giveBack(e)
	}
	results := make(map[gateway.DeliveryID]*gateway.Result, len(e.Results))
	for i := range e.Results {
		results[e.Results[i].Delivery] = &e.Results[i]
	}
	var failed, left []int64
	for _, d := range e.Job.subject(waiting) {
		result := results[gateway.DeliveryID(d.Seq)]
		switch {
		case result == nil:
			left = append(left, d.Seq)
		case e.Job.Destination.Kind().Decides():
			fails, err := r.decide(e, d, result)
			if err != nil {
				return err
			}
			if fails {
				failed = append(failed, d.Seq)
			}
		}
	}
	if len(failed) > 0 && senderLives && e.MayReport() {
		r.Reports = append(r.Reports, ReportRow{Message: e.Job.Row, Flow: e.Job.Flow, Now: Micros(e.Now),
			Size: e.Job.Size, Payload: EncodeReport(failed)})
		r.Work = append(r.Work, gateway.Reports)
	}
	if len(left) == 0 {
		r.Gone = append(r.Gone, int64(e.Job.ID))
		return nil
	}
	payload := ""
	switch kind := e.Job.Destination.Kind(); {
	case kind.Whole():
		payload = e.Job.Payload
	case !kind.Decides():
		payload = EncodeReport(left)
	}
	return r.postpone(e, payload)
}

// decide enters the result of one delivery, and reports whether it failed.
func (r *SettlementRows) decide(e *Ending, d WaitingDelivery, result *gateway.Result) (failed bool, err error) {
	row := DoneRow{Seq: d.Seq, Agent: d.Agent, Now: Micros(e.Now), Attempts: e.Job.Attempts}
	if row.State, err = Decided(result.Event); err != nil {
		return false, err
	}
	switch {
	case row.State == gateway.Delivered && result.Inbox && d.Agent != 0:
		r.Entered = append(r.Entered, row)
	case row.State == gateway.Delivered:
		r.Done = append(r.Done, row)
	default:
		r.Dead = append(r.Dead, DeadRow{DoneRow: row, First: Micros(e.Job.FirstTry), Last: Micros(e.Job.LastTry),
			Code: string(result.Code), Reason: result.Reason})
		failed = true
	}
	return failed, nil
}

// postpone enters a job that waits for its next attempt.
func (r *SettlementRows) postpone(e *Ending, payload string) error {
	state, err := gateway.Next(e.Job.State, gateway.Postpone)
	if err != nil {
		return err
	}
	r.Postponed = append(r.Postponed, PostponedRow{Settlement: &e.Settlement, State: state, Until: r.dueAgain(e),
		Payload: payload})
	return nil
}

// giveBack enters a job as if it had not been leased.
func (r *SettlementRows) giveBack(e *Ending) error {
	row := ReturnedRow{Job: e.Job.Job, Now: Micros(e.Now), Until: r.dueAgain(e)}
	if err := Return(&row.Job); err != nil {
		return err
	}
	r.Returned = append(r.Returned, row)
	return nil
}

// dueAgain returns when a job is due after its attempt. If it is due at once, dueAgain
// also notes its destination in Work.
func (r *SettlementRows) dueAgain(e *Ending) int64 {
	if e.Due.After(e.Now) {
		return Micros(e.Due)
	}
	r.Work = append(r.Work, e.Job.Destination)
	return Micros(e.Now)
}
