package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// nextVersion begins a change of the directory and returns its version. The next
// change, by any replica, waits for the commit.
func (t *tx) nextVersion(ctx context.Context) (version int64, err error) {
	return t.number(ctx, `UPDATE directory SET version = version + 1 RETURNING version`)
}

// changeDirectory is write for a change of the directory. It notifies the other
// replicas, and returns after the directory in memory has the change too.
func changeDirectory[T any](ctx context.Context, s *Store, by gateway.Acting,
	fn func(ctx context.Context, t *tx, version int64) (T, error)) (T, error) {
	return write(ctx, s, func(ctx context.Context, t *tx) (out T, err error) {
		t.conn = t.by(by)
		version, err := t.nextVersion(ctx)
		if err != nil {
			return out, err
		}
		t.after = func(ctx context.Context) error {
			s.notices.changed()
			return s.catchUp(ctx)
		}
		return fn(ctx, t, version)
	})
}

// AddAgent registers an agent with its first key, and stores documents with it.
func (s *Store) AddAgent(ctx context.Context, a gateway.Agent, k gateway.Key,
	with ...func(gateway.AgentID) gateway.DocumentChange) (gateway.Agent, error) {
	return changeDirectory(ctx, s, gateway.Acting{}, func(ctx context.Context, t *tx,
		version int64) (gateway.Agent, error) {
		added := a
		id, err := t.number(ctx,
			`INSERT INTO agent (name, domain, folded, mode, target, description, role, capabilities, schemas, listed, created,
				active, version, receipts, kind, members, max_deliveries) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
				ON CONFLICT (folded) WHERE removed IS NULL DO NOTHING RETURNING id`,
			a.Address.Local(), string(a.Address.Domain()), a.Address.Key(), a.DeliveryMode, []byte(a.Target),
			[]byte(a.Description), []byte(a.Role),
			[]byte(store.Strings(a.Capabilities)), []byte(store.Strings(a.SupportedSchemas)), a.Listed,
			store.Micros(a.CreatedAt),
			store.Micros(a.LastActive), version, string(a.Receipts), string(a.Kind), store.Members(a.Members),
			a.MaxDeliveries)
		if err == nil && id == 0 {
			err = gateway.ErrExists
		}
		if err != nil {
			return gateway.Agent{}, err
		}
		added.ID = gateway.AgentID(id)
		for _, of := range with {
			if err := t.changeDocuments(ctx, of(added.ID)); err != nil {
				return gateway.Agent{}, err
			}
		}
		if k.ID == "" {
			return added, nil
		}
		key := k
		key.Agent = added.ID
		return added, t.addKey(ctx, key)
	})
}

// errKey is the error for a key that is stored twice, which its random value rules out.
var errKey = errors.New("the key is stored already")

