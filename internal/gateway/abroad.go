package gateway

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/google/uuid"
)

// RedrivenID returns the id of the new message that a redrive at that time makes of a
// message which other gateways may have forgotten. The same redrive always gives the
// same id.
func RedrivenID(id amtp.MessageID, at time.Time) amtp.MessageID {
	seed := "amtp redrive\x00" + string(amtp.PeerMessageID(id)) + "\x00" + strconv.FormatInt(at.UnixMicro(), 10)
	return amtp.MessageID(uuid.NewHash(sha256.New(), uuid.Nil, []byte(seed), 7).String())
}

// AsNew returns the time from which a message is a new one for other gateways. That
// time is Forgotten after the message was received, or the start of the job that
// carries it if that is later. From then on they may not remember what they were sent
// before.
func AsNew(received, begun time.Time) time.Time {
	if at := received.Add(Forgotten); at.After(begun) {
		return at
	}
	return begun
}

// Base returns the id, from the canonical id of the message, under which the first
// recipient of its domain gets the message. Where the other gateway supports fan-out, a
// further recipient gets it under the same id.
func (d *Delivery) Base(id amtp.MessageID) amtp.MessageID {
	if !d.Redriven.IsZero() {
		return RedrivenID(id, d.Redriven)
	}
	return amtp.PeerMessageID(id)
}

// Abroad returns the id, from the canonical id of the message, under which the
// recipient gets the message. It is for a gateway that is not known to take one id in
// several deliveries. Only this recipient has the id unless it is Base.
func (d *Delivery) Abroad(id amtp.MessageID) amtp.MessageID {
	if d.Further {
		return amtp.PeerCopyID(d.Base(id), d.Recipient)
	}
	return d.Base(id)
}

// Answered is what is known of the message that another message answers, apart from the
// id under which other gateways know it.
type Answered struct {
	From amtp.Domain // the domain that gave the id; "" when the message was sent here
	// Copies are, for a message that was sent here, the deliveries to other domains
	// whose Abroad may be another id.
	Copies []Delivery
}

// To returns the id under which the recipient knows the answered message. The argument
// id is the one in the Parcel. fanOut says that the recipient's gateway takes one id in
// several deliveries.
func (a *Answered) To(recipient amtp.Address, id amtp.MessageID, fanOut bool) amtp.MessageID {
	for i := range a.Copies {
		c := &a.Copies[i]
		switch {
		case !c.Recipient.Equal(recipient):
		case fanOut:
			return c.Base(id)
		default:
			return c.Abroad(id)
		}
	}
	return id
}
