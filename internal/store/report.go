package store

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// reportPayload is the payload of a report, a column of its job. A redrive removes a
// delivery from it before that delivery can fail again, so that a number names one failure.
type reportPayload struct {
	Failed []int64 `json:"failed"`       // rows of deliveries, in their order
	At     int64   `json:"at,omitempty"` // µs, for which time later work was asked
}

// EncodeReport returns the payload of a report about deliveries that failed, as JSON. It
// is "" for none.
func EncodeReport(failed []int64) string {
	if len(failed) == 0 {
		return ""
	}
	text, _ := json.Marshal(reportPayload{Failed: failed}) // numbers cannot fail
	return string(text)
}

// WholeMessage is the payload of a job whose subject is the message itself: the number 0,
// which no delivery has, and the time for which the job was asked. So the job needs no body.
func WholeMessage(at time.Time) string {
	text, _ := json.Marshal(reportPayload{Failed: []int64{0}, At: Micros(at)}) // numbers cannot fail
	return string(text)
}

// NeedBody is the condition of jobs that need the body of their message: all jobs whose
// subject is not the message itself.
var NeedBody = func() string {
	var whole []string
	for _, k := range gateway.Kinds() {
		if k.Whole() {
			whole = append(whole, "'"+k.Prefix()+"'")
		}
	}
	return `destination NOT IN (` + strings.Join(whole, ", ") + `)`
}()

// At returns the time for which later work was asked, the zero time for any other job. The
// job's own times may change with the clock.
func (j *QueuedJob) At() time.Time {
	var p reportPayload
	if !j.Destination.Kind().Whole() || json.Unmarshal([]byte(j.Payload), &p) != nil {
		return time.Time{}
	}
	if p.At == 0 {
		return j.Begun
	}
	return FromMicros(p.At)
}

// DecodeReport returns the deliveries that a report's payload names. A payload that cannot
// be read names none; the report then names the message alone.
func DecodeReport(payload string) []int64 {
	var p reportPayload
	if json.Unmarshal([]byte(payload), &p) != nil {
		return nil
	}
	return p.Failed
}

// withdraw removes deliveries from a report's payload, and reports whether one of them was
// in it.
func withdraw(payload string, again []int64) (rest string, changed bool) {
	failed := DecodeReport(payload)
	left := slices.DeleteFunc(slices.Clone(failed), func(seq int64) bool { return slices.Contains(again, seq) })
	return EncodeReport(left), len(left) < len(failed)
}

// Carried returns the deliveries of the job's parcel. rows are the deliveries that wait
// for the job or, for a job that decides none, all deliveries of its message.
func (j *QueuedJob) Carried(rows []DeliveryRow) []DeliveryRow {
	switch {
	case j.Destination.Kind().Decides():
		return rows
	case j.Destination.Kind().Whole():
		return []DeliveryRow{{Whole: true}}
	}
	failed := DecodeReport(j.Payload)
	return slices.DeleteFunc(rows, func(d DeliveryRow) bool { return !slices.Contains(failed, d.Seq) })
}

// subject returns the deliveries that a settlement of the job may have results for.
// waiting are the deliveries that wait for it; a job that decides none has them in its
// payload.
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
