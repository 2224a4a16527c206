package store

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Activity is the times at which some agents were last seen and some keys last used.
type Activity struct {
	Agents []gateway.Agent
	Keys   []gateway.Key
}

// touched returns the activity that is not stored yet, in parts of at most step agents
// and keys, and forgets it. An agent that is seen from now on is in the result of the
// next call.
func (d *Directory) touched(step int) (parts []Activity) {
	d.mu.Lock()
	seen := d.seen
	d.seen = newSeen()
	d.mu.Unlock()
	last := func(n int) *Activity {
		if n%step == 0 {
			parts = append(parts, Activity{})
		}
		return &parts[len(parts)-1]
	}
	n := 0
	each := func(add func(*Activity)) {
		if n%pageStep == 0 {
			d.mu.RUnlock() // so that a request that authenticates does not wait for the whole loop
			d.mu.RLock()
		}
		add(last(n))
		n++
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id := range seen.agents {
		if e := d.agent[id]; e != nil && !e.removed {
			each(func(a *Activity) { a.Agents = append(a.Agents, e.Agent) })
		}
	}
	for hash := range seen.keys {
		if k := d.keyed[hash]; k != nil {
			each(func(a *Activity) { a.Keys = append(a.Keys, k.Key) })
		}
	}
	return parts
}

// SaveTouched stores the activity that is not stored yet, in parts of at most step
// agents and keys. Activity is a hint: when a save fails, the next call tries that part
// and the rest again.
func (d *Directory) SaveTouched(step int, save func(*Activity) error) {
	parts := d.touched(step)
	for i := range parts {
		if save(&parts[i]) != nil {
			d.notSaved(parts[i:])
			return
		}
	}
}

// KeepActivity calls flush every ActivityEvery, until done is closed.
func KeepActivity(done <-chan struct{}, flush func()) {
	tick := time.NewTicker(ActivityEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			flush()
		case <-done:
			return
		}
	}
}

// notSaved puts back the activity that could not be stored.
func (d *Directory) notSaved(parts []Activity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range parts {
		for _, a := range parts[i].Agents {
			d.seen.agents[a.ID] = true
		}
		for _, k := range parts[i].Keys {
			d.seen.keys[k.Hash] = true
		}
	}
}
