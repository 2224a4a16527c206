// Package cache remembers values by key within a bound, in memory only.
//
// Values that were asked for again are kept longer than the others. A flood of keys that
// are asked for once evicts keys of its own kind, and never more than a fifth of those in
// use. Values do not expire; a caller that needs that keeps a time in the value.
package cache

import "sync"

// inUse is the part of the room for values that were asked for again.
const inUse = 4.0 / 5

// Cache holds values by key. Any number of callers may use one at once. A value is shared
// by all callers that get it, so it must not change.
type Cache[K comparable, V any] struct {
	room  int
	weigh func(V) int

	mu      sync.Mutex
	entries map[K]*entry[K, V]
	fresh   queue[K, V] // asked for once, or not lately
	used    queue[K, V] // asked for again
}

// New returns a Cache for that many values.
func New[K comparable, V any](values int) *Cache[K, V] {
	return Weighed[K](values, func(V) int { return 1 })
}

// Weighed returns a Cache whose values together weigh no more than room. A value that
// alone weighs more is not kept. weigh must return the same for a value every time.
func Weighed[K comparable, V any](room int, weigh func(V) int) *Cache[K, V] {
	return &Cache[K, V]{room: room, weigh: weigh, entries: map[K]*entry[K, V]{}}
}

// Get returns what was set for the key, if it is still there.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return value, false
	}
	c.touch(e)
	return e.value, true
}

// Set keeps the value for the key and replaces the one before.
func (c *Cache[K, V]) Set(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(key, value)
}

// GetOrSet returns the value of the key. If there is none, make is called once for all
// callers that ask at the same time, and its value is kept. All callers of the Cache wait
// for it, so make must not take long.
func (c *Cache[K, V]) GetOrSet(key K, make func() V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.touch(e)
		return e.value
	}
	value := make()
	c.set(key, value)
	return value
}

// touch notes that an entry was asked for.
func (c *Cache[K, V]) touch(e *entry[K, V]) {
	e.queue.remove(e)
	c.used.push(e)
	for float64(c.used.weight) > inUse*float64(c.room) {
		last := c.used.last()
		c.used.remove(last)
		c.fresh.push(last) // it has another round there
	}
}

func (c *Cache[K, V]) set(key K, value V) {
	to := &c.fresh
	if before := c.entries[key]; before != nil {
		to = before.queue
		to.remove(before)
		delete(c.entries, key)
	}
	e := &entry[K, V]{key: key, value: value, weight: c.weigh(value)}
	if e.weight > c.room {
		return
	}
	for c.fresh.weight+c.used.weight+e.weight > c.room {
		from := &c.fresh
		if from.last() == nil {
			from = &c.used
		}
		last := from.last()
		from.remove(last)
		delete(c.entries, last.key)
	}
	c.entries[key] = e
	to.push(e)
}
