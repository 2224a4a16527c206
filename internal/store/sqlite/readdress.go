package sqlite

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Readdress moves the agents of one domain to another.
func (s *Store) Readdress(ctx context.Context, from, to amtp.Domain) (gateway.Readdressed, error) {
	var done gateway.Readdressed
	err := s.write(ctx, 4096, func(w *writer) (err error) {
		done, err = w.readdress(from, to)
		return err
	})
	var refused refusedChange
	switch {
	case errors.As(err, &refused):
		return gateway.Readdressed{}, refused.error
	case err != nil:
		return gateway.Readdressed{}, err // the write may still change done
	}
	return done, nil
}

func isAddress(s string) bool {
	_, err := amtp.ParseAddress(s)
	return err == nil
}

func (w *writer) readdress(from, to amtp.Domain) (done gateway.Readdressed, err error) {
	moved := map[gateway.AgentID]amtp.Address{}
	err = w.query(`SELECT id, name, removed IS NULL, removed IS NULL AND EXISTS (SELECT 1 FROM agent b
			WHERE b.domain = ?2 AND b.name = a.name COLLATE NOCASE AND b.removed IS NULL)
			FROM agent a WHERE domain = ?1`, func(s *sqlite3.Stmt) error {
		domain, taken := to, s.ColumnBool(3)
		if taken {
			domain = from
		}
		address, err := amtp.ParseAddress(s.ColumnText(1) + "@" + string(domain))
		switch {
		case err != nil && !isAddress(s.ColumnText(1)+"@"+string(from)):
			return nil // the present address cannot be read either
		case err != nil:
			return refusedChange{err} // the new address is too long
		case taken:
			done.Stayed = append(done.Stayed, address)
			return nil
		case s.ColumnBool(2):
			done.Moved = append(done.Moved, address)
		}
		moved[gateway.AgentID(s.ColumnInt64(0))] = address
		return nil
	}, string(from), string(to))
	if err != nil || from == to {
		return gateway.Readdressed{}, err
	}
	for _, list := range [][]amtp.Address{done.Moved, done.Stayed} {
		slices.SortFunc(list, func(a, b amtp.Address) int { return cmp.Compare(a.Key(), b.Key()) })
	}
	for id := range moved {
		if _, err := w.exec(`UPDATE agent SET domain = ? WHERE id = ?`, string(to), int64(id)); err != nil {
			return gateway.Readdressed{}, err
		}
	}
	w.changes = append(w.changes, func(d *store.Directory) { d.Move(moved) })
	return done, nil
}
