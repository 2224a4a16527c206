package sqlite

import (
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

const agentColumns = `id, name, domain, mode, description, role, capabilities, schemas, listed, created, active, removed, target, receipts`

// loadDirectory reads all agents and keys. Only this process has the database
// open, so the copy is exact; the writer changes it after each commit, before
// the caller of the write hears of it.
func loadDirectory(c *statements) (*store.Directory, error) {
	d := store.NewDirectory()
	err := c.query(`SELECT `+agentColumns+` FROM agent`, func(s *sqlite3.Stmt) error {
		a, removed, err := scanAgent(s)
		if err != nil {
			return err
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

func scanAgent(s *sqlite3.Stmt) (a gateway.Agent, removed bool, err error) {
	address, err := amtp.ParseAddress(s.ColumnText(1) + "@" + s.ColumnText(2))
	if err != nil {
		return a, false, err
	}
	capabilities, err := store.StringsOf(s.ColumnText(6))
	if err != nil {
		return a, false, err
	}
	schemas, err := store.StringsOf(s.ColumnText(7))
	return gateway.Agent{
		ID: gateway.AgentID(s.ColumnInt64(0)), Address: address, DeliveryMode: s.ColumnText(3),
		Target: s.ColumnText(12), Description: s.ColumnText(4), Role: s.ColumnText(5),
		Capabilities: capabilities, SupportedSchemas: schemas, Listed: s.ColumnBool(8),
		CreatedAt: store.FromMicros(s.ColumnInt64(9)), LastActive: store.FromMicros(s.ColumnInt64(10)),
		Receipts: gateway.ReceiptWish(s.ColumnText(13)),
	}, s.ColumnType(11) != sqlite3.NULL, err
}

// AgentNamed returns the living agent with the address.
func (s *Store) AgentNamed(a amtp.Address) (*gateway.Agent, error) { return s.dir.Named(a) }

// Agent returns the living agent with the id.
func (s *Store) Agent(id gateway.AgentID) (*gateway.Agent, error) { return s.dir.Agent(id) }

// AgentsPage lists living agents ordered by address.
func (s *Store) AgentsPage(f gateway.AgentFilter) gateway.AgentPage {
	return s.dir.Page(f, s.bounds.Agents)
}

// Agents returns all living agents ordered by address.
func (s *Store) Agents() []*gateway.Agent { return s.dir.All() }

// Keys lists an agent's keys, oldest first.
func (s *Store) Keys(agent gateway.AgentID) ([]gateway.Key, error) { return s.dir.Keys(agent), nil }

// KeyOwner returns the agent whose key has the hash, and the key's id.
func (s *Store) KeyOwner(hash [32]byte, now time.Time) (*gateway.Agent, string, error) {
	return s.dir.KeyOwner(hash, now)
}

// saveActivity stores who was seen.
func (w *writer) saveActivity(a *store.Activity) error {
	w.beside = true
	for i := range a.Agents {
		if _, err := w.exec(`UPDATE agent SET active = ? WHERE id = ?`, store.Micros(a.Agents[i].LastActive), int64(a.Agents[i].ID)); err != nil {
			return err
		}
	}
	for i := range a.Keys {
		if _, err := w.exec(`UPDATE agent_key SET used = ? WHERE id = ?`, store.Micros(a.Keys[i].LastUsed), a.Keys[i].ID); err != nil {
			return err
		}
	}
	return nil
}
