package sqlite

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Documents lists the documents of a kind.
func (s *Store) Documents(ctx context.Context, kind string) (list []gateway.Document, err error) {
	err = s.read(ctx, func(r *reader) error {
		list, err = r.documents(kind)
		return err
	})
	return list, err
}

func (c *statements) documents(kind string) (list []gateway.Document, err error) {
	err = c.query(`SELECT name, sealed, facts, created FROM document WHERE kind = ? ORDER BY created, name`,
		func(s *sqlite3.Stmt) error {
			list = append(list, gateway.Document{
				Kind: kind, Name: s.ColumnText(0), Sealed: s.ColumnBlob(1, nil), Facts: s.ColumnBlob(2, nil),
				Created: store.FromMicros(s.ColumnInt64(3)),
			})
			return nil
		}, kind)
	return list, err
}

// ChangeDocuments replaces the documents of a kind by the result of change.
func (s *Store) ChangeDocuments(ctx context.Context, kind string,
	change func([]gateway.Document) ([]gateway.Document, error)) error {
	err := s.write(ctx, 4096, func(w *writer) error {
		return w.changeDocuments(gateway.DocumentChange{Kind: kind, Change: change})
	})
	var refused refusedChange
	if errors.As(err, &refused) {
		return refused.error
	}
	return err
}

// changeDocuments makes a change. When it returns a refusedChange, nothing was written.
func (w *writer) changeDocuments(c gateway.DocumentChange) error {
	before, err := w.documents(c.Kind)
	if err != nil {
		return err
	}
	after, err := store.ChangeDocuments(&c, before)
	if err != nil {
		return refusedChange{err}
	}
	if _, err := w.exec(`DELETE FROM document WHERE kind = ?`, c.Kind); err != nil {
		return err
	}
	for i := range after {
		if err := w.addDocument(&after[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) addDocument(n *gateway.Document) error {
	_, err := w.exec(`INSERT INTO document (kind, name, sealed, facts, created) VALUES (?, ?, ?, ?, ?)`,
		n.Kind, n.Name, blob(n.Sealed), blob(n.Facts), store.Micros(n.Created))
	return err
}

// blob returns b as a value that is not null.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// ReadDocuments lists the documents of a kind in the database in dir, without the right
// to change it. A gateway may be running.
func ReadDocuments(ctx context.Context, dir, kind string) (list []gateway.Document, err error) {
	c, err := openToRead(filepath.Join(dir, FileName), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	defer c.conn.SetInterrupt(c.conn.SetInterrupt(ctx))
	return c.documents(kind)
}
