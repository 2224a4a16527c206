package sqlite

import (
	"context"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// labelsOf is the labels of a message m in the mailbox of an agent, as store.Labels reads
// them. The number of the agent and a parenthesis follow.
const labelsOf = `(SELECT group_concat(l.name, ' ') FROM label l WHERE l.message = m.id AND l.agent = `

// Label changes the labels of a message.
func (s *Store) Label(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	change gateway.LabelChange) (labels []string, err error) {
	err = s.writeBy(ctx, by, 64, func(w *writer) error {
		if w.reserve.refuses() {
			return gateway.ErrFull
		}
		row, err := w.find(gateway.Reader{Agent: by.Agent}, id)
		if err == nil && row == 0 {
			err = gateway.ErrNotFound
		}
		if err != nil {
			return err
		}
		var have []string
		err = w.query(`SELECT `+labelsOf+`?2) FROM message m WHERE m.id = ?1`, func(s *sqlite3.Stmt) error {
			have = store.Labels(s.ColumnText(0))
			return nil
		}, row, int64(by.Agent))
		if err != nil {
			return err
		}
		if labels, err = change.Apply(have); err != nil {
			return err
		}
		return w.relabel(labelled{row, by.Agent}, have, labels)
	})
	if err != nil {
		return nil, err // the write may still change labels
	}
	return labels, nil
}

// labelled is a message in the mailbox of an agent.
type labelled struct {
	message int64
	agent   gateway.AgentID
}

// relabel replaces labels by others.
func (w *writer) relabel(m labelled, have, want []string) error {
	for _, name := range have {
		if slices.Contains(want, name) {
			continue
		}
		if _, err := w.exec(`DELETE FROM label WHERE message = ? AND agent = ? AND name = ?`, m.message, int64(m.agent),
			name); err != nil {
			return err
		}
	}
	for _, name := range want {
		if slices.Contains(have, name) {
			continue
		}
		if _, err := w.exec(`INSERT INTO label (message, agent, name) VALUES (?, ?, ?)`, m.message, int64(m.agent),
			name); err != nil {
			return err
		}
	}
	return nil
}

// labelled returns the messages with a label in the agent's mailbox.
func (c *statements) labelled(agent gateway.AgentID) func(name string) store.Series {
	return func(name string) store.Series {
		return store.Index(func(before int64, limit int) ([]int64, error) {
			return c.numbers(`SELECT message FROM label INDEXED BY label_agent WHERE agent = ? AND name = ? AND message < ?
					ORDER BY message DESC LIMIT ?`, int64(agent), name, before, limit)
		})
	}
}
