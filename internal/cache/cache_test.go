package cache

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestFlood asks for some keys again and again, while ten times as many new keys as
// there is room for are asked for once each.
func TestFlood(t *testing.T) {
	const room, busy = 1000, 700
	c := New[int, int](room)
	for round := range 2 {
		for key := range busy {
			if c.GetOrSet(key, func() int { return key }) != key {
				t.Fatalf("round %d: key %d has another's value", round, key)
			}
		}
	}
	for key := busy; key < 10*room; key++ {
		c.Set(key, key)
	}
	for key := range busy {
		if _, ok := c.Get(key); !ok {
			t.Fatalf("key %d of %d that are in use was evicted by keys that were asked for once", key, busy)
		}
	}
}

// TestInUseChanges fills the cache with keys in use, and then uses other keys.
func TestInUseChanges(t *testing.T) {
	const room = 100
	c := New[int, int](room)
	for key := range 3 * room {
		c.Set(key, key)
		c.Get(key)
		c.Get(key)
	}
	for key := 3*room - room/2; key < 3*room; key++ {
		if _, ok := c.Get(key); !ok {
			t.Fatalf("key %d was in use lately and is not kept", key)
		}
	}
	if _, ok := c.Get(0); ok {
		t.Fatal("key 0 is kept; it was not used while three times the room went through the cache")
	}
}

func TestTooHeavy(t *testing.T) {
	c := Weighed[string](10, func(n int) int { return n })
	c.Set("a", 4)
	c.Set("b", 11)
	if n, ok := c.Get("b"); ok {
		t.Errorf("b = %d is kept; it weighs more than the room", n)
	}
	c.Set("a", 11)
	if n, ok := c.Get("a"); ok {
		t.Errorf("a = %d, want none: its new value is too heavy, and the former was replaced", n)
	}
}

// TestModel does random operations on a cache and compares it with a map that never
// forgets. A returned value is the last one set, a value set just now is there, and the
// total weight is within the room.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.IntRange(1, 40).Draw(t, "room")
		c := Weighed[int](room, func(n int) int { return n % 7 })
		all := map[int]int{}
		key, value := rapid.IntRange(0, 30), rapid.IntRange(0, 1000)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), value.Draw(t, "value")
				c.Set(k, v)
				all[k] = v
				if got, ok := c.Get(k); v%7 <= room && (!ok || got != v) {
					t.Fatalf("Get(%d) = %d, %v after Set(%d, %d)", k, got, ok, k, v)
				}
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				if got, ok := c.Get(k); ok && got != all[k] {
					t.Fatalf("Get(%d) = %d, want %d or nothing", k, got, all[k])
				}
			},
			"get or set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), value.Draw(t, "value")
				got := c.GetOrSet(k, func() int { all[k] = v; return v })
				if got != all[k] {
					t.Fatalf("GetOrSet(%d, %d) = %d, want %d", k, v, got, all[k])
				}
			},
			"": func(t *rapid.T) {
				weight := 0
				for k := range all {
					if e := c.entries[k]; e != nil {
						weight += e.value % 7
					}
				}
				if weight > room || weight != c.fresh.weight+c.used.weight {
					t.Fatalf("all values weigh %d, counted as %d and %d, want at most %d", weight, c.fresh.weight,
						c.used.weight, room)
				}
			},
		})
	})
}

// TestTogether: many goroutines ask for the same keys at once, and each value is made
// once.
func TestTogether(t *testing.T) {
	const keys = 50
	c := New[int, *int](keys)
	made := [keys]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for key := range keys {
				c.GetOrSet(key, func() *int { made[key]++; return &made[key] })
				c.Get(key)
			}
		})
	}
	all.Wait()
	for key, n := range made {
		if n != 1 {
			t.Errorf("the value of key %d was made %d times, want once", key, n)
		}
	}
}
