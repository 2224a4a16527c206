package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// written says in words what rows a settlement writes.
func written(r *store.SettlementRows) string {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, d := range r.Done {
		say("%d %v after %d", d.Seq, d.State, d.Attempts)
	}
	for _, d := range r.Entered {
		say("%d into the inbox of %d", d.Seq, d.Agent)
	}
	for _, d := range r.Dead {
		say("%d dead %v %s", d.Seq, d.State, d.Code)
	}
	for _, id := range r.Gone {
		say("job %d gone", id)
	}
	for _, p := range r.Postponed {
		say("job %d %v in %v%s", p.Job, p.State, store.FromMicros(p.Until).Sub(noon), p.Payload)
	}
	for _, j := range r.Returned {
		say("job %d %v again in %v", j.ID, j.State, store.FromMicros(j.Until).Sub(noon))
	}
	for _, n := range r.Reports {
		say("report on %d %s", n.Message, n.Payload)
	}
	for _, d := range r.Work {
		say("ring %s", d)
	}
	return strings.Join(list, ", ")
}

func result(seq int64, e gateway.Event) gateway.Result {
	return gateway.Result{Delivery: gateway.DeliveryID(seq), Event: e, Code: "AGENT_UNKNOWN"}
}

// TestSettlementRows: the rows that the end of an attempt writes.
func TestSettlementRows(t *testing.T) {
	waiting := []store.WaitingDelivery{{Seq: 1}, {Seq: 2, Agent: 8}, {Seq: 3}}
	inbox := result(2, gateway.Success)
	inbox.Inbox = true
	for _, c := range []struct {
		name    string
		to      gateway.Destination
		payload string
		end     gateway.Settlement
		removed bool // the sender
		want    string
	}{
		{name: "all are delivered", to: "b.example", end: gateway.Settlement{Report: true, Results: []gateway.Result{
			result(3, gateway.Success), result(2, gateway.Success), result(1, gateway.Success)}},
			want: "1 delivered after 2, 2 delivered after 2, 3 delivered after 2, job 5 gone"},
		{name: "one fails and two stay", to: "b.example", end: gateway.Settlement{Report: true,
			Due: noon.Add(time.Hour), Results: []gateway.Result{result(2, gateway.Refuse)}},
			want: `2 dead failed AGENT_UNKNOWN, job 5 retrying in 1h0m0s, report on 9 {"failed":[2]}, ring report:`},
		{name: "one report for all that fail", to: "b.example", end: gateway.Settlement{Report: true,
			Results: []gateway.Result{result(1, gateway.GiveUp), result(2, gateway.Success),
				result(3, gateway.Refuse)}},
			want: "2 delivered after 2, 1 dead expired AGENT_UNKNOWN, 3 dead failed AGENT_UNKNOWN, job 5 gone, " +
				`report on 9 {"failed":[1,3]}, ring report:`},
		{name: "nobody wants a report", to: "b.example", end: gateway.Settlement{Due: noon,
			Results: []gateway.Result{result(1, gateway.Refuse)}},
			want: "1 dead failed AGENT_UNKNOWN, job 5 retrying in 0s, ring b.example"},
		{name: "the sender was removed", to: "b.example", removed: true, end: gateway.Settlement{Report: true,
			Results: []gateway.Result{result(1, gateway.Refuse), result(2, gateway.Refuse),
				result(3, gateway.Refuse)}},
			want: "1 dead failed AGENT_UNKNOWN, 2 dead failed AGENT_UNKNOWN, 3 dead failed AGENT_UNKNOWN, job 5 gone"},
		{name: "a result of one that does not wait", to: "b.example", end: gateway.Settlement{
			Due: noon.Add(time.Minute), Results: []gateway.Result{result(4, gateway.Refuse)}}, want: "job 5 retrying in 1m0s"},
		{name: "an inbox instead", to: gateway.PushTo(8), end: gateway.Settlement{Due: noon.Add(time.Minute),
			Results: []gateway.Result{inbox}}, want: "2 into the inbox of 8, job 5 retrying in 1m0s"},
		{name: "no attempt was made", to: "b.example", end: gateway.Settlement{Unmade: true, Due: noon.Add(time.Minute),
			Results: []gateway.Result{result(1, gateway.Refuse)}}, want: "job 5 retrying again in 1m0s"},
		{name: "a report is written", to: gateway.Reports, payload: `{"failed":[6,7]}`,
			end: gateway.Settlement{Report: true, Results: []gateway.Result{result(6, gateway.Success),
				result(7, gateway.Refuse)}},
			want: "job 5 gone"},
		{name: "a report is written in part", to: gateway.Reports, payload: `{"failed":[6,7]}`,
			end: gateway.Settlement{Due: noon.Add(time.Minute),
				Results: []gateway.Result{result(6, gateway.Success)}},
			want: `job 5 retrying in 1m0s{"failed":[7]}`},
		{name: "a report of what is not there", to: gateway.Reports, payload: "{", want: "job 5 gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := store.Ending{Settlement: c.end, Job: store.QueuedJob{Row: 9, Payload: c.payload, Job: gateway.Job{
				ID: 5, Destination: c.to, State: gateway.Delivering, Attempts: 2, SenderAgent: 4}}}
			e.Settlement.Job, e.Now = 5, noon
			var rows store.SettlementRows
			if err := rows.Add(&e, waiting, !c.removed); err != nil {
				t.Fatal(err)
			}
			if got := written(&rows); got != c.want {
				t.Errorf("it writes\n%s, want\n%s", got, c.want)
			}
		})
	}
}

// TestGiveUp: all deliveries that wait for a job are given up with its last error; for a
// report, the deliveries in its payload.
func TestGiveUp(t *testing.T) {
	for _, c := range []struct {
		to      gateway.Destination
		code    string
		payload string
		want    []gateway.DeliveryID
		said    string
	}{
		{"b.example", "", "", []gateway.DeliveryID{1, 2}, "RECIPIENT_UNAVAILABLE"},
		{"b.example", "RATE_LIMITED", "", []gateway.DeliveryID{1, 2}, "RATE_LIMITED"},
		{gateway.Reports, "TEMPORARY_FAILURE", `{"failed":[7]}`, []gateway.DeliveryID{7}, "TEMPORARY_FAILURE"},
	} {
		var j store.QueuedJob
		j.ID, j.Destination, j.Payload = 5, c.to, c.payload
		j.Code = amtp.Code(c.code)
		e := store.GiveUp(j, []store.WaitingDelivery{{Seq: 1}, {Seq: 2}}, noon, true)
		var got []gateway.DeliveryID
		for _, r := range e.Results {
			if got = append(got, r.Delivery); r.Event != gateway.GiveUp || string(r.Code) != c.said {
				t.Errorf("a job for %s ends with %v %s, want GiveUp %s", c.to, r.Event, r.Code, c.said)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("a job for %s gives up %v, want %v", c.to, got, c.want)
		}
	}
}
