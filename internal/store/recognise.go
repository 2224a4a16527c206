package store

import (
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Lookups are what recognising a retry reads from a store. A row is the row of a
// message, 0 for none.
type Lookups interface {
	// ByID returns the message whose canonical id is Given.
	ByID(ctx context.Context, in *Incoming) (NamedRow, error)
	// ByAlias returns the message that the sender knows under GivenID.
	ByAlias(ctx context.Context, in *Incoming) (row int64, err error)
	// ByKey returns the message for which the idempotency key is remembered.
	ByKey(ctx context.Context, in *Incoming) (row int64, err error)
	// HasContent reports whether the stored message has the content of the incoming
	// one.
	HasContent(ctx context.Context, in *Incoming, row int64) (bool, error)
	// KeepKey stores the idempotency key for the message in that row, or for the new
	// message where row is 0. kept is false when the key is stored already.
	KeepKey(ctx context.Context, in *Incoming, row int64) (kept bool, err error)
}

// NamedRow is a message and the sender that gave it its id.
type NamedRow struct {
	Row    int64
	Class  gateway.Class
	Agent  gateway.AgentID
	Sender string // as Incoming.From
}

func (r *NamedRow) isFrom(in *Incoming) bool {
	return r.Class == in.Class && r.Agent == in.SenderAgent && r.Sender == in.From()
}

// Recognise returns the row of the message that an incoming one repeats, 0 for none.
// taken reports whether another message has the given id already. If keep is set, it
// stores a new idempotency key on the way. When it returns an error, nothing was
// changed.
func Recognise(ctx context.Context, in *Incoming, l Lookups, keep bool) (row int64, taken bool, err error) {
	named := int64(0)
	if in.GivenID != "" {
		if named, taken, err = byID(ctx, in, l); err != nil {
			return 0, false, err
		}
	}
	known := named
	if known == 0 && in.Early != nil {
		if known, err = unsigned(ctx, in.Early, l); err != nil {
			return 0, false, err
		}
	}
	if in.Key == "" {
		return known, taken, nil
	}
	if keep {
		if kept, err := l.KeepKey(ctx, in, known); err != nil || kept {
			return known, taken, err
		}
	}
	keyed, err := l.ByKey(ctx, in)
	switch {
	case err != nil:
		return 0, false, err
	case keyed == 0:
		return known, taken, nil
	case named != 0 && named != keyed && in.SenderAgent != 0:
		return 0, false, gateway.ErrReused
	}
	same, err := l.HasContent(ctx, in, keyed)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return keyed, taken, err
}

// unsigned returns the row of an earlier message that was sent before its domain
// signed, and that the incoming one repeats; 0 for none. Other senders may have used
// the domain's name then: a message under the same id or key with other content does
// not count.
func unsigned(ctx context.Context, in *Incoming, l Lookups) (row int64, err error) {
	if in.GivenID != "" {
		row, _, err = byID(ctx, in, l)
		if errors.Is(err, gateway.ErrReused) {
			row, err = 0, nil
		}
		if row != 0 || err != nil {
			return row, err
		}
	}
	if in.Key == "" {
		return 0, nil
	}
	if row, err = l.ByKey(ctx, in); row == 0 || err != nil {
		return 0, err
	}
	if same, err := l.HasContent(ctx, in, row); err != nil || !same {
		return 0, err
	}
	return row, nil
}

// byID looks for the sender's earlier message under the given id.
func byID(ctx context.Context, in *Incoming, l Lookups) (row int64, taken bool, err error) {
	if in.IsUUID {
		named, err := l.ByID(ctx, in)
		if err != nil {
			return 0, false, err
		}
		taken = named.Row != 0
		if taken && named.isFrom(in) {
			same, err := l.HasContent(ctx, in, named.Row)
			if err != nil || same {
				return named.Row, true, err
			}
			if in.Class != gateway.ClassAnonymous {
				return 0, true, gateway.ErrReused
			}
		}
	}
	row, err = l.ByAlias(ctx, in)
	if row == 0 || err != nil {
		return 0, taken, err
	}
	same, err := l.HasContent(ctx, in, row)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return row, taken, err
}

// Added returns the recipients that a retry adds to a message with these deliveries.
func Added(list []gateway.Delivery, to []gateway.Recipient, dir *Directory) []gateway.Recipient {
	return slices.DeleteFunc(slices.Clone(to), func(r gateway.Recipient) bool { return has(list, r, dir) })
}

// has reports whether a message with these deliveries already had the recipient. An
// address that it had is not a new recipient, whichever agent has it now. So a new
// agent does not get the mail of a removed agent that had its name.
func has(list []gateway.Delivery, r gateway.Recipient, dir *Directory) bool {
	address := r.Address
	if r.Agent != 0 {
		address, _ = dir.Address(r.Agent)
	}
	return slices.ContainsFunc(list, func(d gateway.Delivery) bool {
		return r.Agent != 0 && d.Agent == r.Agent || !address.IsZero() && d.Recipient.Equal(address)
	})
}

// Replayed returns the answer to a retry.
func Replayed(id amtp.MessageID, list []gateway.Delivery) gateway.Accepted {
	for i := range list {
		list[i].ID = 0
	}
	return gateway.Accepted{ID: id, Replayed: true, Deliveries: list}
}
