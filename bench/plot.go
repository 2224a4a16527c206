package main

import (
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// The files of the plots, in the directory of -plots.
const (
	throughputFile = "throughput.svg"
	latencyFile    = "latency.svg"
)

// Measures of a plot, in its own units, and its colours. They are dark enough on white,
// and readers with a colour vision deficiency can tell them apart.
const (
	plotWidth  = 760
	plotLeft   = 170 // where the axis begins
	plotRight  = 660 // the end of the axis; labels follow
	plotTop    = 76
	rowHeight  = 22
	groupSpace = 14
)

var serverColour = map[string]string{"bare": "#9aa5b1", "log": "#2a78b8", "gateway": "#c2571a"}

// writePlots draws the accept rows of the report.
func writePlots(dir string, r *report) error {
	var rows []*row
	for _, x := range r.Rows {
		if x.Work == "accept" {
			rows = append(rows, x)
		}
	}
	if len(rows) == 0 {
		return errors.New("-plots: there is nothing to draw without the work accept")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, throughputFile), []byte(throughputPlot(r, rows)), 0o644),
		os.WriteFile(filepath.Join(dir, latencyFile), []byte(latencyPlot(r, rows)), 0o644),
	)
}

// a plot is an unfinished drawing, which is made from top to bottom.
type plot struct {
	strings.Builder
	y float64
}

// throughputPlot shows a bar for each load: the median rate, with the least and the
// highest of the rounds.
func throughputPlot(r *report, rows []*row) string {
	most := 0.0
	for _, x := range rows {
		most = max(most, spreadOf(x.Samples, perSecond).Max)
	}
	at := func(v float64) float64 { return plotLeft + (plotRight-plotLeft)*v/most }
	var p plot
	p.begin("Messages accepted in a second", r, rows)
	p.rows(rows, func(x *row, y float64) {
		s := spreadOf(x.Samples, perSecond)
		p.printf(`<rect x="%d" y="%.1f" width="%.1f" height="14" rx="2" fill="%s"/>`, plotLeft, y,
			at(s.Median)-plotLeft, colour(x))
		p.printf(`<path d="M%.1f %.1fH%.1f" stroke="#1f2933" stroke-width="1.5"/>`, at(s.Min), y+7, at(s.Max))
		p.text(at(s.Max)+8, y+11, "", fmt.Sprintf("%.0f", s.Median))
	})
	return p.end("Bars are medians, lines reach from the slowest round to the fastest. Longer is better.")
}

// latencyPlot shows three points for each load, on a logarithmic axis: the
// medians of p50, p99 and p99.9.
func latencyPlot(r *report, rows []*row) string {
	low, high := math.Inf(1), 0.0
	for _, x := range rows {
		low, high = min(low, spreadOf(x.Samples, p50).Median), max(high, spreadOf(x.Samples, p999).Median)
	}
	first, last := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	at := func(us float64) float64 {
		return plotLeft + (plotRight-plotLeft)*(math.Log10(us)-first)/max(last-first, 1)
	}
	var p plot
	p.begin("How long an accept takes", r, rows)
	bottom := p.y + height(rows)
	for d := first; d <= last; d++ {
		x := at(math.Pow(10, d))
		p.printf(`<path d="M%.1f %dV%.1f" stroke="#e4e7eb"/>`, x, plotTop, bottom)
		p.text(x, bottom+14, "middle", duration(math.Pow(10, d)))
	}
	p.rows(rows, func(x *row, y float64) {
		marks := []float64{spreadOf(x.Samples, p50).Median, spreadOf(x.Samples, p99).Median,
			spreadOf(x.Samples, p999).Median}
		p.printf(`<path d="M%.1f %.1fH%.1f" stroke="%s" stroke-width="2"/>`, at(marks[0]), y+7, at(marks[2]), colour(x))
		for i, us := range marks {
			p.printf(`<circle cx="%.1f" cy="%.1f" r="%d" fill="%s"/>`, at(us), y+7, 6-i, colour(x))
		}
		p.text(at(marks[2])+10, y+11, "", duration(marks[1]))
	})
	p.y += 20
	return p.end("Points are p50, p99 and p99.9, each the median of the rounds; the label is p99. Further left is better.")
}

// begin opens the drawing, with its title and the servers' colours.
func (p *plot) begin(title string, r *report, rows []*row) {
	total := plotTop + height(rows) + 50
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" role="img" font-family="system-ui, sans-serif" font-size="12" fill="#1f2933">`,
		plotWidth, total)
	p.printf(`<title>%s</title><rect width="%d" height="%.0f" fill="#ffffff"/>`, html.EscapeString(title),
		plotWidth, total)
	p.printf(`<text x="16" y="28" font-size="17" font-weight="600">%s</text>`, html.EscapeString(title))
	p.text(16, 48, "", fmt.Sprintf("%s, %d processors, %s, payload %d bytes, %d rounds, %s", r.System, r.CPUs, r.Go,
		r.Settings.Payload, r.Settings.Rounds, r.Date.Format("2006-01-02")))
	p.y = plotTop
}

// rows draws the loads, those with the same number of clients together.
func (p *plot) rows(rows []*row, draw func(x *row, y float64)) {
	for i, x := range rows {
		if i == 0 || rows[i-1].Clients != x.Clients {
			if i > 0 {
				p.y += groupSpace
			}
			p.text(16, p.y+11, "", clients(x.Clients))
		}
		p.text(plotLeft-10, p.y+11, "end", x.Server)
		draw(x, p.y)
		p.y += rowHeight
	}
}

func (p *plot) end(caption string) string {
	p.text(16, p.y+22, "", caption)
	p.WriteString("</svg>\n")
	return p.String()
}

func (p *plot) printf(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *plot) text(x, y float64, anchor, s string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	p.printf(`<text x="%.1f" y="%.1f"%s>%s</text>`, x, y, anchor, html.EscapeString(s))
}

func height(rows []*row) float64 {
	h := float64(len(rows) * rowHeight)
	for i := 1; i < len(rows); i++ {
		if rows[i-1].Clients != rows[i].Clients {
			h += groupSpace
		}
	}
	return h
}

func colour(x *row) string {
	if c := serverColour[x.Server]; c != "" {
		return c
	}
	return "#52606d"
}

func clients(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// duration writes microseconds.
func duration(us float64) string {
	if us < 1000 {
		return fmt.Sprintf("%.0f µs", us)
	}
	return fmt.Sprintf("%.3g ms", us/1000)
}
