package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// unnamed is true for an agent a that no message names. The subqueries look up one row
// each: for an EXISTS the server would read all messages.
const unnamed = ` (SELECT id FROM message WHERE sender_agent = a.id LIMIT 1) IS NULL
	AND (SELECT seq FROM delivery WHERE agent = a.id AND agent <> 0 LIMIT 1) IS NULL`

// PurgeAgents forgets removed agents that no message names.
func (s purgeRows) PurgeAgents(ctx context.Context, before time.Time, begin bool, limit int) (int, bool, error) {
	return s.gone.Step(begin, limit, func(after int64) (looked int, last int64, gone int, err error) {
		var free []int64
		err = s.read(ctx, func(ctx context.Context, c conn) error {
			free, looked, last = nil, 0, after // the read may run again
			var id int64
			var due bool
			return c.query(ctx, `SELECT a.id, a.removed <= $3 AND`+unnamed+
				` FROM agent a WHERE a.removed IS NOT NULL AND a.id > $1 ORDER BY a.id LIMIT $2`,
				[]any{after, limit, store.Micros(before)}, []any{&id, &due}, func() error {
					looked, last = looked+1, id
					if due {
						free = append(free, id)
					}
					return nil
				})
		})
		if err != nil || len(free) == 0 {
			return looked, last, 0, err
		}
		free, err = write(ctx, s.Store, func(ctx context.Context, t *tx) ([]int64, error) {
			return t.forgetAgents(ctx, free)
		})
		if err == nil {
			s.dir.Forget(agentIDs(free))
		}
		return looked, last, len(free), err
	})
}

// forgetAgents deletes the agents that no message names, and returns their ids.
func (t *tx) forgetAgents(ctx context.Context, ids []int64) ([]int64, error) {
	gone, err := t.numbers(ctx, `DELETE FROM agent a WHERE a.id = ANY ($1::bigint[]) AND a.removed IS NOT NULL AND`+
		unnamed+` RETURNING a.id`, ids)
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	kinds := make([]string, len(gone))
	for i, id := range gone {
		kinds[i] = gateway.EndpointKind(gateway.AgentID(id))
	}
	if _, err := t.change(ctx, `DELETE FROM contact WHERE agent = ANY ($1::bigint[])`, gone); err != nil {
		return nil, err
	}
	if _, err := t.change(ctx, `DELETE FROM met WHERE agent = ANY ($1::bigint[])`, gone); err != nil {
		return nil, err
	}
	_, err = t.change(ctx, `DELETE FROM document WHERE kind = ANY ($1::text[])`, kinds)
	return gone, err
}

func agentIDs(list []int64) []gateway.AgentID {
	ids := make([]gateway.AgentID, len(list))
	for i, id := range list {
		ids[i] = gateway.AgentID(id)
	}
	return ids
}

// goneStep is how many removed agents one query looks up.
const goneStep = 1000

// forgetGone drops removed agents from memory that another replica has deleted from the
// database. A deleted row has no version that would show it.
func (s *Store) forgetGone(ctx context.Context) error {
	known := s.dir.Gone(goneStep)
	if len(known) == 0 {
		return nil
	}
	ids := column(known, func(id *gateway.AgentID) int64 { return int64(*id) })
	var there []int64
	err := s.read(ctx, func(ctx context.Context, c conn) (err error) {
		there, err = c.numbers(ctx, `SELECT id FROM agent WHERE id = ANY ($1::bigint[])`, ids)
		return err
	})
	if err != nil {
		return err
	}
	s.dir.Forget(slices.DeleteFunc(known, func(id gateway.AgentID) bool { return slices.Contains(there, int64(id)) }))
	return nil
}
