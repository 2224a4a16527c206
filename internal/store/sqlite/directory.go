package sqlite

import (
	"crypto/subtle"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// directory is the agents and their keys in memory: every request asks it who
// is calling and who is meant. Only this process has the database open, so the
// copy is exact; the writer changes it after each commit, before the caller of
// the write hears of it.
type directory struct {
	mu    sync.RWMutex
	agent map[gateway.AgentID]*entry
	named map[string]gateway.AgentID // living agents by amtp.Address.Key
	keyed map[[32]byte]*keyEntry

	sorted []*entry // of the living, by address; nil when it has to be made anew
}

// entry is one agent. Removed ones stay: old messages name them.
type entry struct {
	gateway.Agent
	removed bool
	touched bool // LastActive is not stored yet
}

type keyEntry struct {
	gateway.Key
	touched bool
}

const agentColumns = `id, name, domain, mode, description, role, capabilities, schemas, listed, created, active, removed, target`

func loadDirectory(c *statements) (*directory, error) {
	d := &directory{
		agent: make(map[gateway.AgentID]*entry),
		named: make(map[string]gateway.AgentID),
		keyed: make(map[[32]byte]*keyEntry),
	}
	err := c.query(`SELECT `+agentColumns+` FROM agent`, func(s *sqlite3.Stmt) error {
		e, err := scanAgent(s)
		if err != nil {
			return err
		}
		d.put(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.query(`SELECT id, agent, hash, created, used FROM agent_key`, func(s *sqlite3.Stmt) error {
		k := &keyEntry{Key: gateway.Key{
			ID: s.ColumnText(0), Agent: gateway.AgentID(s.ColumnInt64(1)),
			CreatedAt: store.FromMicros(s.ColumnInt64(3)), LastUsed: store.FromMicros(s.ColumnInt64(4)),
		}}
		copy(k.Hash[:], s.ColumnRawBlob(2))
		d.keyed[k.Hash] = k
		return nil
	})
	return d, err
}

func scanAgent(s *sqlite3.Stmt) (*entry, error) {
	address, err := amtp.ParseAddress(s.ColumnText(1) + "@" + s.ColumnText(2))
	if err != nil {
		return nil, err
	}
	capabilities, err := store.StringsOf(s.ColumnText(6))
	if err != nil {
		return nil, err
	}
	schemas, err := store.StringsOf(s.ColumnText(7))
	if err != nil {
		return nil, err
	}
	return &entry{
		Agent: gateway.Agent{
			ID: gateway.AgentID(s.ColumnInt64(0)), Address: address, DeliveryMode: s.ColumnText(3),
			Target: s.ColumnText(12), Description: s.ColumnText(4), Role: s.ColumnText(5),
			Capabilities: capabilities, SupportedSchemas: schemas, Listed: s.ColumnBool(8),
			CreatedAt: store.FromMicros(s.ColumnInt64(9)), LastActive: store.FromMicros(s.ColumnInt64(10)),
		},
		removed: s.ColumnType(11) != sqlite3.NULL,
	}, nil
}

func (d *directory) put(e *entry) {
	d.agent[e.ID] = e
	if !e.removed {
		d.sorted = nil
		d.named[e.Address.Key()] = e.ID
	}
}

// apply makes the changes of a commit visible, in order.
func (d *directory) apply(changes []func(*directory)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, change := range changes {
		change(d)
	}
}

// lives reports whether the agent exists and was not removed.
func (d *directory) lives(id gateway.AgentID) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[id]
	return e != nil && !e.removed
}

// address returns the agent's address and mode, also of one that was removed.
func (d *directory) address(id gateway.AgentID) (amtp.Address, string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[id]; e != nil {
		return e.Address, e.DeliveryMode
	}
	return amtp.Address{}, ""
}

// everNamed returns the ids of all agents that have or had the address, as a
// JSON array.
func (d *directory) everNamed(a amtp.Address) string {
	ids := []byte{'['}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, e := range d.agent {
		if !e.Address.Equal(a) {
			continue
		}
		if len(ids) > 1 {
			ids = append(ids, ',')
		}
		ids = strconv.AppendInt(ids, int64(id), 10)
	}
	return string(append(ids, ']'))
}

// AgentNamed returns the living agent with the address.
func (s *Store) AgentNamed(a amtp.Address) (*gateway.Agent, error) {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.named[a.Key()]
	if !ok {
		return nil, gateway.ErrNotFound
	}
	agent := d.agent[id].Agent
	return &agent, nil
}

// Agents returns all living agents ordered by address.
func (s *Store) Agents() []*gateway.Agent {
	d := s.dir
	d.mu.RLock()
	sorted := d.sorted
	d.mu.RUnlock()
	if sorted == nil {
		sorted = d.sort()
	}
	copies := make([]gateway.Agent, len(sorted))
	list := make([]*gateway.Agent, len(sorted))
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, e := range sorted {
		copies[i] = e.Agent
		list[i] = &copies[i]
	}
	return list
}

// sort returns the living agents by address and keeps the list until one comes
// or goes.
func (d *directory) sort() []*entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := slices.Sorted(maps.Keys(d.named))
	d.sorted = make([]*entry, len(keys))
	for i, key := range keys {
		d.sorted[i] = d.agent[d.named[key]]
	}
	return d.sorted
}

// Keys lists an agent's keys, oldest first.
func (s *Store) Keys(agent gateway.AgentID) ([]gateway.Key, error) {
	d := s.dir
	d.mu.RLock()
	var list []gateway.Key
	for _, k := range d.keyed {
		if k.Agent == agent {
			list = append(list, k.Key)
		}
	}
	d.mu.RUnlock()
	slices.SortFunc(list, func(a, b gateway.Key) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// KeyOwner returns the agent whose key has the hash, and the key's id.
func (s *Store) KeyOwner(hash [32]byte, now time.Time) (*gateway.Agent, string, error) {
	d := s.dir
	d.mu.RLock()
	k := d.keyed[hash]
	if k == nil || subtle.ConstantTimeCompare(k.Hash[:], hash[:]) != 1 {
		d.mu.RUnlock()
		return nil, "", gateway.ErrNotFound
	}
	e := d.agent[k.Agent]
	agent, id := e.Agent, k.ID
	fresh := now.Sub(e.LastActive) < activityStep && now.Sub(k.LastUsed) < activityStep
	d.mu.RUnlock()
	if !fresh {
		d.touch(k, e, now)
		agent.LastActive = now
	}
	return &agent, id, nil
}

// activityStep is how exactly it is known when an agent was last seen, and
// activityEvery how often that is stored.
const (
	activityStep  = time.Minute
	activityEvery = time.Minute
)

func (d *directory) touch(k *keyEntry, e *entry, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.LastActive, e.touched = now, true
	k.LastUsed, k.touched = now, true
}

// touched returns copies of what saveActivity has to store.
func (d *directory) touched() (agents []gateway.Agent, keys []gateway.Key) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, e := range d.agent {
		if e.touched {
			agents = append(agents, e.Agent)
		}
	}
	for _, k := range d.keyed {
		if k.touched {
			keys = append(keys, k.Key)
		}
	}
	return agents, keys
}

// saved notes what was stored, unless something happened since.
func (d *directory) saved(agents []gateway.Agent, keys []gateway.Key) {
	for _, a := range agents {
		if e := d.agent[a.ID]; e != nil && e.LastActive.Equal(a.LastActive) {
			e.touched = false
		}
	}
	for _, saved := range keys {
		if k := d.keyed[saved.Hash]; k != nil && k.LastUsed.Equal(saved.LastUsed) {
			k.touched = false
		}
	}
}

// saveActivity stores who was seen since the last time.
func (w *writer) saveActivity() error {
	agents, keys := w.dir.touched()
	for _, a := range agents {
		if _, err := w.exec(`UPDATE agent SET active = ? WHERE id = ?`, store.Micros(a.LastActive), int64(a.ID)); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if _, err := w.exec(`UPDATE agent_key SET used = ? WHERE id = ?`, store.Micros(k.LastUsed), k.ID); err != nil {
			return err
		}
	}
	w.changes = append(w.changes, func(d *directory) { d.saved(agents, keys) })
	return nil
}
