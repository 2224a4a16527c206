package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// Documents lists the documents of a kind.
func (s *Store) Documents(ctx context.Context, kind string) (list []gateway.Document, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		list, err = c.documents(ctx, kind)
		return err
	})
	return list, err
}

func (c conn) documents(ctx context.Context, kind string) (list []gateway.Document, err error) {
	n := gateway.Document{Kind: kind}
	var created int64
	err = c.query(ctx, `SELECT name, sealed, facts, created FROM document WHERE kind = $1 ORDER BY created, name`,
		[]any{kind},
		[]any{&n.Name, &n.Sealed, &n.Facts, &created}, func() error {
			n.Created = store.FromMicros(created)
			list = append(list, n)
			return nil
		})
	return list, err
}

// ChangeDocuments replaces the documents of a kind by the result of change. Changes of
// one kind run one after another, on all replicas.
func (s *Store) ChangeDocuments(ctx context.Context, kind string,
	change func([]gateway.Document) ([]gateway.Document, error)) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		return t.changeDocuments(ctx, gateway.DocumentChange{Kind: kind, Change: change})
	})
}

func (t *tx) changeDocuments(ctx context.Context, c gateway.DocumentChange) error {
	if _, err := t.change(ctx, lockNames, int32(documentLock), hashes([]string{c.Kind})); err != nil {
		return err
	}
	before, err := t.documents(ctx, c.Kind)
	if err != nil {
		return err
	}
	after, err := store.ChangeDocuments(&c, before)
	if err == nil {
		_, err = t.change(ctx, `DELETE FROM document WHERE kind = $1`, c.Kind)
	}
	if err != nil {
		return err
	}
	for i := range after {
		if err := t.addDocument(ctx, &after[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) addDocument(ctx context.Context, n *gateway.Document) error {
	_, err := t.change(ctx, `INSERT INTO document (kind, name, sealed, facts, created) VALUES ($1, $2, $3, $4, $5)`,
		n.Kind, n.Name, bytesOf(n.Sealed), bytesOf(n.Facts), store.Micros(n.Created))
	return err
}

// bytesOf returns b as a value that is not NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
