package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/jackc/pgx/v5"
)

// livingKey finds a key that has not ended, if it may act for the agent. A key ends
// together with its agent.
const livingKey = `SELECT FROM agent_key k, (SELECT $2::bigint AS agent) u WHERE k.id = $1 AND ` + mayAct

// mayAct is the condition that key k may act for agent u.agent: it is a key of the agent,
// or of a member of the shared mailbox.
const mayAct = `(k.agent = u.agent OR EXISTS (SELECT FROM agent b WHERE b.id = u.agent AND b.kind = 'mailbox'
		AND b.removed IS NULL AND b.members <> '' AND b.members::jsonb @> to_jsonb(k.agent)))`

// actingKey is the acting key of a request that uses a connection. Another replica may
// have ended the key a moment ago, so it is looked up together with the first
// statement. That costs no round trip of its own. If the key has ended, a transaction
// is rolled back. Outside of a transaction, the statement only reads.
type actingKey struct {
	id      string
	agent   gateway.AgentID
	checked bool
	leases  bool // the transaction gives leases
}

// by returns the connection for a caller with an acting key, which is checked with the
// next statement.
func (c conn) by(by gateway.Acting) conn {
	if c.key = nil; by.Key != "" {
		c.key = &actingKey{id: by.Key, agent: by.Agent}
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
		c.key.queueShared(first)
		first.Queue(livingKey, c.key.id, int64(c.key.agent)).Query(func(rows pgx.Rows) error {
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
