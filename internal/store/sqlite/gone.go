package sqlite

import (
	"context"
	"math"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// walked is the gone of a walk that has come to its end.
const walked = math.MaxInt64

// purgeAgents looks at the next agents that were removed before then, and forgets
// those that no message names. begin begins a walk anew that has come to its end;
// all says that it has.
func (s *Store) purgeAgents(ctx context.Context, before time.Time, begin bool, limit int) (gone int,
	all bool, err error) {
	after := s.gone.Load()
	if after == walked && begin {
		after = 0
	}
	if after == walked {
		return 0, true, nil
	}
	var unnamed []gateway.AgentID
	var looked int
	var last int64
	err = s.read(ctx, func(r *reader) error {
		unnamed, looked, last = nil, 0, after
		return r.query(`SELECT a.id, EXISTS (SELECT 1 FROM message INDEXED BY message_sender WHERE sender_agent = a.id)
					OR EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_agent WHERE agent = a.id AND agent <> 0), a.removed
				FROM agent a INDEXED BY agent_removed WHERE a.removed IS NOT NULL AND a.id > ? ORDER BY a.id LIMIT ?`,
			func(st *sqlite3.Stmt) error {
				last = st.ColumnInt64(0)
				looked++
				if !st.ColumnBool(1) && st.ColumnInt64(2) <= store.Micros(before) {
					unnamed = append(unnamed, gateway.AgentID(last))
				}
				return nil
			}, after, limit)
	})
	if err != nil {
		return 0, false, err
	}
	if len(unnamed) > 0 {
		// Nobody writes to an agent that was removed, or in its name.
		err = s.write(ctx, 64*len(unnamed), func(w *writer) error { return w.forgetAgents(unnamed) })
	}
	if err != nil {
		return 0, false, err
	}
	if looked < limit {
		last = walked
	}
	s.gone.Store(last)
	return len(unnamed), last == walked, nil
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
		if _, err := w.exec(`DELETE FROM secret WHERE kind = ?`, gateway.EndpointKind(id)); err != nil {
			return err
		}
	}
	w.changes = append(w.changes, func(d *store.Directory) { d.Forget(ids) })
	return nil
}
