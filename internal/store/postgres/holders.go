package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// A transaction that gives leases holds the lock of the inbox together with others, and
// looks at the key after it has the lock. A transaction that ends keys or memberships
// waits for these before it ends the leases: so no lease outlives the right of its holder.
const (
	shareLeases = `SELECT pg_advisory_xact_lock_shared($1::int, $2::int)`
	endLeases   = `UPDATE delivery d SET hidden = d.taken, token = NULL, holder = NULL
		WHERE d.agent = ANY ($1::bigint[]) AND d.agent <> 0 AND NOT d.pushed AND d.state = 5 AND d.read IS NOT NULL
			AND coalesce(d.hidden, d.read) > $2 AND d.holder <> ''
			AND NOT EXISTS (SELECT FROM agent_key k, (SELECT d.agent AS agent) u WHERE k.id = d.holder AND ` + mayAct + `)
		RETURNING d.agent`
	mailboxesOf = `SELECT id FROM agent WHERE version > $2 AND kind = 'mailbox' AND removed IS NULL AND members <> ''
		AND members::jsonb @> to_jsonb($1::bigint)`
)

// leasing is by for a transaction that gives leases.
func (c conn) leasing(by gateway.Acting) conn {
	c = c.by(by)
	if c.key != nil {
		c.key.leases = true
	}
	return c
}

// queueShared queues the lock under which a key is looked at.
func (k *actingKey) queueShared(b *pgx.Batch) {
	if k.leases {
		b.Queue(shareLeases, int32(leaseLock), int32(int64(k.agent)%boxStripes))
	}
}

// endLeases ends the leases in inboxes that live at now and whose holders may no longer act
// in them. Their messages return at once.
func (t *tx) endLeases(ctx context.Context, now time.Time, inboxes ...int64) error {
	_, err := t.change(ctx, lockInboxes, int32(leaseLock), boxes(inboxes, func(int) bool { return true }))
	if err != nil {
		return err
	}
	var inbox int64
	rang := map[int64]bool{}
	return t.query(ctx, endLeases, []any{inboxes, store.Micros(now)}, []any{&inbox}, func() error {
		if !rang[inbox] {
			rang[inbox] = true
			t.rings = append(t.rings, store.Entry{Agent: gateway.AgentID(inbox)})
		}
		return nil
	})
}

// endLeasesOf ends the leases of the keys of an agent that have ended, in its own inbox
// and in the mailboxes of which it is a member.
func (s *Store) endLeasesOf(ctx context.Context, t *tx, agent gateway.AgentID, now time.Time) error {
	return s.endShared(ctx, t, agent, now, int64(agent))
}

// endShared ends those in the mailboxes, and in further inboxes. The directory knows the
// mailboxes, but for those that were changed through other replicas since it was read.
func (s *Store) endShared(ctx context.Context, t *tx, agent gateway.AgentID, now time.Time, inboxes ...int64) error {
	version := s.caught.version.Load()
	for _, box := range s.dir.Mailboxes(agent) {
		inboxes = append(inboxes, int64(box.ID))
	}
	var box int64
	err := t.query(ctx, mailboxesOf, []any{int64(agent), version}, []any{&box}, func() error {
		inboxes = append(inboxes, box)
		return nil
	})
	if err != nil || len(inboxes) == 0 {
		return err
	}
	slices.Sort(inboxes) // the locks are taken in one order
	return t.endLeases(ctx, now, slices.Compact(inboxes)...)
}
