package courier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ends is a store whose EndMessage says this.
type ends struct {
	open  bool
	err   error
	asked int
}

func (e *ends) EndMessage(context.Context, amtp.MessageID, time.Time) (bool, error) {
	e.asked++
	return e.open, e.err
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	said, ahead := now.Add(-time.Hour), now.Add(time.Hour)
	for name, tc := range map[string]struct {
		at    time.Time
		store ends
		want  gateway.Outcome
		asked int
	}{
		"it ends":             {said, ends{}, gateway.Outcome{Event: gateway.Success}, 1},
		"the message is gone": {said, ends{err: gateway.ErrNotFound}, gateway.Outcome{Event: gateway.Success}, 1},
		"a recipient works on it": {said, ends{open: true},
			gateway.Outcome{Event: gateway.Postpone, RetryAfter: 30 * time.Second}, 1},
		"the store is busy": {said, ends{err: errors.New("busy")},
			gateway.Outcome{Event: gateway.Postpone, RetryAfter: time.Second}, 1},
		"the job comes too early": {ahead, ends{}, gateway.Outcome{Event: gateway.Postpone, RetryAfter: time.Hour}, 0},
	} {
		p := gateway.Parcel{Job: gateway.Job{Begun: now.Add(-time.Minute)}, At: tc.at,
			Recipients: []gateway.Delivery{{}}}
		e := &courier.Expiry{Store: &tc.store, Now: func() time.Time { return now }}
		got := e.Carry(context.Background(), p).Outcomes
		if len(got) != 1 || got[0].Event != tc.want.Event || got[0].RetryAfter != tc.want.RetryAfter ||
			tc.store.asked != tc.asked {
			t.Errorf("%s: %+v after %d calls, want %+v after %d", name, got, tc.store.asked, tc.want, tc.asked)
		}
	}
}
