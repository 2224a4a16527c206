package crashtest

import (
	"context"
	"os"
	"testing"
	"time"
)

// The documents promise these times for a machine without other load. make crash checks
// them. make check does not, because it may run on a busy machine.
const (
	readyWithin   = 2 * time.Second  // how soon after its start one gateway accepts messages again
	longest       = 30 * time.Second // how long requests may fail for a client that tries again
	settledWithin = 2 * time.Minute  // how soon after the last kill every accepted message has arrived
)

// patient is how long the test waits for one event: longer than it takes on a busy
// machine.
const patient = 10 * time.Minute

// timesVariable is set to have the times checked.
const timesVariable = "CRASH_TIMES"

// judge logs how long something took, and fails the test if the times are to be
// checked.
func judge(t *testing.T, what string, took, most time.Duration) {
	t.Helper()
	took = took.Round(time.Millisecond)
	if took > most && os.Getenv(timesVariable) != "" {
		t.Errorf("%s took %v, %v is the most", what, took, most)
		return
	}
	t.Logf("%s took %v", what, took)
}

// overall bounds a whole test that deals so many blows.
func overall(t *testing.T, blows int) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patient+time.Duration(blows)*30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// accept waits until the clients have had so many more messages accepted: whatever
// the machine, that much happens between two blows.
func (l *Ledger) accept(ctx context.Context, t *testing.T, more int) {
	t.Helper()
	l.busy(ctx, t, l.Counts().Accepted+more, 0)
}

// busy waits until so many messages were accepted and acknowledged in all: with
// less a test shows nothing.
func (l *Ledger) busy(ctx context.Context, t *testing.T, accepted, acknowledged int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for c := l.Counts(); c.Accepted < accepted || c.Acknowledged < acknowledged; c = l.Counts() {
		if pause(ctx, poll); ctx.Err() != nil {
			t.Fatalf("after %v no more came of the load than %+v, want %d accepted and %d acknowledged", patient, c,
				accepted, acknowledged)
		}
	}
}
