package store_test

import (
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// TestReportPayload: what is encoded is decoded, and what cannot be read names nothing.
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

func TestWithdraw(t *testing.T) {
	for _, c := range []struct {
		failed, again, left []int64
	}{
		{[]int64{1, 2, 3}, []int64{2}, []int64{1, 3}},
		{[]int64{1, 2, 3}, []int64{3, 9, 1}, []int64{2}},
		{[]int64{1, 2}, []int64{1, 2}, nil},
		{[]int64{1}, []int64{2}, []int64{1}},
		{nil, []int64{2}, nil},
	} {
		rest, changed := store.Withdraw(store.EncodeReport(c.failed), c.again...)
		if want := store.EncodeReport(c.left); rest != want || changed != (len(c.left) < len(c.failed)) {
			t.Errorf("%v without %v = %q, changed %v; want %q", c.failed, c.again, rest, changed, want)
		}
	}
	if rest, changed := store.Withdraw("{", 1); rest != "" || changed {
		t.Errorf("a damaged payload became %q, changed %v; want no change", rest, changed)
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
