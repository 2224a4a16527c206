package sqlite

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// livingKey finds a key that may act for an agent: it is a key of the agent, or of a
// member of the shared mailbox.
const livingKey = `SELECT 1 FROM agent_key k WHERE k.id = ?2 AND (k.agent = ?1 OR k.agent IN (
		SELECT e.value FROM agent b, json_each(nullif(b.members, '')) e
			WHERE b.id = ?1 AND b.kind = 'mailbox' AND b.removed IS NULL))`

// mayHold refuses a lease to a key that ended after the call began. The lease would
// outlive its holder.
func (w *writer) mayHold(by gateway.Acting) error {
	if by.Key == "" {
		return nil
	}
	lives := false
	err := w.query(livingKey, func(*sqlite3.Stmt) error {
		lives = true
		return nil
	}, int64(by.Agent), by.Key)
	if err == nil && !lives {
		err = gateway.ErrRevoked
	}
	return err
}

// endLeases ends the leases in an inbox that live at now and whose holders may no longer
// act in it. Their messages return at once.
func (w *writer) endLeases(inbox gateway.AgentID, now time.Time) error {
	n, err := w.exec(`UPDATE delivery INDEXED BY delivery_taken SET hidden = taken, token = NULL, holder = NULL
			WHERE agent = ?1 AND state = 5 AND pushed IS NULL AND read IS NOT NULL AND coalesce(hidden, read) > ?2
				AND holder <> '' AND NOT EXISTS (
				SELECT 1 FROM agent_key k WHERE k.id = holder AND (k.agent = ?1 OR k.agent IN (
					SELECT e.value FROM agent b, json_each(nullif(b.members, '')) e
						WHERE b.id = ?1 AND b.kind = 'mailbox' AND b.removed IS NULL)))`,
		int64(inbox), store.Micros(now))
	if n > 0 {
		w.rings = append(w.rings, store.Entry{Agent: inbox})
	}
	return err
}

// endLeasesOf ends the leases of the keys of an agent that have ended, in its own inbox
// and in the mailboxes of which it is a member.
func (w *writer) endLeasesOf(agent gateway.AgentID, now time.Time) error {
	if err := w.endLeases(agent, now); err != nil {
		return err
	}
	return w.endShared(agent, now)
}

// endShared is endLeasesOf without the agent's own inbox.
func (w *writer) endShared(agent gateway.AgentID, now time.Time) error {
	for _, box := range w.dir.Mailboxes(agent) {
		if err := w.endLeases(box.ID, now); err != nil {
			return err
		}
	}
	return nil
}
