package postgres

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// Answerers returns the senders of the answers to a message of the agent.
func (s *Store) Answerers(ctx context.Context, by gateway.Acting, id amtp.MessageID) (list []amtp.Address, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		c, list = c.by(by), nil
		thread, _, err := c.threadNamed(ctx, by.Agent, id)
		if err != nil {
			return err
		}
		match, err := c.inboxMatch(ctx, by.Agent, gateway.InboxFilter{InReplyTo: id})
		if err != nil {
			return err
		}
		answers := store.Answers{Match: match}
		var class int16
		var sender, reply []byte
		err = c.query(ctx, `SELECT m.class, coalesce(m.sender, (SELECT a.name || '@' || a.domain FROM agent a WHERE a.id = m.sender_agent)),
				m.in_reply_to FROM delivery d JOIN message m ON m.id = d.message
				WHERE d.agent = $1 AND d.agent <> 0 AND d.thread = $2 ORDER BY d.message LIMIT $3`,
			[]any{int64(by.Agent), []byte(thread), s.bounds.Scan}, []any{&class, &sender, &reply}, func() error {
				answers.Look(gateway.Class(class), string(sender), string(reply))
				return nil
			})
		list = answers.Senders
		return err
	})
	return list, err
}
