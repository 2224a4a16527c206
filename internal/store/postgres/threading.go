package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// threading looks up which threads messages join, by mailbox.
type threading struct {
	item        []int32
	agent, by   []int64
	from        []string
	ref, asUUID [][]byte
}

// about looks up the thread of a message that answers another, in the mailbox of its
// sender and of each recipient.
func (q *threading) about(i int32, in *store.Incoming, to []gateway.Recipient) {
	if in.InReplyTo == "" {
		return
	}
	var id []byte
	if u, ok := in.InReplyTo.UUID(); ok {
		id = u[:]
	}
	agents := []gateway.AgentID{in.SenderAgent}
	for _, r := range to {
		agents = append(agents, r.Agent)
	}
	for _, agent := range agents {
		if agent != 0 {
			q.item, q.agent, q.by = append(q.item, i), append(q.agent, int64(agent)),
				append(q.by, int64(in.SenderAgent))
			q.from, q.ref, q.asUUID = append(q.from, in.From()), append(q.ref, []byte(in.InReplyTo)),
				append(q.asUUID, id)
		}
	}
}

// parentAlias finds the answered message by the id that its sender gave it.
const parentAlias = `(SELECT a.message FROM alias a WHERE a.id = q.ref AND a.agent = q.by AND a.sender = q.author
		ORDER BY length(a.variant), a.message DESC LIMIT 1)`

// ownAlias finds the message that a sender in another domain answers, by the id under
// which it was sent from the mailbox.
const ownAlias = `(SELECT a.message FROM alias a WHERE a.id = q.ref AND a.agent = q.agent AND a.sender = ''
		ORDER BY length(a.variant), a.message DESC LIMIT 1)`

// threadsJoined finds the parent of each message and, if it is in the mailbox, its
// thread there. The id of the parent means what it means to the sender. For a sender in
// another domain, an id that the sender itself gave comes first, because another sender
// may have used it before.
const threadsJoined = `SELECT q.item, q.agent, CASE WHEN m.sender_agent = q.agent THEN m.thread ELSE d.thread END, m.uuid
	FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[]) q (item, agent, by, author, ref, uuid)
	CROSS JOIN LATERAL (SELECT coalesce(CASE WHEN q.by = 0 THEN ` + parentAlias + ` END,
		(SELECT p.id FROM message p WHERE p.uuid = q.uuid), CASE WHEN q.by = 0 THEN ` + ownAlias + ` ELSE ` + parentAlias + ` END) AS id) parent
	JOIN message m ON m.id = parent.id
	LEFT JOIN LATERAL (SELECT d.seq, d.thread FROM delivery d WHERE d.message = m.id AND d.agent = q.agent LIMIT 1) d ON true
	WHERE m.sender_agent = q.agent OR d.seq IS NOT NULL`

func (q *threading) queue(b *pgx.Batch, joins func(item int32, agent gateway.AgentID, thread string)) {
	if len(q.item) == 0 {
		return
	}
	var i int32
	var agent int64
	var thread, id []byte
	queue(b, threadsJoined, []any{q.item, q.agent, q.by, q.from, q.ref, q.asUUID}, []any{&i, &agent, &thread, &id},
		func() error {
			joins(i, gateway.AgentID(agent), string(store.Thread(string(thread), store.MessageID(id))))
			return nil
		})
}

// defaults returns the threads of a message whose parent is not in the mailbox: the id
// that it answers.
func defaults(in *store.Incoming, to []gateway.Recipient) map[gateway.AgentID]string {
	if in.InReplyTo == "" {
		return nil
	}
	threads := map[gateway.AgentID]string{in.SenderAgent: string(in.InReplyTo)}
	for _, r := range to {
		threads[r.Agent] = string(in.InReplyTo)
	}
	return threads
}

// threads returns the threads that one message joins, by mailbox.
func (t *tx) threads(ctx context.Context, in *store.Incoming,
	to []gateway.Recipient) (map[gateway.AgentID]string, error) {
	threads := defaults(in, to)
	var q threading
	q.about(0, in, to)
	if len(q.item) == 0 {
		return threads, nil
	}
	b := &pgx.Batch{}
	q.queue(b, func(_ int32, agent gateway.AgentID, thread string) { threads[agent] = thread })
	return threads, t.SendBatch(ctx, b).Close()
}