func (t *tx) addKey(ctx context.Context, k gateway.Key) error {
	n,
		err := t.change(ctx,
		`INSERT INTO agent_key (id, agent, hash, created, used) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		k.ID, int64(k.Agent), k.Hash[:], store.Micros(k.CreatedAt), store.Micros(k.LastUsed))
	if err == nil && n == 0 {
		err = errKey
	}
	return err
}

// UpdateAgent changes the descriptive members of an agent.
func (s *Store) UpdateAgent(ctx context.Context, by gateway.Acting, id gateway.AgentID,
	change func(*gateway.Agent) error, with ...gateway.DocumentChange) (gateway.Agent, error) {
	return changeDirectory(ctx, s, by, func(ctx context.Context, t *tx,
		version int64) (found gateway.Agent, err error) {
		var a agent
		err = t.query(ctx, `SELECT `+agentColumns+` FROM agent a WHERE a.id = $1 AND a.removed IS NULL`,
			[]any{int64(id)}, a.into(), func() error {
				found = a.read()
				return nil
			})
		if err == nil && found.ID == 0 {
			err = gateway.ErrNotFound
		}
		if err == nil {
			err = change(&found)
		}
		for i := 0; err == nil && i < len(with); i++ {
			err = t.changeDocuments(ctx, with[i])
		}
		if err != nil {
			return gateway.Agent{}, err
		}
		_, err = t.change(ctx,
			`UPDATE agent SET mode = $1, target = $2, description = $3, role = $4, capabilities = $5, schemas = $6, listed = $7,
				version = $8, receipts = $10, members = $11, max_deliveries = $12 WHERE id = $9`,
			found.DeliveryMode, []byte(found.Target), []byte(found.Description), []byte(found.Role),
			[]byte(store.Strings(found.Capabilities)),
			[]byte(store.Strings(found.SupportedSchemas)), found.Listed, version, int64(id), string(found.Receipts),
			store.Members(found.Members), found.MaxDeliveries)
		if err == nil && found.Kind == gateway.SharedMailbox {
			err = t.endLeases(ctx, s.Now(), int64(id)) // of members that left
		}
		return found, err
	})
}

// RemoveAgent ends an agent and its keys.
func (s *Store) RemoveAgent(ctx context.Context, by gateway.Acting, id gateway.AgentID, now time.Time) error {
	_, err := changeDirectory(ctx, s, by, func(ctx context.Context, t *tx, version int64) (none struct{}, err error) {
		n, err := t.change(ctx, `UPDATE agent SET removed = $1, version = $2 WHERE id = $3 AND removed IS NULL`,
			store.Micros(now), version, int64(id))
		if err == nil && n == 0 {
			err = gateway.ErrNotFound
		}
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM agent_key WHERE agent = $1`, int64(id))
		}
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM contact WHERE agent = $1`, int64(id))
		}
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM met WHERE agent = $1`, int64(id))
		}
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM document WHERE kind = $1`, gateway.EndpointKind(id))
		}
		if err == nil {
			err = s.endShared(ctx, t, id, now)
		}
		return none, err
	})
	return err
}

// touchAgent gives a living agent a new version, because its keys change.
func (t *tx) touchAgent(ctx context.Context, id gateway.AgentID, version int64) error {
	n, err := t.change(ctx, `UPDATE agent SET version = $1 WHERE id = $2 AND removed IS NULL`, version, int64(id))
	if err == nil && n == 0 {
		err = gateway.ErrNotFound
	}
	return err
}

// AddKey stores one more key of an agent and, if alone is set, ends the others.
func (s *Store) AddKey(ctx context.Context, by gateway.Acting, k gateway.Key, alone bool,
	with ...gateway.DocumentChange) (int, error) {
	return changeDirectory(ctx, s, by, func(ctx context.Context, t *tx, version int64) (int, error) {
		if err := t.touchAgent(ctx, k.Agent, version); err != nil {
			return 0, err
		}
		for _, c := range with {
			if err := t.changeDocuments(ctx, c); err != nil {
				return 0, err
			}
		}
		if err := t.addKey(ctx, k); err != nil || !alone {
			return 0, err
		}
		n, err := t.change(ctx, `DELETE FROM agent_key WHERE agent = $1 AND id <> $2`, int64(k.Agent), k.ID)
		if err == nil {
			err = s.endLeasesOf(ctx, t, k.Agent, s.Now())
		}
		return int(n), err
	})
}

// RemoveKey ends one key.
func (s *Store) RemoveKey(ctx context.Context, by gateway.Acting, agent gateway.AgentID, keyID string) error {
	_, err := changeDirectory(ctx, s, by, func(ctx context.Context, t *tx, version int64) (none struct{}, err error) {
		if err := t.touchAgent(ctx, agent, version); err != nil {
			return none, err
		}
		n, err := t.change(ctx, `DELETE FROM agent_key WHERE agent = $1 AND id = $2`, int64(agent), keyID)
		if err == nil && n == 0 {
			err = gateway.ErrNotFound
		}
		if err == nil {
			err = s.endLeasesOf(ctx, t, agent, s.Now())
		}
		return none, err
	})
	return err
}

// keepActivity stores the activity of agents and keys at intervals, and drops forgotten
// agents from memory, until Close.
func (s *Store) keepActivity() {
	store.KeepActivity(s.life.Done(), func() {
		s.flushActivity()
		if err := s.forgetGone(s.life); err != nil && s.life.Err() == nil {
			s.log.Debug("the search for forgotten agents failed", "cause", err)
		}
	})
}

// flushActivity stores the activity on this replica since the last call. The other
// replicas read it with the new version.
func (s *Store) flushActivity() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.dir.SaveTouched(store.ActivityStep, func(a *store.Activity) error { return s.saveActivity(ctx, a) })
}

// saveActivity stores when agents were seen and keys used.
func (s *Store) saveActivity(ctx context.Context, a *store.Activity) error {
	slices.SortFunc(a.Agents, func(a, b gateway.Agent) int { return cmp.Compare(a.ID, b.ID) })
	ids := column(a.Agents, func(a *gateway.Agent) int64 { return int64(a.ID) })
	seen := column(a.Agents, func(a *gateway.Agent) int64 { return store.Micros(a.LastActive) })
	names := column(a.Keys, func(k *gateway.Key) string { return k.ID })
	used := column(a.Keys, func(k *gateway.Key) int64 { return store.Micros(k.LastUsed) })
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		version, err := t.nextVersion(ctx) // no other transaction changes these rows until the commit
		if err != nil {
			return err
		}
		_, err = t.change(ctx, `UPDATE agent a SET active = greatest(a.active, u.seen), version = $3
				FROM unnest($1::bigint[], $2::bigint[]) u (id, seen) WHERE a.id = u.id`, ids, seen, version)
		if err == nil {
			_, err = t.change(ctx, `UPDATE agent_key k SET used = greatest(k.used, u.used)
					FROM unnest($1::text[], $2::bigint[]) u (id, used) WHERE k.id = u.id`, names, used)
		}
		return err
	})
}
