package receipt

import (
	"context"
	"encoding/json"
	"time"

	"github.com/amtp-go/amtp"
)

// Taker applies the receipts that the gateways of other domains send.
type Taker struct {
	Store Store
	Now   func() time.Time
	turn  chan struct{}
}

// takenAtOnce is the number of messages with receipts that are applied at once. Others
// wait, so that no peer keeps readers from the store.
const takenAtOnce = 2

// NewTaker returns a Taker that applies receipts to the store.
func NewTaker(store Store, now func() time.Time) *Taker {
	return &Taker{Store: store, Now: now, turn: make(chan struct{}, takenAtOnce)}
}

// Take applies the receipts in the payload of a message from a domain that proved that it
// wrote the message. It ignores receipts that are not about that domain's recipients of this
// gateway's messages. The error is INVALID_MESSAGE_FORMAT if the payload has no receipts,
// and TEMPORARY_FAILURE if they cannot be stored now.
func (t *Taker) Take(ctx context.Context, from amtp.Domain, doc json.RawMessage) error {
	list, err := read(doc)
	if err != nil {
		return amtp.Errorf(amtp.CodeInvalidMessage, "The receipts cannot be read: %v.", err)
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = t.Store.TakeReceipts(ctx, from, list, t.Now())
	return err
}
