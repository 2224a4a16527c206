package store

import (
	"slices"
	"sync"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Directory is the agents and their keys in memory. Every request looks up its caller
// and its recipients there. The store that has a directory keeps it equal to its
// tables.
type Directory struct {
	mu    sync.RWMutex
	agent map[gateway.AgentID]*entry
	named map[string]gateway.AgentID // living agents by amtp.Address.Key
	keyed map[[32]byte]*keyEntry
	ever  map[string][]gateway.AgentID          // all agents by amtp.Address.Key, the oldest first
	gone  map[gateway.AgentID]bool              // removed agents
	boxes map[gateway.AgentID][]gateway.AgentID // the living shared mailboxes of each member, in order

	living ordered
	listed int  // number of living agents that are listed
	seen   Seen // activity that is not stored yet
}

// entry is one agent. A removed agent stays while messages name it.
type entry struct {
	gateway.Agent
	key     string // the address as amtp.Address.Key
	keys    []*keyEntry
	removed bool
	wrote   map[amtp.Domain]bool
	met     map[string]bool // senders of other domains by amtp.Address.Key
}

// Contact is an agent and a domain that it has written to.
type Contact struct {
	Agent  gateway.AgentID
	Domain amtp.Domain
}

// maxWrote is the most domains of one agent that are remembered in memory. A domain
// that is not is stored again, which changes nothing.
const maxWrote = 1024

// maxNamesakes is the most agents that EverNamed returns for one address: the newest.
const maxNamesakes = 64

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	return &Directory{
		agent: make(map[gateway.AgentID]*entry),
		named: make(map[string]gateway.AgentID),
		keyed: make(map[[32]byte]*keyEntry),
		ever:  make(map[string][]gateway.AgentID),
		gone:  make(map[gateway.AgentID]bool),
		boxes: make(map[gateway.AgentID][]gateway.AgentID),
		seen:  newSeen(),
	}
}

// Put adds an agent, which may be a removed one. An agent whose address cannot be read
// counts as removed.
func (d *Directory) Put(a gateway.Agent, removed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(a, removed)
}

func (d *Directory) put(a gateway.Agent, removed bool) {
	removed = removed || a.Address.Equal(gateway.Unreadable())
	d.drop(a.ID)
	e := &entry{Agent: a, key: a.Address.Key(), removed: removed}
	d.agent[a.ID] = e
	d.address(e)
	if removed {
		d.gone[a.ID] = true
	}
}

// drop takes an agent out of all tables but the keys.
func (d *Directory) drop(id gateway.AgentID) {
	e := d.agent[id]
	if e == nil {
		return
	}
	d.unaddress(e)
	delete(d.agent, id)
	delete(d.gone, id)
}

// address enters an agent in the tables that find it by its address.
func (d *Directory) address(e *entry) {
	ids := d.ever[e.key]
	if at, found := slices.BinarySearch(ids, e.ID); !found {
		d.ever[e.key] = slices.Insert(ids, at, e.ID)
	}
	if !e.removed {
		d.named[e.key] = e.ID
		d.living.put(e)
		d.listed += int(Bit(e.Listed))
		d.join(e)
	}
}

// unaddress undoes address.
func (d *Directory) unaddress(e *entry) {
	ids := d.ever[e.key]
	if at, found := slices.BinarySearch(ids, e.ID); found {
		ids = slices.Delete(ids, at, at+1)
	}
	if d.ever[e.key] = ids; len(ids) == 0 {
		delete(d.ever, e.key)
	}
	d.unlist(e)
}

// unlist takes a living agent out of the list of living agents.
func (d *Directory) unlist(e *entry) {
	if e.removed {
		return
	}
	d.living.remove(e)
	d.listed -= int(Bit(e.Listed))
	d.leave(e)
	if d.named[e.key] == e.ID {
		delete(d.named, e.key)
	}
}

// Renew replaces an agent and all its keys by what is stored now. Activity that was
// noted here and is not stored yet is kept.
func (d *Directory) Renew(a gateway.Agent, removed bool, keys []gateway.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.agent[a.ID]
	used := make(map[[32]byte]*keyEntry)
	if old != nil {
		for _, k := range old.keys {
			used[k.Hash] = k
			delete(d.keyed, k.Hash)
		}
	}
	d.put(a, removed)
	if e := d.agent[a.ID]; old != nil && old.LastActive.After(a.LastActive) {
		e.LastActive = old.LastActive
	}
	for _, key := range keys {
		k := d.putKey(key)
		if before := used[key.Hash]; k != nil && before != nil && before.LastUsed.After(key.LastUsed) {
			k.LastUsed = before.LastUsed
		}
	}
}

// Describe sets the descriptive members of an agent to those of a.
func (d *Directory) Describe(a gateway.Agent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.agent[a.ID]
	if !e.removed {
		d.listed += int(Bit(a.Listed)) - int(Bit(e.Listed))
	}
	e.DeliveryMode, e.Target, e.Description, e.Role = a.DeliveryMode, a.Target, a.Description, a.Role
	e.Capabilities, e.SupportedSchemas, e.Listed, e.Receipts = a.Capabilities, a.SupportedSchemas, a.Listed, a.Receipts
	d.leave(e)
	if e.Members = a.Members; !e.removed {
		d.join(e)
	}
	e.MaxDeliveries = a.MaxDeliveries
}

// Move gives agents new addresses.
func (d *Directory) Move(moved map[gateway.AgentID]amtp.Address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, address := range moved {
		e := d.agent[id]
		d.unaddress(e)
		e.Address, e.key = address, address.Key()
		d.address(e)
	}
}

