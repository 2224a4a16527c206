package postgres

import (
	"context"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// labelsOf is the labels of a message m in the mailbox of an agent, as store.Labels reads
// them. The number of the agent and a parenthesis follow.
const labelsOf = `(SELECT coalesce(string_agg(l.name, ' '), '') FROM label l WHERE l.message = m.id AND l.agent = `

// Label changes the labels of a message. A lock on the message keeps it, and keeps other
// changes waiting.
func (s *Store) Label(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	change gateway.LabelChange) ([]string, error) {
	return write(ctx, s, func(ctx context.Context, t *tx) ([]string, error) {
		t.conn = t.by(by)
		row, err := t.find(ctx, gateway.Reader{Agent: by.Agent}, id)
		if err == nil && row != 0 {
			row, err = t.number(ctx, `SELECT id FROM message WHERE id = $1 FOR UPDATE`, row)
		}
		if err == nil && row == 0 {
			err = gateway.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		var text string
		err = t.query(ctx, `SELECT `+labelsOf+`$2) FROM message m WHERE m.id = $1`, []any{row, int64(by.Agent)},
			[]any{&text}, func() error { return nil })
		if err != nil {
			return nil, err
		}
		have := store.Labels(text)
		labels, err := change.Apply(have)
		if err != nil {
			return nil, err
		}
		gone := slices.DeleteFunc(slices.Clone(have), func(name string) bool { return slices.Contains(labels, name) })
		if _, err = t.change(ctx,
			`DELETE FROM label WHERE message = $1 AND agent = $2 AND name = ANY ($3::text[])`, row,
			int64(by.Agent), gone); err != nil {
			return nil, err
		}
		_, err = t.change(ctx, `INSERT INTO label (message, agent, name) SELECT $1, $2, unnest($3::text[])
			ON CONFLICT DO NOTHING`, row, int64(by.Agent), labels)
		return labels, err
	})
}

// labelled returns the messages with a label in the agent's mailbox. The order is one
// that only the index of labels has: see sentBy.
func (c conn) labelled(ctx context.Context, agent gateway.AgentID) func(name string) store.Series {
	return func(name string) store.Series {
		return store.Index(func(before int64, limit int) ([]int64, error) {
			return c.numbers(ctx,
				`SELECT message FROM label WHERE agent = $1 AND name >= $2 AND (name, message) < ($2, $3::bigint)
					ORDER BY name DESC, message DESC LIMIT $4`, int64(agent), name, before, limit)
		})
	}
}
