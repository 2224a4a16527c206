package cli

import (
	"errors"
	"io"
	"io/fs"

	"github.com/amtp-go/amtp"
)

// output is where the result of a command goes. It knows whether all of it went
// there: after a write that failed nothing more is written.
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

// codeNotShown is a result that could not be written: a full disk, a file that is
// gone.
const codeNotShown amtp.Code = "OUTPUT_FAILED"

// shown returns the failure of a result of which not all could be written, nil when
// all was. What must not happen to a message that nobody saw asks it first.
func (p *program) shown() error {
	if p.out == nil || p.out.lost == nil {
		return nil
	}
	cause := p.out.lost
	if place := (*fs.PathError)(nil); errors.As(cause, &place) {
		cause = place.Err
	}
	return &failure{exit: exitInternal, code: codeNotShown, hint: p.ifLost,
		message: "The result could not be written: " + cause.Error() + "."}
}

// unlessShown returns the failure of a result that could not be written in place of
// how the command ended otherwise. An error that has a cause of its own stays.
func (p *program) unlessShown(err error) error {
	lost := p.shown()
	if said := (*failure)(nil); lost == nil || err != nil && !errors.Is(err, p.out.lost) &&
		!(errors.As(err, &said) && said.quiet) {
		return err
	}
	return lost
}
