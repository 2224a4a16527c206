package intake

import (
	"fmt"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// envelopeRoom is more than the bytes that transit to another gateway adds to a
// message: ids, addresses, the time, and a signature of the longest kind.
const envelopeRoom = 4 << 10

// checkSize refuses a message that cannot be signed for another domain, and the
// recipients whose gateways do not accept its size.
func (in *Intake) checkSize(c *Candidate) error {
	if !c.list.leaves() {
		return nil
	}
	if refused := c.Message.Signable(); refused != nil {
		return refused
	}
	in.refuseTooLarge(c.list, c.Message, c.Envelope)
	return nil
}

// refuseTooLarge refuses the recipients in other domains whose gateways would refuse
// the message for its size, as far as their limits are known. So its sender gets the
// error at once, and not in a report. For the others the first attempt finds out.
func (in *Intake) refuseTooLarge(list recipients, m *amtp.Message, e *gateway.Envelope) {
	if in.Sizes == nil {
		return
	}
	size := int64(0) // without the recipient's address
	for i := range list {
		to := list[i].to.Address
		if list[i].to.Agent != 0 || to.IsZero() {
			continue
		}
		most := in.Sizes.Most(to.Domain())
		if most == 0 || int64(len(m.Raw())+envelopeRoom) <= most {
			continue
		}
		if size == 0 { // it costs a signature, and the other sizes differ by their address only
			whole := in.Sizes.Size(m, amtp.PeerEnvelope{MessageID: e.ID, IdempotencyKey: m.IdempotencyKey,
				Timestamp: e.Timestamp, Sender: e.Sender, Recipient: to})
			if whole == 0 {
				return
			}
			size = whole - int64(len(to.String()))
		}
		if on := size + int64(len(to.String())); on > most {
			list[i].refuse(amtp.CodeMessageTooLarge,
				fmt.Sprintf("the message has %d bytes on its way, and the gateway of %s takes %d", on,
					to.Domain(), most))
		}
	}
}
