package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func measured(rates ...float64) *report {
	r := newReport(settings{Rounds: len(rates), Payload: 1024})
	for _, v := range rates {
		r.add("accept", bareFloor, 8, sample{Rate: 4 * v, P50: 10})
		r.add("accept", logFloor, 8, sample{Rate: 2 * v, P50: 20})
		r.add("accept", gatewayServer, 8, sample{Rate: v, P50: 50, P99: 100, P999: 250})
	}
	return r
}

func TestRatiosAreThoseOfMedians(t *testing.T) {
	r := measured(100, 1000, 200)
	b := &bench{report: r}
	b.compareAccepts(8)
	want := []float64{0.25, 0.5, 2.5, 2.5}
	for i, f := range r.Ratios {
		if f.Value != want[i] {
			t.Errorf("%s = %v, want %v", f.Name, f.Value, want[i])
		}
	}
	if len(r.Ratios) != len(want) {
		t.Errorf("%d ratios, want %d", len(r.Ratios), len(want))
	}
}

func TestTheTableHasMedianAndRange(t *testing.T) {
	r := measured(100, 1000, 200)
	r.figure("resident memory, idle", 16, "MiB")
	var out strings.Builder
	if err := r.print(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 (100–1000)", "400 (200–2000)", "16 MiB"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "quiet machine") {
		t.Errorf("a quiet machine is called busy:\n%s", out.String())
	}
	r.add("accept", bareFloor, 8, sample{Others: 0.9})
	if err := r.print(&out, false); err != nil || !strings.Contains(out.String(), "0.90 processors busy") {
		t.Errorf("a busy machine is not told: %v\n%s", err, out.String())
	}
}

func TestTheJSONHasEverySample(t *testing.T) {
	var out strings.Builder
	if err := measured(1, 2, 3).print(&out, true); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || len(back.Rows) != 3 || len(back.Rows[0].Samples) != 3 {
		t.Errorf("read back: %v, %d rows; want 3 rows of 3 samples\n%s", err, len(back.Rows), out.String())
	}
}
