package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Readdress moves the agents of one domain to another.
func (s *Store) Readdress(ctx context.Context, from, to amtp.Domain) (gateway.Readdressed, error) {
	if from == to {
		return gateway.Readdressed{}, nil
	}
	return changeDirectory(ctx, s, gateway.Acting{}, func(ctx context.Context, t *tx,
		version int64) (done gateway.Readdressed, err error) {
		var ids []int64
		var folded []string
		if ids, folded, done, err = t.movers(ctx, from, to); err != nil || len(ids) == 0 {
			return done, err
		}
		_, err = t.change(ctx, `UPDATE agent a SET domain = $1, folded = u.folded, version = $2
				FROM unnest($3::bigint[], $4::text[]) u (id, folded) WHERE a.id = u.id`, string(to), version, ids, folded)
		return done, err
	})
}

func isAddress(s string) bool {
	_, err := amtp.ParseAddress(s)
	return err == nil
}

// movers returns the agents that move, with their new addresses, and the lists of
// living agents that move and stay.
func (t *tx) movers(ctx context.Context, from, to amtp.Domain) (ids []int64, folded []string,
	done gateway.Readdressed, err error) {
	var id int64
	var name string
	var lives, taken bool
	// The version locks the directory, so that no agent changes until the commit.
	err = t.query(ctx, `SELECT a.id, a.name, a.removed IS NULL, a.removed IS NULL AND EXISTS (
				SELECT 1 FROM agent b WHERE b.removed IS NULL AND b.folded = lower(a.name) || '@' || $2)
			FROM agent a WHERE a.domain = $1 ORDER BY a.id`, []any{string(from), string(to)}, []any{&id, &name, &lives, &taken}, func() error {
		domain := to
		if taken {
			domain = from
		}
		address, err := amtp.ParseAddress(name + "@" + string(domain))
		switch {
		case err != nil && !isAddress(name+"@"+string(from)):
			return nil // the present address cannot be read either
		case err != nil:
			return err // the new address is too long
		case taken:
			done.Stayed = append(done.Stayed, address)
			return nil
		case lives:
			done.Moved = append(done.Moved, address)
		}
		ids, folded = append(ids, id), append(folded, address.Key())
		return nil
	})
	for _, list := range [][]amtp.Address{done.Moved, done.Stayed} {
		slices.SortFunc(list, func(a, b amtp.Address) int { return cmp.Compare(a.Key(), b.Key()) })
	}
	return ids, folded, done, err
}
