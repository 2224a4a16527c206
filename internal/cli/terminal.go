package cli

import (
	"io"
	"os"

	"github.com/amtp-go/amtp/internal/render"
)

// columnsOf returns the width of the terminal that a stream is connected to, and whether it
// is one.
func columnsOf(stream any) (columns int, is bool) {
	if o, is := stream.(*output); is {
		stream = o.w
	}
	f, isFile := stream.(*os.File)
	if !isFile {
		return 0, false
	}
	return terminalWidth(f)
}

// isTerminal reports whether the stream is a terminal.
func isTerminal(stream any) bool {
	_, is := columnsOf(stream)
	return is
}

// Colours, as terminals accept them.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint writes text in a colour if a person sees it and wants that: at a terminal,
// without NO_COLOR (no-color.org) and TERM=dumb.
func (p *program) paint(to io.Writer, colour, text string) string {
	if _, is := p.columns(to); !is || text == "" || p.getenv("NO_COLOR") != "" || p.getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// mark shows whether a point of a check is in order.
func (p *program) mark(ok bool) string {
	if ok {
		return p.paint(p.stdout, green, "✓")
	}
	return p.paint(p.stdout, red, "✗")
}

// width is how many columns a line of the result may take, 0 for any.
func (p *program) width() int {
	columns, is := p.columns(p.stdout)
	if !is || columns < 40 { // a narrower one does not report its width, or shows nothing useful
		return 0
	}
	return columns
}

// fitted cuts a text after a label so that it fits the terminal.
func (p *program) fitted(indent int, text string) string {
	if columns := p.width(); columns > 0 {
		return render.Fit(text, columns-indent)
	}
	return text
}
