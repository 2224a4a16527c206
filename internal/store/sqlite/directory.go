package sqlite

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

const agentColumns = `id, name, domain, mode, description, role, capabilities, schemas, listed, created, active, removed, target, receipts, kind, members,
	max_deliveries`

// loadDirectory reads all agents and keys. Only this process has the database open, so
// the copy is exact. The writer changes it after each commit, before the caller of the
// write gets its result.
func loadDirectory(c *statements, log *slog.Logger) (*store.Directory, error) {
	d := store.NewDirectory()
	err := c.query(`SELECT `+agentColumns+` FROM agent`, func(s *sqlite3.Stmt) error {
		a, removed := scanAgent(s)
		if a.Damage != "" {
			log.Error("the row of an agent cannot be read; other agents are not affected", "agent", int64(a.ID), "cause", a.Damage)
		}
		d.Put(a, removed)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.query(`SELECT id, agent, hash, created, used FROM agent_key`, func(s *sqlite3.Stmt) error {
		k := gateway.Key{
			ID: s.ColumnText(0), Agent: gateway.AgentID(s.ColumnInt64(1)),
			CreatedAt: store.FromMicros(s.ColumnInt64(3)), LastUsed: store.FromMicros(s.ColumnInt64(4)),
		}
		copy(k.Hash[:], s.ColumnRawBlob(2))
		d.PutKey(k)
		return nil
	})
	return d, err
}

func scanAgent(s *sqlite3.Stmt) (a gateway.Agent, removed bool) {
	a = gateway.Agent{
		ID: gateway.AgentID(s.ColumnInt64(0)), DeliveryMode: s.ColumnText(3),
		Target: s.ColumnText(12), Description: s.ColumnText(4), Role: s.ColumnText(5), Listed: s.ColumnBool(8),
		CreatedAt: store.FromMicros(s.ColumnInt64(9)), LastActive: store.FromMicros(s.ColumnInt64(10)),
		Receipts: gateway.ReceiptWish(s.ColumnText(13)), Kind: gateway.AgentKind(s.ColumnText(14)),
		MaxDeliveries: s.ColumnInt(16),
	}
	store.ReadAgent(&a, s.ColumnText(1)+"@"+s.ColumnText(2), s.ColumnText(6), s.ColumnText(7), s.ColumnText(15))
	return a, s.ColumnType(11) != sqlite3.NULL
}

// AgentNamed returns the living agent with the address.
func (s *Store) AgentNamed(_ context.Context, a amtp.Address) (*gateway.Agent, error) {
	return s.dir.Named(a)
}

// Agent returns the living agent with the id.
func (s *Store) Agent(id gateway.AgentID) (*gateway.Agent, error) { return s.dir.Agent(id) }

// Mailboxes returns the shared mailboxes of which the agent is a member.
func (s *Store) Mailboxes(member gateway.AgentID) []*gateway.Agent { return s.dir.Mailboxes(member) }

// AgentsPage lists living agents ordered by address.
func (s *Store) AgentsPage(f gateway.AgentFilter) gateway.AgentPage {
	return s.dir.Page(f, s.bounds.Agents)
}

// Agents returns all living agents ordered by address.
func (s *Store) Agents(context.Context) []*gateway.Agent { return s.dir.All() }

// Keys lists an agent's keys, oldest first.
func (s *Store) Keys(_ context.Context, agent gateway.AgentID) ([]gateway.Key, error) {
	return s.dir.Keys(agent), nil
}

// KeyOwner returns the agent whose key has the hash, and the key's id.
func (s *Store) KeyOwner(_ context.Context, hash [32]byte, now time.Time) (*gateway.Agent, string, error) {
	return s.dir.KeyOwner(hash, now)
}

// saveActivity stores when agents were seen and keys used.
func (w *writer) saveActivity(a *store.Activity) error {
	w.keepsPrefetch = true
	for i := range a.Agents {
		if _, err := w.exec(`UPDATE agent SET active = ? WHERE id = ?`, store.Micros(a.Agents[i].LastActive),
			int64(a.Agents[i].ID)); err != nil {
			return err
		}
	}
	for i := range a.Keys {
		if _, err := w.exec(`UPDATE agent_key SET used = ? WHERE id = ?`, store.Micros(a.Keys[i].LastUsed),
			a.Keys[i].ID); err != nil {
			return err
		}
	}
	return nil
}
