package cli

import (
	"testing"

	"github.com/amtp-go/amtp"
)

// TestExitOfABodyThatWasCut: a body that did not arrive in time is no mistake of the
// user, so the command may be run again.
func TestExitOfABodyThatWasCut(t *testing.T) {
	p := &program{}
	for status, want := range map[int]struct {
		exit      int
		retryable bool
	}{408: {exitUnreachable, true}, 503: {exitUnreachable, true}, 400: {exitUsage, false}, 429: {exitRefused, true},
		500: {exitInternal, false}} {
		f := p.explainAnswer(&amtp.Error{Code: amtp.CodeTemporaryFailure, Status: status, Message: "x"})
		if f.exit != want.exit || f.retryable != want.retryable {
			t.Errorf("%d: exit code %d, retryable %v; want %d, %v", status, f.exit, f.retryable, want.exit,
				want.retryable)
		}
	}
}
