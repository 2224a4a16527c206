package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// PurgeAgents forgets removed agents that no message names.
func (s purgeRows) PurgeAgents(ctx context.Context, before time.Time, begin bool, limit int) (int, bool, error) {
	return s.gone.Step(begin, limit, func(after int64) (looked int, last int64, gone int, err error) {
		var unnamed []gateway.AgentID
		err = s.read(ctx, func(r *reader) error {
			unnamed, looked, last = nil, 0, after // the read may run again
			return r.query(`SELECT a.id, EXISTS (SELECT 1 FROM message INDEXED BY message_sender WHERE sender_agent = a.id)
						OR EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_agent WHERE agent = a.id AND agent <> 0), a.removed
					FROM agent a INDEXED BY agent_removed WHERE a.removed IS NOT NULL AND a.id > ? ORDER BY a.id LIMIT ?`,
				func(st *sqlite3.Stmt) error {
					looked, last = looked+1, st.ColumnInt64(0)
					if !st.ColumnBool(1) && st.ColumnInt64(2) <= store.Micros(before) {
						unnamed = append(unnamed, gateway.AgentID(last))
					}
					return nil
				}, after, limit)
		})
		if err == nil && len(unnamed) > 0 {
			// No message is accepted for or from a removed agent, so they stay unnamed.
			err = s.write(ctx, 64*len(unnamed), func(w *writer) error { return w.forgetAgents(unnamed) })
		}
		return looked, last, len(unnamed), err
	})
}

func (w *writer) forgetAgents(ids []gateway.AgentID) error {
	for _, id := range ids {
		if _, err := w.exec(`DELETE FROM agent WHERE id = ? AND removed IS NOT NULL`, int64(id)); err != nil {
			return err
		}
		if _, err := w.exec(`DELETE FROM contact WHERE agent = ?`, int64(id)); err != nil {
			return err
		}
		if _, err := w.exec(`DELETE FROM met WHERE agent = ?`, int64(id)); err != nil {
			return err
		}
		if _, err := w.exec(`DELETE FROM document WHERE kind = ?`, gateway.EndpointKind(id)); err != nil {
			return err
		}
	}
	w.changes = append(w.changes, func(d *store.Directory) { d.Forget(ids) })
	return nil
}
