package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// A report is the result of one run.
type report struct {
	Date     time.Time `json:"date"`
	System   string    `json:"system"`
	CPUs     int       `json:"cpus"`
	Go       string    `json:"go"`
	Settings settings  `json:"settings"`
	Repeated int       `json:"repeated"` // rounds that were discarded because others used the machine
	Rows     []*row    `json:"rows"`
	Ratios   []figure  `json:"ratios"`
	Figures  []figure  `json:"figures"`
}

// A row is one load on one kind of server, with a sample for each round.
type row struct {
	Work    string   `json:"work"`
	Server  string   `json:"server"`
	Clients int      `json:"clients"`
	Samples []sample `json:"samples"`
}

// A figure is one named number.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

func newReport(s settings) *report {
	return &report{
		Date: time.Now().UTC(), System: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Settings: s,
	}
}

// add adds a sample to its row.
func (r *report) add(work, server string, clients int, s sample) {
	x := r.row(work, server, clients)
	if x == nil {
		x = &row{Work: work, Server: server, Clients: clients}
		r.Rows = append(r.Rows, x)
	}
	x.Samples = append(x.Samples, s)
}

func (r *report) row(work, server string, clients int) *row {
	for _, x := range r.Rows {
		if x.Work == work && x.Server == server && x.Clients == clients {
			return x
		}
	}
	return nil
}

// ratio adds the ratio of two rows' medians of one member.
func (r *report) ratio(name string, a, b *row, member func(sample) float64) {
	r.quotient(name, spreadOf(a.Samples, member), spreadOf(b.Samples, member))
}

// quotient adds the ratio of two medians.
func (r *report) quotient(name string, a, b spread) {
	r.Ratios = append(r.Ratios, figure{Name: name, Value: a.Median / b.Median})
}

func (r *report) figure(name string, value float64, unit string) {
	r.Figures = append(r.Figures, figure{Name: name, Value: value, Unit: unit})
}

// print writes the report, as JSON or as a table.
func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Fprintf(w, "%s, %s, %d processors, %s; %d rounds, payload %d bytes; median (least to most)\n\n",
		r.Date.Format(time.DateOnly), r.System, r.CPUs, r.Go, r.Settings.Rounds, r.Settings.Payload)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Rows) > 0 {
		fmt.Fprintln(t,
			"work\tserver\tclients\tper second\tp50 µs\tp99 µs\tp99.9 µs\tmax µs\tserver CPU µs\tclient CPU µs\tother cores")
	}
	for _, x := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d", x.Work, x.Server, x.Clients)
		for _, member := range []func(sample) float64{perSecond, p50, p99, p999, longest, serverCPU, clientCPU} {
			s := spreadOf(x.Samples, member)
			fmt.Fprintf(t, "\t%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
		}
		fmt.Fprintf(t, "\t%.2f\n", spreadOf(x.Samples, otherCores).Max)
	}
	printFigures(t, "\nratio of medians", r.Ratios, "%.2f")
	printFigures(t, "\nfigure", r.Figures, "%.0f")
	if r.Repeated > 0 {
		fmt.Fprintf(t, "\n%d rounds were thrown away and repeated because others used the machine.\n", r.Repeated)
	}
	if busy := r.busiest(); busy > quiet {
		fmt.Fprintf(t, "\nOther processes kept up to %.2f processors busy meanwhile; repeat this on a quiet machine.\n",
			busy)
	}
	return t.Flush()
}

// quiet is how many processors others may use before the figures are of little use.
const quiet = 0.3

// busiest returns the most processors that other processes used.
func (r *report) busiest() float64 {
	var worst float64
	for _, x := range r.Rows {
		worst = max(worst, spreadOf(x.Samples, otherCores).Max)
	}
	return worst
}

func printFigures(w io.Writer, title string, figures []figure, format string) {
	if len(figures) == 0 {
		return
	}
	fmt.Fprintf(w, "%s\tvalue\n", title)
	for _, f := range figures {
		fmt.Fprintf(w, "%s\t"+format+" %s\n", f.Name, f.Value, f.Unit)
	}
}

// number writes a figure with its significant digits.
func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
