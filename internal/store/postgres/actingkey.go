package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/jackc/pgx/v5"
)

// livingKey finds a key that has not ended. A key ends together with its agent.
const livingKey = `SELECT FROM agent_key WHERE id = $1`

// actingKey is the acting key of a request that uses a connection. Another replica may
// have ended the key a moment ago, so it is looked up together with the first
// statement. That costs no round trip of its own. If the key has ended, a transaction
// is rolled back. Outside of a transaction, the statement only reads.
type actingKey struct {
	id      string
	checked bool
}

// by returns the connection for a caller with an acting key, which is checked with the
// next statement.
func (c conn) by(by gateway.Acting) conn {
	if c.key = nil; by.Key != "" {
		c.key = &actingKey{id: by.Key}
	}
	return c
}

// isUnchecked reports whether the key still has to be looked up.
func (k *actingKey) isUnchecked() bool { return k != nil && !k.checked }

// SendBatch sends the statements of b. The first batch of a connection also looks up
// the acting key.
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
