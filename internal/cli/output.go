package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/render"
)

// output is the writer of a command's result. It knows whether all of the result was
// written. After a failed write it writes nothing more.
type output struct {
	w    io.Writer
	lost error // of the first write that failed
}

func (o *output) Write(b []byte) (int, error) {
	if o.lost != nil {
		return 0, o.lost
	}
	n, err := o.w.Write(b)
	o.lost = err
	return n, err
}

// codeOutputFailed is the code for a result that could not be written, for example to a
// full disk.
const codeOutputFailed amtp.Code = "OUTPUT_FAILED"

// outputError returns the failure of a result that could not be written in full, nil when all
// was. A command asks it before it changes a message that the user should have seen.
func (p *program) outputError() error {
	if p.out == nil || p.out.lost == nil {
		return nil
	}
	cause := p.out.lost
	if place := (*fs.PathError)(nil); errors.As(cause, &place) {
		cause = place.Err
	}
	return &failure{exit: exitInternal, code: codeOutputFailed, hint: p.ifLost,
		message: "The result could not be written: " + cause.Error() + "."}
}

// unlessLost returns the failure of a result that could not be written, in place of err.
// An error with a cause of its own stays.
func (p *program) unlessLost(err error) error {
	lost := p.outputError()
	if said := (*failure)(nil); lost == nil || err != nil && !errors.Is(err, p.out.lost) &&
		!(errors.As(err, &said) && said.quiet) {
		return err
	}
	return lost
}

// printf writes a result.
func (p *program) printf(format string, args ...any) {
	fmt.Fprintf(p.stdout, format, args...)
}

// notef tells the user something that is not part of the result.
func (p *program) notef(format string, args ...any) {
	fmt.Fprintf(p.stderr, format, args...)
}

// sayf writes a result, or to stderr when stdout is for JSON.
func (p *program) sayf(format string, args ...any) {
	if p.json {
		p.notef(format, args...)
		return
	}
	p.printf(format, args...)
}

// printTable writes rows with their columns below one another, cleaned, the first as
// their heads.
func (p *program) printTable(rows [][]string) {
	_ = render.Table(p.stdout, rows) // output records a failed write
}

// labelled writes lines of a label and a value, cleaned, and nothing for an empty value.
func (p *program) labelled(width int) func(label, value string) {
	return func(label, value string) { render.Labelled(p.stdout, width, label, value) }
}

// printJSON writes v as one line of JSON in which no character is invisible.
func (p *program) printJSON(v any) error { return render.JSON(p.stdout, v) }

// timeText writes a time in the form of the user's locale, in the user's zone.
func (p *program) timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(render.TimeLayout(cmp.Or(p.getenv("LC_ALL"), p.getenv("LC_TIME"), p.getenv("LANG"))))
}
