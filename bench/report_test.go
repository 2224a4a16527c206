package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func measured(rates ...float64) *report {
	r := newReport(settings{Rounds: len(rates), Payload: 1024})
	for _, v := range rates {
		r.add("accept", bareFloor, 8, sample{Rate: 4 * v, P50: 10, P99: 20, P999: 50})
		r.add("accept", logFloor, 8, sample{Rate: 2 * v, P50: 20, P99: 50, P999: 90})
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
		t.Errorf("a busy machine is not reported: %v\n%s", err, out.String())
	}
}

func TestTheJSONHasEverySample(t *testing.T) {
	var out strings.Builder
	if err := measured(1, 2, 3).print(&out, true); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || len(back.Rows) != 3 ||
		len(back.Rows[0].Samples) != 3 {
		t.Errorf("read back: %v, %d rows; want 3 rows of 3 samples\n%s", err, len(back.Rows), out.String())
	}
}

func TestARoundIsRepeatedForTheMachineOnly(t *testing.T) {
	b := &bench{report: newReport(settings{})}
	others := []float64{0.9, 0.1, 0.5, 0.2} // the second kept, then two tries for another
	rates := []float64{500, 1, 500, 2}
	i := 0
	round := func() error {
		b.measured("accept", bareFloor, 8, sample{Rate: rates[i], Others: others[i]})
		i++
		return nil
	}
	for range 2 {
		if err := b.quietly(round); err != nil {
			t.Fatal(err)
		}
	}
	got := b.report.row("accept", bareFloor, 8).Samples
	if len(got) != 2 || got[0].Rate != 1 || got[1].Rate != 2 || b.report.Repeated != 2 {
		t.Errorf("kept %+v, repeated %d; want the quiet rounds with rates 1 and 2, repeated 2", got, b.report.Repeated)
	}
}

func TestRepetitionEnds(t *testing.T) {
	b := &bench{report: newReport(settings{})}
	tries := 0
	err := b.quietly(func() error {
		tries++
		b.measured("accept", bareFloor, 8, sample{Rate: float64(tries), Others: 2})
		return nil
	})
	got := b.report.row("accept", bareFloor, 8).Samples
	if err != nil || tries != maxRepeats+1 || len(got) != 1 || got[0].Rate != float64(tries) {
		t.Errorf("%d tries, kept %+v, %v; want %d and the last", tries, got, err, maxRepeats+1)
	}
}