// Remove ends an agent and its keys.
func (d *Directory) Remove(id gateway.AgentID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.agent[id]
	d.unlist(e)
	e.removed, d.gone[id] = true, true
	d.dropKeys(id, func(gateway.Key) bool { return true })
}

// Keep removes the living agents that are not among these, because the store no longer
// has them.
func (d *Directory) Keep(these map[gateway.AgentID]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, e := range d.agent {
		if e.removed || these[id] {
			continue
		}
		d.unlist(e)
		e.removed, d.gone[id] = true, true
		d.dropKeys(id, func(gateway.Key) bool { return true })
	}
}

// Forget drops agents that were removed.
func (d *Directory) Forget(ids []gateway.AgentID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if d.gone[id] {
			d.drop(id)
		}
	}
}

// Gone returns up to limit agents that were removed and not yet forgotten, in no order.
func (d *Directory) Gone(limit int) []gateway.AgentID {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []gateway.AgentID
	for id := range d.gone {
		if len(ids) == limit {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

// Ended is gateway.ErrRevoked when the acting key has ended. A key of a member acts in a
// shared mailbox, and no more once the member has left.
func (d *Directory) Ended(by gateway.Acting) error {
	if by.Key == "" {
		return nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[by.Agent]
	if e == nil || !e.has(by.Key) && !slices.ContainsFunc(e.Members, func(id gateway.AgentID) bool {
		member := d.agent[id]
		return e.Kind == gateway.SharedMailbox && member != nil && member.has(by.Key)
	}) {
		return gateway.ErrRevoked
	}
	return nil
}

// Caller returns the agent whose key it is that acts: a member, where by is one in a shared
// mailbox. The gateway itself counts as the agent for which it acts.
func (d *Directory) Caller(by gateway.Acting) int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[by.Agent]; by.Key != "" && e != nil && !e.has(by.Key) {
		for _, id := range e.Members {
			if member := d.agent[id]; member != nil && member.has(by.Key) {
				return int64(id)
			}
		}
	}
	return int64(by.Agent)
}

// has reports whether the key is one of the agent's own.
func (e *entry) has(keyID string) bool {
	return slices.ContainsFunc(e.keys, func(k *keyEntry) bool { return k.ID == keyID })
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

// Address returns the agent's address and mode, even of a removed agent.
func (d *Directory) Address(id gateway.AgentID) (amtp.Address, string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[id]; e != nil {
		return e.Address, e.DeliveryMode
	}
	return amtp.Address{}, ""
}

// Wish returns the agent's setting for receipts.
func (d *Directory) Wish(id gateway.AgentID) gateway.ReceiptWish {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.agent[id]; e != nil {
		return e.Receipts
	}
	return gateway.ReceiptsNever
}

// HasWritten reports whether the store has a row that says that the agent wrote to the
// domain. False may mean only that it is not remembered here.
func (d *Directory) HasWritten(c Contact) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[c.Agent]
	return e != nil && e.wrote[c.Domain]
}

// NoteWritten notes contacts that are now stored.
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

// EverNamed returns the ids of the last maxNamesakes agents that have or had the
// address, the newest first.
func (d *Directory) EverNamed(a amtp.Address) []int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := d.ever[a.Key()]
	ids := make([]int64, 0, min(len(all), maxNamesakes))
	for _, id := range slices.Backward(all[max(0, len(all)-maxNamesakes):]) {
		ids = append(ids, int64(id))
	}
	return ids
}

// Agent returns the living agent with the id, or gateway.ErrNotFound.
func (d *Directory) Agent(id gateway.AgentID) (*gateway.Agent, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[id]
	if e == nil || e.removed {
		return nil, gateway.ErrNotFound
	}
	agent := e.Agent
	return &agent, nil
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
	return d.Page(gateway.AgentFilter{}, 0).Agents
}

// pageStep is the number of agents that Page looks at under one lock: a writer of the
// directory waits for no more.
const pageStep = 256

// Page lists living agents. It looks at no more than most of them; 0 means all.
func (d *Directory) Page(f gateway.AgentFilter, most int) (page gateway.AgentPage) {
	page.Next = f.After
	spent := func(looked int) bool { return most > 0 && looked >= most }
	full := func() bool { return f.Limit > 0 && len(page.Agents) == f.Limit }
	at := f.After
	for looked := 0; ; {
		var found []gateway.Agent
		d.mu.RLock()
		page.Living, page.Listed = d.living.count, d.listed
		end := d.living.behind(at, pageStep, func(e *entry) bool {
			if spent(looked) {
				return false
			}
			looked++
			at = e.key
			matches := f.Match == nil || f.Match(&e.Agent)
			if matches && f.Limit > 0 && len(page.Agents)+len(found) == f.Limit {
				page.Matched, page.HasMore = page.Matched+1, true
				return f.Count
			}
			if matches {
				page.Matched++
				found = append(found, e.Agent)
			}
			// When the page is full, the next one begins after the last agent that is
			// shown. So Next never contains the address of an agent that the page does
			// not show.
			if !page.HasMore && (matches || f.Limit == 0 || len(page.Agents)+len(found) < f.Limit) {
				page.Next = e.key
			}
			return true
		})
		d.mu.RUnlock()
		for i := range found {
			page.Agents = append(page.Agents, &found[i])
		}
		switch {
		case end:
			return page
		case spent(looked):
			page.Incomplete = !full()
			page.HasMore, page.Capped = true, true
			return page
		case page.HasMore && !f.Count:
			page.Capped = true
			return page
		}
	}
}
