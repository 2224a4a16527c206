package store

import (
	"encoding/json"
	"slices"
)

// A job that decides no delivery has a payload, which says what it is about: JSON in a
// column of its own. That of a report names the deliveries that failed and that the
// sender is to be told of. Redrive takes a delivery out of it before that can fail again,
// so a number names one failure.

// reportPayload is what a report has in its payload.
type reportPayload struct {
	Failed []int64 `json:"failed"` // rows of deliveries, in their order
}

// EncodeReport returns the payload of a report of deliveries, "" when there are none.
func EncodeReport(failed []int64) string {
	if len(failed) == 0 {
		return ""
	}
	text, _ := json.Marshal(reportPayload{failed}) // numbers cannot fail
	return string(text)
}

// DecodeReport returns the deliveries that a report's payload names. A payload that cannot
// be read names none: then the sender is told of the message alone.
func DecodeReport(payload string) []int64 {
	var p reportPayload
	if json.Unmarshal([]byte(payload), &p) != nil {
		return nil
	}
	return p.Failed
}

// Withdraw takes deliveries that are tried again out of a report's payload, and reports
// whether one of them was in it. The report whose rest is "" is gone.
func Withdraw(payload string, again ...int64) (rest string, changed bool) {
	failed := DecodeReport(payload)
	left := slices.DeleteFunc(slices.Clone(failed), func(seq int64) bool { return slices.Contains(again, seq) })
	return EncodeReport(left), len(left) < len(failed)
}

// Carried returns the deliveries that the job's attempts are about. rows are those that
// wait for it; of a job that decides none, those of its message.
func (j *QueuedJob) Carried(rows []DeliveryRow) []DeliveryRow {
	if j.Destination.Kind().Decides() {
		return rows
	}
	failed := DecodeReport(j.Payload)
	return slices.DeleteFunc(rows, func(d DeliveryRow) bool { return !slices.Contains(failed, d.Seq) })
}

// subject returns the deliveries of which a settlement may have results. waiting are
// those that wait for the job; of a job that decides none they stand in its payload.
func (j *QueuedJob) subject(waiting []WaitingDelivery) []WaitingDelivery {
	if j.Destination.Kind().Decides() {
		return waiting
	}
	var list []WaitingDelivery
	for _, seq := range DecodeReport(j.Payload) {
		list = append(list, WaitingDelivery{Seq: seq})
	}
	return list
}
