package operator

import (
	"context"
	"errors"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// DeadLetters lists failed deliveries without the messages: those of the choice that
// come after an id. A choice without conditions covers all. next is where the following
// page begins.
func (o *Operator) DeadLetters(ctx context.Context, which admin.DeadLetterChoice, after gateway.DeliveryID,
	limit int) (list admin.DeadLetterList, next gateway.DeliveryID, err error) {
	f, none, err := o.filter(ctx, &which)
	var page gateway.DeadPage
	if f.After, f.Limit = after, limit; err == nil && !none {
		page, err = o.Store.DeadLetters(ctx, f)
	}
	if err != nil {
		return list, 0, err
	}
	list = admin.DeadLetterList{DeadLetters: make([]admin.DeadLetter, len(page.Letters)), Count: len(page.Letters),
		HasMore: page.HasMore, Incomplete: page.Incomplete}
	for i := range page.Letters {
		list.DeadLetters[i] = deadView(&page.Letters[i])
	}
	return list, max(after, page.Next), nil
}

// DeadLetter returns one dead letter with its message, byte for byte, by the id that
// lists show. AMTP §8.
func (o *Operator) DeadLetter(ctx context.Context, id string) (admin.DeadLetter, error) {
	letter, err := o.dead(ctx, id)
	if err != nil {
		return admin.DeadLetter{}, err
	}
	view := deadView(&letter)
	view.OriginalMessage = letter.Body
	return view, nil
}

// Redrive queues dead letters again, and returns how many.
func (o *Operator) Redrive(ctx context.Context, which admin.DeadLetterChoice) (int, error) {
	f, none, err := o.chosen(ctx, &which)
	if err != nil || none {
		return 0, err
	}
	again, err := o.reopened(ctx, f)
	if err != nil {
		return 0, err
	}
	n, err := o.Store.Redrive(ctx, f, o.Now())
	if err != nil {
		return 0, err
	}
	for _, d := range again {
		o.Queue.Wake(d)
	}
	return n, nil
}

// reopened returns the destinations of a redrive that names destinations or some
// letters. They are tried at once, whatever their health. In a redrive of many, each
// destination is tried when its turn comes.
func (o *Operator) reopened(ctx context.Context, f gateway.DeadFilter) (list []gateway.Destination, err error) {
	if f.Destination != "" {
		return []gateway.Destination{f.Destination}, nil
	}
	if len(f.IDs) == 0 && f.Message == "" {
		return nil, nil
	}
	f.Limit = MaxPage
	page, err := o.Store.DeadLetters(ctx, f)
	seen := make(map[gateway.Destination]bool)
	for i := range page.Letters {
		if d := page.Letters[i].Destination; !seen[d] {
			seen[d] = true
			list = append(list, d)
		}
	}
	return list, err
}

// Purge removes dead letters, and returns how many; the messages keep their failed
// status.
func (o *Operator) Purge(ctx context.Context, which admin.DeadLetterChoice) (int, error) {
	f, none, err := o.chosen(ctx, &which)
	if err != nil || none {
		return 0, err
	}
	return o.Store.PurgeDead(ctx, f)
}

// PurgeOne removes one dead letter.
func (o *Operator) PurgeOne(ctx context.Context, id string) error {
	letter, err := o.dead(ctx, id)
	if err != nil {
		return err
	}
	n, err := o.Store.PurgeDead(ctx, gateway.DeadFilter{IDs: []gateway.DeliveryID{letter.ID}})
	if err == nil && n == 0 { // another call removed it first
		err = noLetter(id)
	}
	return err
}

// dead finds a dead letter.
func (o *Operator) dead(ctx context.Context, text string) (gateway.DeadLetter, error) {
	id := number(text)
	if id == 0 {
		return gateway.DeadLetter{}, noLetter(text)
	}
	letter, err := o.Store.DeadLetter(ctx, gateway.DeliveryID(id))
	if errors.Is(err, gateway.ErrNotFound) {
		err = noLetter(text)
	}
	return letter, err
}

func noLetter(id string) error {
	return amtp.Errorf(amtp.CodeDeadLetterNotFound,
		"There is no dead letter %q; one that was queued again or removed has left the list.", gateway.Short(id))
}

// chosen checks that a request that changes dead letters names at least one condition.
func (o *Operator) chosen(ctx context.Context, w *admin.DeadLetterChoice) (f gateway.DeadFilter, none bool,
	err error) {
	some := len(w.IDs) > 0 || w.Destination != "" || w.Message != "" || w.Code != "" || !w.Before.IsZero()
	switch {
	case !some && !w.All:
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest,
			"Say which dead letters: ids, destination, message, code or before; or all for all there are.")
	case some && w.All:
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "Give conditions or all, not both.")
	case len(w.IDs) > MaxPage:
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "There are %d ids; at most %d may be in one request.",
			len(w.IDs), MaxPage)
	}
	if !gateway.Storable(w.Destination) || !gateway.Storable(string(w.Code)) {
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "destination and code have no control characters.")
	}
	if w.Message != "" {
		if _, err := amtp.ParseMessageID(string(w.Message)); err != nil {
			return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "message: %v.", err)
		}
	}
	return o.filter(ctx, w)
}

// filter turns the conditions into the filter that the store reads; none says that
// nothing can match.
func (o *Operator) filter(ctx context.Context, w *admin.DeadLetterChoice) (f gateway.DeadFilter, none bool,
	err error) {
	f = gateway.DeadFilter{Destination: Destination(w.Destination), Code: w.Code, Before: w.Before}
	for _, id := range w.IDs {
		f.IDs = append(f.IDs, gateway.DeliveryID(id))
	}
	f.Message, err = o.canonical(ctx, w.Message)
	return f, w.Message != "" && f.Message == "", err
}

// Destination reads a destination: domains are stored in lower case.
func Destination(s string) gateway.Destination {
	if d, err := amtp.ParseDomain(s); err == nil {
		return gateway.Destination(d)
	}
	return gateway.Destination(strings.ToLower(s))
}

func deadView(l *gateway.DeadLetter) admin.DeadLetter {
	code := l.Delivery.ErrorCode
	if code == "" {
		_, code = l.Delivery.State.Wire()
	}
	return admin.DeadLetter{
		ID: admin.DeadLetterID(l.ID), MessageID: l.Envelope.ID, Sender: l.Envelope.Sender,
		Recipient:   l.Delivery.Recipient,
		Destination: string(l.Destination), Subject: l.Envelope.Subject, ErrorCode: code,
		FailureReason: l.Delivery.ErrorText,
		Attempts:      l.Delivery.Attempts, FirstAttempt: amtp.Time{Time: l.FirstTry},
		LastAttempt: amtp.Time{Time: l.LastTry},
		DeadAt:      amtp.Time{Time: l.At}, ReceivedAt: amtp.Time{Time: l.Envelope.ReceivedAt}, Size: l.Size,
		Redrives: l.Generation,
	}
}
