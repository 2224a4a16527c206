package store_test

import (
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// TestReportPayload: decoding inverts encoding, and an unreadable payload names nothing.
func TestReportPayload(t *testing.T) {
	for _, failed := range [][]int64{nil, {1}, {3, 1, 1 << 62}} {
		if got := store.DecodeReport(store.EncodeReport(failed)); !slices.Equal(got, failed) {
			t.Errorf("a report of %v is decoded as %v", failed, got)
		}
	}
	if got := store.EncodeReport([]int64{7, 8}); got != `{"failed":[7,8]}` {
		t.Errorf("payload = %s, and stored ones have another form", got)
	}
	for _, damaged := range []string{"", "{", `{"failed":[1`, `{"failed":["1"]}`, `[1]`, `{"Other":[1]}`} {
		if got := store.DecodeReport(damaged); len(got) != 0 {
			t.Errorf("%q is decoded as %v, want nothing", damaged, got)
		}
	}
}

// TestWithdraw: a delivery that is redriven is taken out of the report that names it, and
// a report without other deliveries is removed.
func TestWithdraw(t *testing.T) {
	reports := []store.ReportJob{{1, store.EncodeReport([]int64{1, 2, 3})}, {2, store.EncodeReport([]int64{4})},
		{3, store.EncodeReport([]int64{5, 6})}, {4, "{"}}
	for _, c := range []struct {
		again, gone []int64
		changed     []store.ReportJob
	}{
		{nil, nil, nil},
		{[]int64{9}, nil, nil},
		{[]int64{2}, nil, []store.ReportJob{{1, `{"failed":[1,3]}`}}},
		{[]int64{4, 6, 1, 9}, []int64{2}, []store.ReportJob{{1, `{"failed":[2,3]}`}, {3, `{"failed":[5]}`}}},
		{[]int64{6, 5, 4, 3, 2, 1}, []int64{1, 2, 3}, nil},
	} {
		gone, changed := store.Withdraw(reports, c.again)
		if !slices.Equal(gone, c.gone) || !slices.Equal(changed, c.changed) {
			t.Errorf("without %v: gone %v, changed %v; want %v, %v", c.again, gone, changed, c.gone, c.changed)
		}
	}
}

// TestCarried: a job is about the deliveries that wait for it, and a report about those
// that its payload names.
func TestCarried(t *testing.T) {
	rows := []store.DeliveryRow{{Seq: 1}, {Seq: 2}, {Seq: 3}}
	for _, c := range []struct {
		of      gateway.Destination
		payload string
		want    []int64
	}{
		{"b.example", "", []int64{1, 2, 3}},
		{gateway.PushTo(1), "", []int64{1, 2, 3}},
		{gateway.Reports, store.EncodeReport([]int64{3, 1, 9}), []int64{1, 3}},
		{gateway.Reports, "{", nil},
	} {
		j := store.QueuedJob{Job: gateway.Job{Destination: c.of}, Payload: c.payload}
		var got []int64
		for _, d := range j.Carried(slices.Clone(rows)) {
			got = append(got, d.Seq)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("a job for %s with %q carries %v, want %v", c.of, c.payload, got, c.want)
		}
	}
}
