package automail

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// EchoName is the local part of the agent Echo. It is reserved.
const EchoName = "echo"

// EchoStore is what Echo needs of gateway.Store.
type EchoStore interface {
	AgentNamed(context.Context, amtp.Address) (*gateway.Agent, error)
	AddAgent(context.Context, gateway.Agent, gateway.Key,
		...func(gateway.AgentID) gateway.DocumentChange) (gateway.Agent, error)
	RemoveAgent(ctx context.Context, by gateway.Acting, id gateway.AgentID, now time.Time) error
	Keys(context.Context, gateway.AgentID) ([]gateway.Key, error)
	Inbox(context.Context, gateway.Acting, gateway.InboxFilter) (gateway.InboxPage, error)
	Ack(ctx context.Context, by gateway.Acting, id amtp.MessageID, now time.Time) (gateway.Mark, error)
	Watch(gateway.AgentID) (bell <-chan struct{}, stop func())
}

// Echo is the agent echo@{domain}, which confirms that a message arrived. It exists if
// the operator has enabled it.
//
// It answers each message once, with at most a kilobyte, and one domain at most six times
// a minute. It answers only senders that their domain has proven and senders here, and
// never a message that a program sent by itself. It acknowledges a message even if it
// does not answer it. Its inbox and its answers are like those of any agent. It has no
// key: no caller can read its messages or write as it.
type Echo struct {
	Store    EchoStore
	Acceptor gateway.Acceptor
	Domain   amtp.Domain // ours
	Now      func() time.Time
	Log      *slog.Logger

	agent   gateway.Agent
	answers answers
}

// ownKey is the id of the key that the store requires of every agent. No caller has its
// secret. An agent of the name without this key belongs to a user, from before the name
// was reserved.
const ownKey = "key_echo"

// Open registers the agent at the first start. It fails if another agent has its name.
func (e *Echo) Open(ctx context.Context) error {
	address, err := e.address()
	if err != nil {
		return err
	}
	for range 2 { // another replica may be faster
		var there *gateway.Agent
		if there, err = e.Store.AgentNamed(ctx, address); err == nil {
			e.agent = *there
			if ours, err := e.isOurs(ctx, there.ID); err != nil || ours {
				return err
			}
			return fmt.Errorf("there is an agent %s that somebody registered; remove it, or leave echo.enabled false",
				address)
		}
		now := e.Now()
		key := gateway.Key{ID: ownKey, CreatedAt: now, LastUsed: now}
		rand.Read(key.Hash[:]) // of a random secret that is not kept
		e.agent, err = e.Store.AddAgent(ctx, gateway.Agent{
			Address: address, DeliveryMode: "pull",
			Description: "Answers who asks whether messages get through", Role: EchoName,
			Listed: true, CreatedAt: now, LastActive: now,
		}, key)
		if !errors.Is(err, gateway.ErrExists) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", address, err)
	}
	return nil
}

// Close removes the agent when the operator has disabled it: a sender that writes to it
// gets AGENT_UNKNOWN. An agent of the name that belongs to a user stays.
func (e *Echo) Close(ctx context.Context) error {
	address, err := e.address()
	if err != nil {
		return err
	}
	there, err := e.Store.AgentNamed(ctx, address)
	if err != nil {
		return nil // there is none
	}
	ours, err := e.isOurs(ctx, there.ID)
	if err != nil || !ours {
		return err
	}
	err = e.Store.RemoveAgent(ctx, gateway.Acting{}, there.ID, e.Now())
	if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		return fmt.Errorf("remove %s: %w", address, err)
	}
	return nil
}

func (e *Echo) address() (amtp.Address, error) {
	return amtp.ParseAddress(EchoName + "@" + string(e.Domain))
}

func (e *Echo) isOurs(ctx context.Context, id gateway.AgentID) (bool, error) {
	keys, err := e.Store.Keys(ctx, id)
	if err != nil {
		return false, err
	}
	for _, k := range keys {
		if k.ID == ownKey {
			return true, nil
		}
	}
	return false, nil
}

