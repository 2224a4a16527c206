package sqlite

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Answerers returns the senders of the answers to a message of the agent.
func (s *Store) Answerers(ctx context.Context, by gateway.Acting, id amtp.MessageID) (list []amtp.Address, err error) {
	err = s.readBy(ctx, by, func(r *reader) error {
		list = nil
		thread, _, err := r.threadNamed(by.Agent, id)
		if err != nil {
			return err
		}
		match, err := r.inboxMatch(by, gateway.InboxFilter{InReplyTo: id})
		if err != nil {
			return err
		}
		answers := store.Answers{Match: match}
		err = r.query(`SELECT m.class, `+senderOf+`, m.in_reply_to FROM delivery d INDEXED BY delivery_thread
				JOIN message m ON m.id = d.message WHERE d.agent = ? AND d.thread = ? ORDER BY d.message LIMIT ?`,
			func(st *sqlite3.Stmt) error {
				answers.Look(gateway.Class(st.ColumnInt64(0)), st.ColumnText(1), st.ColumnText(2))
				return nil
			}, int64(by.Agent), string(thread), s.bounds.Scan)
		list = answers.Senders
		return err
	})
	return list, err
}
