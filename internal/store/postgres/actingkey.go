package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/jackc/pgx/v5"
)

// livingKey finds a key that has not ended, nor its agent: they end together.
const livingKey = `SELECT FROM agent_key WHERE id = $1`

// actingKey is the key by which somebody acts who uses a connection. Another replica
// may have ended it a moment ago, so the database is asked, in the round of the
// first statement: it costs none of its own. In a transaction what that statement
// did is undone where the key has ended; outside of one it only reads.
type actingKey struct {
	id      string
	checked bool
}

func actingKeyIn(ctx context.Context) *actingKey {
	_, id := gateway.KeyShown(ctx)
	if id == "" {
		return nil
	}
	return &actingKey{id: id}
}

// isUnchecked reports whether there is something to ask yet.
func (k *actingKey) isUnchecked() bool { return k != nil && !k.checked }

// SendBatch sends the statements of b, the first ones with the question whether
// the key may be acted by.
func (c conn) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if c.key.isUnchecked() {
		c.key.checked = true
		first := &pgx.Batch{}
		first.Queue(livingKey, c.key.id).Query(func(rows pgx.Rows) error {
			lives := rows.Next()
			rows.Close()
			if err := rows.Err(); err != nil || lives {
				return err
			}
			return gateway.ErrRevoked
		})
		b.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
	}
	return c.Conn.SendBatch(ctx, b)
}
