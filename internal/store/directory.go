package store

import (
	"context"
	"crypto/subtle"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Directory is the agents and their keys in memory: every request asks it who
// is calling and who is meant. The store that has one keeps it like its tables.
type Directory struct {
	mu    sync.RWMutex
	agent map[gateway.AgentID]*entry
	named map[string]gateway.AgentID // living agents by amtp.Address.Key
	keyed map[[32]byte]*keyEntry

	sorted []*entry // of the living, by address; nil when it has to be made anew
}

// entry is one agent. Removed ones stay: old messages name them.
type entry struct {
	gateway.Agent
	keys    []*keyEntry
	removed bool
	touched bool // LastActive is not stored yet
	wrote   map[amtp.Domain]bool
}

// Contact is an agent and a domain that it has written to.
type Contact struct {
	Agent  gateway.AgentID
	Domain amtp.Domain
}

// maxWrote is how many domains of one agent are remembered in memory. What is
// not is stored again, which changes nothing.
const maxWrote = 1024

type keyEntry struct {
	gateway.Key
	touched bool
}

// NewDirectory returns a directory of nobody.
func NewDirectory() *Directory {
	return &Directory{
		agent: make(map[gateway.AgentID]*entry),
		named: make(map[string]gateway.AgentID),
		keyed: make(map[[32]byte]*keyEntry),
	}
}

// Put adds an agent, or one that was removed.
func (d *Directory) Put(a gateway.Agent, removed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(a, removed)
}

func (d *Directory) put(a gateway.Agent, removed bool) {
	d.agent[a.ID] = &entry{Agent: a, removed: removed}
	if !removed {
		d.sorted = nil
		d.named[a.Address.Key()] = a.ID
	}
}

// Renew replaces an agent and all its keys by what is stored now. Who was seen
// here and is not stored yet stays seen.
func (d *Directory) Renew(a gateway.Agent, removed bool, keys []gateway.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.agent[a.ID]
	if old != nil && d.named[old.Address.Key()] == a.ID {
		delete(d.named, old.Address.Key()) // it may have moved to another domain
		d.sorted = nil
	}
	used := make(map[[32]byte]*keyEntry)
	if old != nil {
		for _, k := range old.keys {
			used[k.Hash] = k
			delete(d.keyed, k.Hash)
		}
	}
	d.put(a, removed)
	if e := d.agent[a.ID]; old != nil && old.LastActive.After(a.LastActive) {
		e.LastActive, e.touched = old.LastActive, old.touched
	}
	for _, key := range keys {
		k := d.putKey(key)
		if before := used[key.Hash]; before != nil && before.LastUsed.After(key.LastUsed) {
			k.LastUsed, k.touched = before.LastUsed, before.touched
		}
	}
}

// Describe gives an agent the descriptive members of a.
func (d *Directory) Describe(a gateway.Agent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.agent[a.ID]
	e.DeliveryMode, e.Target, e.Description, e.Role = a.DeliveryMode, a.Target, a.Description, a.Role
	e.Capabilities, e.SupportedSchemas, e.Listed, e.Receipts = a.Capabilities, a.SupportedSchemas, a.Listed, a.Receipts
}

// Move gives agents other addresses.
func (d *Directory) Move(moved map[gateway.AgentID]amtp.Address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, address := range moved {
		e := d.agent[id]
		if d.named[e.Address.Key()] == id {
			delete(d.named, e.Address.Key())
		}
		e.Address = address
		if !e.removed {
			d.named[address.Key()] = id
		}
	}
	d.sorted = nil
}

// Remove ends an agent and its keys.
func (d *Directory) Remove(id gateway.AgentID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.agent[id]
	e.removed = true
	delete(d.named, e.Address.Key())
	d.sorted = nil
	d.dropKeys(id, func(gateway.Key) bool { return true })
}

// Keep ends the living agents that are not among these: the store has lost them.
func (d *Directory) Keep(these map[gateway.AgentID]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, e := range d.agent {
		if e.removed || these[id] {
			continue
		}
		e.removed, d.sorted = true, nil
		delete(d.named, e.Address.Key())
		d.dropKeys(id, func(gateway.Key) bool { return true })
	}
}

// PutKey adds a key of an agent that was put.
func (d *Directory) PutKey(k gateway.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.putKey(k)
}

func (d *Directory) putKey(key gateway.Key) *keyEntry {
	k := &keyEntry{Key: key}
	e := d.agent[key.Agent]
	e.keys = append(e.keys, k)
	d.keyed[key.Hash] = k
	return k
}

// DropKey ends a key of an agent.
func (d *Directory) DropKey(id gateway.AgentID, keyID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropKeys(id, func(k gateway.Key) bool { return k.ID == keyID })
}

// KeepKey ends the keys of an agent but the one.
func (d *Directory) KeepKey(id gateway.AgentID, keyID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropKeys(id, func(k gateway.Key) bool { return k.ID != keyID })
}

func (d *Directory) dropKeys(id gateway.AgentID, these func(gateway.Key) bool) {
	e := d.agent[id]
	e.keys = slices.DeleteFunc(e.keys, func(k *keyEntry) bool {
		if !these(k.Key) {
			return false
		}
		delete(d.keyed, k.Hash)
		return true
	})
}

// Ended is gateway.ErrRevoked when the key by which is acted in ctx has ended.
func (d *Directory) Ended(ctx context.Context) error {
	agent, id := gateway.KeyShown(ctx)
	if id == "" {
		return nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[agent]; e == nil || !slices.ContainsFunc(e.keys, func(k *keyEntry) bool { return k.ID == id }) {
		return gateway.ErrRevoked
	}
	return nil
}

// Lives reports whether the agent exists and was not removed.
func (d *Directory) Lives(id gateway.AgentID) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[id]
	return e != nil && !e.removed
}

// Knows reports whether the agent exists or existed.
func (d *Directory) Knows(id gateway.AgentID) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.agent[id] != nil
}

