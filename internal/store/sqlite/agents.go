package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// AddAgent registers an agent with its first key, and stores documents with it.
func (s *Store) AddAgent(ctx context.Context, a gateway.Agent, k gateway.Key,
	with ...func(gateway.AgentID) gateway.DocumentChange) (gateway.Agent, error) {
	err := s.write(ctx, 512, func(w *writer) error {
		if w.reserve.refuses() {
			return fmt.Errorf("%w: the disk is full", gateway.ErrBusy)
		}
		added,
			err := w.exec(`INSERT INTO agent (name, domain, mode, target, description, role, capabilities, schemas, listed, created, active, receipts,
				kind, members, max_deliveries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			a.Address.Local(), string(a.Address.Domain()), a.DeliveryMode, a.Target, a.Description, a.Role,
			store.Strings(a.Capabilities), store.Strings(a.SupportedSchemas), a.Listed,
			store.Micros(a.CreatedAt), store.Micros(a.LastActive), string(a.Receipts), string(a.Kind),
			store.Members(a.Members), a.MaxDeliveries)
		if err != nil {
			return err
		}
		if added == 0 {
			return gateway.ErrExists
		}
		a.ID = gateway.AgentID(w.conn.LastInsertRowID())
		for _, of := range with {
			if err := w.changeDocuments(of(a.ID)); err != nil {
				return rollBack(err)
			}
		}
		agent := a
		w.changes = append(w.changes, func(d *store.Directory) { d.Put(agent, false) })
		if k.ID == "" {
			return nil
		}
		k.Agent = a.ID
		return w.addKey(k)
	})
	var back rolledBack
	switch {
	case errors.As(err, &back):
		return gateway.Agent{}, back.error
	case err != nil:
		return gateway.Agent{}, err
	}
	return a, nil
}

func (w *writer) addKey(k gateway.Key) error {
	_, err := w.exec(`INSERT INTO agent_key (id, agent, hash, created, used) VALUES (?, ?, ?, ?, ?)`,
		k.ID, int64(k.Agent), k.Hash[:], store.Micros(k.CreatedAt), store.Micros(k.LastUsed))
	w.changes = append(w.changes, func(d *store.Directory) { d.PutKey(k) })
	return err
}

// refusedChange is an error of a function that the caller gave, such as change of
// UpdateAgent.
type refusedChange struct{ error }

// rolledBack is an error of a document change after something was written in the same
// call. All of that is undone, whichever error it is.
type rolledBack struct{ error }

// rollBack turns a refusal of changeDocuments into an error that undoes what was
// written.
func rollBack(err error) error {
	var refused refusedChange
	if errors.As(err, &refused) {
		return rolledBack(refused)
	}
	return err
}

// UpdateAgent changes the descriptive members of an agent.
func (s *Store) UpdateAgent(ctx context.Context, by gateway.Acting, id gateway.AgentID,
	change func(*gateway.Agent) error, with ...gateway.DocumentChange) (gateway.Agent, error) {
	var changed gateway.Agent
	err := s.writeBy(ctx, by, 512, func(w *writer) error {
		a, err := w.livingAgent(id) // from the table: this batch may have changed it
		if err != nil {
			return err
		}
		if err := change(&a); err != nil {
			return refusedChange{err}
		}
		for _, c := range with {
			if err := w.changeDocuments(c); err != nil {
				return rollBack(err)
			}
		}
		_,
			err = w.exec(`UPDATE agent SET mode = ?, target = ?, description = ?, role = ?, capabilities = ?, schemas = ?, listed = ?, receipts = ?,
				members = ?, max_deliveries = ? WHERE id = ?`,
			a.DeliveryMode, a.Target, a.Description, a.Role, store.Strings(a.Capabilities),
			store.Strings(a.SupportedSchemas),
			a.Listed, string(a.Receipts), store.Members(a.Members), a.MaxDeliveries, int64(id))
		w.changes = append(w.changes, func(d *store.Directory) { d.Describe(a) })
		changed = a
		if err == nil && a.Kind == gateway.SharedMailbox {
			err = w.endLeases(id, s.Now()) // of members that left
		}
		return err
	})
	var refused refusedChange
	var back rolledBack
	switch {
	case errors.As(err, &back):
		return gateway.Agent{}, back.error
	case errors.As(err, &refused):
		return gateway.Agent{}, refused.error
	case err != nil:
		return gateway.Agent{}, err
	}
	return changed, nil
}

func (w *writer) livingAgent(id gateway.AgentID) (a gateway.Agent, err error) {
	err = gateway.ErrNotFound
	fault := w.query(`SELECT `+agentColumns+` FROM agent WHERE id = ? AND removed IS NULL`,
		func(s *sqlite3.Stmt) error {
			a, _ = scanAgent(s)
			err = nil
			return nil
		}, int64(id))
	if fault != nil {
		return a, fault
	}
	return a, err
}

// RemoveAgent ends an agent and its keys.
func (s *Store) RemoveAgent(ctx context.Context, by gateway.Acting, id gateway.AgentID, now time.Time) error {
	return s.writeBy(ctx, by, 128, func(w *writer) error {
		changed, err := w.exec(`UPDATE agent SET removed = ? WHERE id = ? AND removed IS NULL`,
			store.Micros(now), int64(id))
		if err != nil {
			return err
		}
		if changed == 0 {
			return gateway.ErrNotFound
		}
		if _, err := w.exec(`DELETE FROM agent_key WHERE agent = ?`, int64(id)); err != nil {
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
		w.removed = append(w.removed, id)
		w.changes = append(w.changes, func(d *store.Directory) { d.Remove(id) })
		return w.endShared(id, now)
	})
}

// AddKey stores one more key of an agent and, if alone is set, ends the others.
func (s *Store) AddKey(ctx context.Context, by gateway.Acting, k gateway.Key, alone bool,
	with ...gateway.DocumentChange) (int, error) {
	ended := 0
	err := s.writeBy(ctx, by, 256, func(w *writer) error {
		if !w.lives(k.Agent) {
			return gateway.ErrNotFound
		}
		for _, c := range with {
			if err := w.changeDocuments(c); err != nil {
				return rollBack(err)
			}
		}
		if err := w.addKey(k); err != nil || !alone {
			return err
		}
		n, err := w.exec(`DELETE FROM agent_key WHERE agent = ? AND id <> ?`, int64(k.Agent), k.ID)
		ended = int(n)
		w.changes = append(w.changes, func(d *store.Directory) { d.KeepKey(k.Agent, k.ID) })
		if err == nil {
			err = w.endLeasesOf(k.Agent, s.Now())
		}
		return err
	})
	var back rolledBack
	switch {
	case errors.As(err, &back):
		return 0, back.error
	case err != nil:
		return 0, err
	}
	return ended, nil
}

// RemoveKey ends one key.
func (s *Store) RemoveKey(ctx context.Context, by gateway.Acting, agent gateway.AgentID, keyID string) error {
	return s.writeBy(ctx, by, 128, func(w *writer) error {
		n, err := w.exec(`DELETE FROM agent_key WHERE agent = ? AND id = ?`, int64(agent), keyID)
		if err != nil {
			return err
		}
		if n == 0 {
			return gateway.ErrNotFound
		}
		w.changes = append(w.changes, func(d *store.Directory) { d.DropKey(agent, keyID) })
		return w.endLeasesOf(agent, s.Now())
	})
}
