package render

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes rows to w, each column below the head that the first row has for it. Every
// cell is cleaned.
func Table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, Clean(cell))
		}
		fmt.Fprint(t, "\n")
	}
	return t.Flush()
}

// Labelled writes a label and a value to w on one line, with the label padded to width, and
// nothing for an empty value. The value is cleaned.
func Labelled(w io.Writer, width int, label, value string) {
	if value != "" {
		fmt.Fprintf(w, "  %-*s %s\n", width, label, Clean(value))
	}
}
