package store

import (
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

type keyEntry struct{ gateway.Key }

// PutKey adds a key of an agent that was put before. A key of an agent that does not
// live is ignored.
func (d *Directory) PutKey(k gateway.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.putKey(k)
}

func (d *Directory) putKey(key gateway.Key) *keyEntry {
	k := &keyEntry{Key: key}
	e := d.agent[key.Agent]
	if e == nil || e.removed {
		return nil
	}
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

// KeepKey ends all keys of an agent except one.
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
// gateway.ErrNotFound. It notes both as active now.
func (d *Directory) KeyOwner(hash [32]byte, now time.Time) (*gateway.Agent, string, error) {
	d.mu.RLock()
	k := d.keyed[hash]
	if k == nil || subtle.ConstantTimeCompare(k.Hash[:], hash[:]) != 1 {
		d.mu.RUnlock()
		return nil, "", gateway.ErrNotFound
	}
	e := d.agent[k.Agent]
	agent, id := e.Agent, k.ID
	// the clock may go back
	fresh := now.Sub(e.LastActive).Abs() < activityStep && now.Sub(k.LastUsed).Abs() < activityStep
	d.mu.RUnlock()
	if !fresh {
		d.touch(hash, now)
		agent.LastActive = now
	}
	return &agent, id, nil
}

// activityStep is the resolution of the times at which agents and keys were active.
const activityStep = time.Minute

// ActivityEvery is how often the activity is stored.
const ActivityEvery = time.Minute

func (d *Directory) touch(hash [32]byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.keyed[hash]
	if k == nil {
		return // the key has ended in the meantime
	}
	d.agent[k.Agent].LastActive, k.LastUsed = now, now
	d.seen.agents[k.Agent], d.seen.keys[hash] = true, true
}

// Seen is the agents and keys whose activity is not stored yet.
type Seen struct {
	agents map[gateway.AgentID]bool
	keys   map[[32]byte]bool
}

func newSeen() Seen {
	return Seen{agents: make(map[gateway.AgentID]bool), keys: make(map[[32]byte]bool)}
}

// ActivityStep is how many agents and keys of the activity are stored at once, so that
// other writers do not wait for more.
const ActivityStep = 256
