package intake

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Candidate is a message with a known sender that is being checked.
type Candidate struct {
	Principal *gateway.Principal
	Message   *amtp.Message
	Envelope  *gateway.Envelope // as it will be stored
	list      recipients
}

// Check decides whether a message is accepted. It returns the refusal of the whole
// message, or nil. It refuses single recipients with Candidate.Refuse. It sees each
// message that is to be stored, a retry too, and must not do network I/O.
type Check func(context.Context, *Candidate) error

// Recipients returns the recipients that no check has refused so far, and their indices
// for Refuse.
func (c *Candidate) Recipients(yield func(int, gateway.Recipient) bool) {
	for i := range c.list {
		if to := c.list[i].to; to != (gateway.Recipient{}) && !yield(i, to) {
			return
		}
	}
}

// Address returns the address of a recipient.
func (c *Candidate) Address(i int) amtp.Address { return c.list[i].status.Address }

// Refuse refuses the message for one recipient. The sentence why has no capital letter
// and no full stop.
func (c *Candidate) Refuse(i int, code amtp.Code, why string) { c.list[i].refuse(code, why) }

// check runs all checks on a message. Those that a gateway plugs in run after the cheap
// ones and before the volume check, which counts the messages that it accepts.
func (in *Intake) check(ctx context.Context, c *Candidate) error {
	if refused := in.checkSize(c); refused != nil {
		return refused
	}
	for _, check := range in.Checks {
		if err := check(ctx, c); err != nil {
			return err
		}
	}
	if c.list.taken() == 0 && c.Message.IdempotencyKey == "" && c.Message.MessageID == "" {
		return c.list.refusal(c.Message) // it cannot be a retry of an accepted message
	}
	return in.refuseVolume(c.Principal, c.list, c.Message)
}