// How long Run waits for its bell before it reads the inbox anyway, and how long it
// waits if its answers cannot be accepted now.
const (
	lookAgain = time.Minute
	tryAgain  = 5 * time.Second
	pageSize  = 50
	pageBytes = 4 << 20
)

// Run answers until ctx ends. After a restart it handles the message again at which it was
// interrupted.
func (e *Echo) Run(ctx context.Context) error {
	bell, stop := e.Store.Watch(e.agent.ID)
	defer stop()
	for {
		pause := lookAgain
		if err := e.drain(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("the agent echo cannot answer now and tries again later", "cause", err)
			pause = tryAgain
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-bell:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// drain handles the messages in the inbox. An error means that messages are left. A
// message that fails does not stop those after it, unless the gateway accepts no messages
// now.
func (e *Echo) drain(ctx context.Context) (left error) {
	after := int64(0)
	for {
		page, err := e.Store.Inbox(ctx, gateway.Acting{Agent: e.agent.ID},
			gateway.InboxFilter{After: after, Limit: pageSize, MaxBytes: pageBytes})
		if err != nil {
			return err
		}
		for i := range page.Items {
			err := e.handle(ctx, &page.Items[i])
			var shut *amtp.Error
			if errors.As(err, &shut) && shut.Code == amtp.CodeTemporaryFailure {
				return err
			}
			left = cmp.Or(left, err)
		}
		if after = page.Next; !page.HasMore {
			return left
		}
	}
}

// handle answers a message if it deserves an answer, and acknowledges it. The answer is
// stored first: after a crash between the two, the same answer is written again, and the
// intake recognises it.
func (e *Echo) handle(ctx context.Context, item *gateway.InboxItem) error {
	if e.mayAnswer(item) {
		if err := defect.Contain(func() error { return e.answer(ctx, item) }); err != nil {
			e.answers.giveBack(item.Sender.Domain())
			return err
		}
	}
	_, err := e.Store.Ack(ctx, gateway.Acting{Agent: e.agent.ID}, item.ID, e.Now())
	if errors.Is(err, gateway.ErrNotFound) {
		return nil
	}
	return err
}

// answer answers a message. If the answer cannot be written, or is refused, the message
// is skipped. An error means that another try may succeed.
func (e *Echo) answer(ctx context.Context, item *gateway.InboxItem) error {
	m, err := answer(item, e.agent.Address)
	if err != nil {
		e.Log.Warn("an echo cannot be written", "message", string(item.ID), "to", item.Sender.String(), "cause", err)
		return nil
	}
	_, refused := e.Acceptor.Accept(ctx, gateway.Principal{Agent: &e.agent}, m, 0)
	switch {
	case refused == nil:
	case isLater(refused):
		return gateway.Refusal(refused)
	default: // the sender is gone, or an answer from before an upgrade is stored already
		e.Log.Info("an echo was refused", "to", item.Sender.String(), "code", string(gateway.CodeOf(refused)))
	}
	return nil
}

// mayAnswer reports whether a message deserves an answer and its domain has not had too
// many.
func (e *Echo) mayAnswer(item *gateway.InboxItem) bool {
	if !Deserves(item) {
		return false
	}
	return e.answers.allow(item.Sender.Domain(), e.Now())
}

// Deserves reports whether a message is to be answered, apart from the limit on answers.
func Deserves(item *gateway.InboxItem) bool {
	local := strings.ToLower(item.Sender.Local())
	trust := item.Shown().Trust
	if trust != amtp.TrustLocal && trust != amtp.TrustVerified || gateway.IsReserved(local) ||
		item.Class == gateway.ClassGateway {
		return false
	}
	m, refused := amtp.ParseMessage(item.Body)
	return refused == nil && !m.Automatic()
}