// Address returns the agent's address and mode, also of one that was removed.
func (d *Directory) Address(id gateway.AgentID) (amtp.Address, string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[id]; e != nil {
		return e.Address, e.DeliveryMode
	}
	return amtp.Address{}, ""
}

// Wish returns what is said of the agent about receipts.
func (d *Directory) Wish(id gateway.AgentID) gateway.ReceiptWish {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[id]; e != nil {
		return e.Receipts
	}
	return gateway.ReceiptsNever
}

// HasWritten reports whether it is stored that the agent has written to the
// domain. That it has not means nothing.
func (d *Directory) HasWritten(c Contact) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[c.Agent]
	return e != nil && e.wrote[c.Domain]
}

// NoteWritten notes what is stored by now.
func (d *Directory) NoteWritten(list []Contact) {
	if len(list) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range list {
		e := d.agent[c.Agent]
		switch {
		case e == nil:
			continue
		case e.wrote == nil || len(e.wrote) >= maxWrote:
			e.wrote = make(map[amtp.Domain]bool, 1)
		}
		e.wrote[c.Domain] = true
	}
}

// EverNamed returns the ids of all agents that have or had the address.
func (d *Directory) EverNamed(a amtp.Address) []int64 {
	ids := []int64{}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, e := range d.agent {
		if e.Address.Equal(a) {
			ids = append(ids, int64(id))
		}
	}
	return ids
}

// Named returns the living agent with the address, or gateway.ErrNotFound.
func (d *Directory) Named(a amtp.Address) (*gateway.Agent, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.named[a.Key()]
	if !ok {
		return nil, gateway.ErrNotFound
	}
	agent := d.agent[id].Agent
	return &agent, nil
}

// All returns all living agents ordered by address.
func (d *Directory) All() []*gateway.Agent {
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
func (d *Directory) sort() []*entry {
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
func (d *Directory) Keys(agent gateway.AgentID) []gateway.Key {
	d.mu.RLock()
	var list []gateway.Key
	if e := d.agent[agent]; e != nil {
		for _, k := range e.keys {
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
	return list
}

// KeyOwner returns the agent whose key has the hash, and the key's id, or
// gateway.ErrNotFound. Both count as active now.
func (d *Directory) KeyOwner(hash [32]byte, now time.Time) (*gateway.Agent, string, error) {
	d.mu.RLock()
	k := d.keyed[hash]
	if k == nil || subtle.ConstantTimeCompare(k.Hash[:], hash[:]) != 1 {
		d.mu.RUnlock()
		return nil, "", gateway.ErrNotFound
	}
	e := d.agent[k.Agent]
	agent, id := e.Agent, k.ID
	fresh := now.Sub(e.LastActive).Abs() < activityStep && now.Sub(k.LastUsed).Abs() < activityStep // a clock may go back
	d.mu.RUnlock()
	if !fresh {
		d.touch(hash, now)
		agent.LastActive = now
	}
	return &agent, id, nil
}

// activityStep is how exactly it is known when an agent was last seen.
const activityStep = time.Minute

// ActivityEvery is how often that is stored.
const ActivityEvery = time.Minute

func (d *Directory) touch(hash [32]byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.keyed[hash]
	if k == nil {
		return // it was ended meanwhile
	}
	e := d.agent[k.Agent]
	e.LastActive, e.touched = now, true
	k.LastUsed, k.touched = now, true
}

// Touched returns copies of those whose activity is to be stored.
func (d *Directory) Touched() (agents []gateway.Agent, keys []gateway.Key) {
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

// Saved notes what was stored, unless something happened since.
func (d *Directory) Saved(agents []gateway.Agent, keys []gateway.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
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
