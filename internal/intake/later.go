package intake

import (
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// later returns what is to be done with the message at the times in its headers. A sender
// here is refused when a time cannot be read or is too far away. Another domain's gateway
// is not: its message is delivered like any other.
//
// tooFar is the refusal of a time that is too far away. It depends on the clock. So a
// retry of a message that was accepted is recognised all the same.
func (in *Intake) later(p gateway.Principal, m *amtp.Message, from writer, now time.Time) (list []gateway.Later,
	tooFar, _ error) {
	for _, l := range []struct {
		name string
		time func() (time.Time, error)
		to   gateway.Destination
		most time.Duration
		here bool // only for a sender here
	}{
		{amtp.HeaderAnswerBy, m.AnswerBy, gateway.Deadlines, gateway.MaxAnswerBy, true},
		{amtp.HeaderExpires, m.Expires, gateway.Expiries, gateway.MaxExpires, false},
	} {
		at, err := l.time()
		far := err == nil && at.Sub(now) > l.most
		if far {
			err = fmt.Errorf("the header %s is at most %d days ahead", l.name, int(l.most/(24*time.Hour)))
		}
		switch {
		case from.agent == 0 && (err != nil || l.here), p.Gateway:
			continue
		case err != nil:
			err = amtp.Errorf(amtp.CodeInvalidMessage, "The message was not accepted: %v.", err)
			if !far {
				return nil, nil, err
			}
			tooFar = err
		case !at.IsZero():
			list = append(list, gateway.Later{Destination: l.to, At: at})
		}
	}
	return list, tooFar, nil
}
