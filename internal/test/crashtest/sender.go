package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/google/uuid"
)

// The habits of the clients, each as one in so many.
const (
	giveUpOneIn = 20 // lost answers after which a sender does not try again
	repeatOneIn = 10 // accepted messages that are sent once more
	misuseOneIn = 30 // accepted messages whose key is used for another one
)

// A Sender sends one message after the other to some of the recipients, until stop is
// closed. It repeats each until it has an answer, except for the few on which it gives
// up.
type Sender struct {
	*Agent
	Recipients []amtp.Address
	Number     string // a literal in the payload
	Rand       *rand.Rand
	Pause      time.Duration // between two messages
	sent       int
}

// Run sends. It returns early only when ctx ends.
func (s *Sender) Run(ctx context.Context, stop <-chan struct{}) {
	for ctx.Err() == nil {
		select {
		case <-stop:
			return
		default:
		}
		m, name := s.compose()
		if !s.deliver(ctx, m, name) {
			continue
		}
		if s.Rand.IntN(repeatOneIn) == 0 {
			s.deliver(ctx, m, name)
		}
		if s.Rand.IntN(misuseOneIn) == 0 {
			s.misuse(ctx, m)
		}
		pause(ctx, s.Pause)
	}
}

// compose makes the next message and records it. Some messages have an id that the
// sender chose. Some have such an id and a key that differs at every attempt.
func (s *Sender) compose() (amtp.Message, string) {
	s.sent++
	name := fmt.Sprintf("%s-%d", s.Address.Local(), s.sent)
	text := make([]byte, s.Rand.IntN(1500))
	for i := range text {
		text[i] = byte('#' + s.Rand.IntN('['-'#')) // no character that needs an escape, but < > & are among them
	}
	m := amtp.Message{
		Sender:     s.Address,
		Recipients: s.choose(),
		Subject:    name,
		Payload:    fmt.Appendf(nil, `{"name":%q,"text":"%s","number":%s}`, name, text, s.Number),
	}
	kind := s.Rand.IntN(3)
	if kind > 0 {
		m.MessageID = amtp.NewMessageID()
	}
	if kind < 2 {
		m.IdempotencyKey = uuid.NewString()
	}
	s.ledger.Attempt(name, m.Recipients, m.Payload)
	return m, name
}

// choose returns a random selection of at least one recipient.
func (s *Sender) choose() []amtp.Address {
	var some []amtp.Address
	for _, i := range s.Rand.Perm(len(s.Recipients))[:1+s.Rand.IntN(len(s.Recipients))] {
		some = append(some, s.Recipients[i])
	}
	return some
}

// deliver sends m until there is an answer, and reports whether it was accepted.
func (s *Sender) deliver(ctx context.Context, m amtp.Message, name string) bool {
	gaveUp := false
	err := s.until(ctx, func(ctx context.Context, c *amtp.Client) error {
		r, err := c.Send(ctx, m)
		if err == nil {
			s.ledger.Accepted(name, r.MessageID, r.Replayed)
		}
		if isLost(err) && s.Rand.IntN(giveUpOneIn) == 0 {
			gaveUp = true
			return nil
		}
		return err
	})
	if isRefusal(err) {
		s.ledger.Refused(name)
		s.ledger.Fault("%s was refused: %v", name, err)
	}
	return err == nil && !gaveUp
}

// misuse sends another message under the key or id of an accepted one. The gateway must
// refuse it, and no reader may ever see it.
func (s *Sender) misuse(ctx context.Context, m amtp.Message) {
	other, name := s.compose()
	other.IdempotencyKey, other.MessageID = m.IdempotencyKey, m.MessageID
	err := s.until(ctx, func(ctx context.Context, c *amtp.Client) error {
		_, err := c.Send(ctx, other)
		return err
	})
	var refused *amtp.Error
	switch {
	case errors.As(err, &refused) && refused.Code == amtp.CodeIdempotencyKeyReused:
		s.ledger.Refused(name)
	case ctx.Err() == nil:
		s.ledger.Fault("%s under a key that was used: %v, want %s", name, err, amtp.CodeIdempotencyKeyReused)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
