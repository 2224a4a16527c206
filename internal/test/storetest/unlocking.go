package storetest

import (
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// unlocking are the promises about keys.
func unlocking() []promise {
	return []promise{
		{"KeyOwner returns the agent whose key has the hash", keyOwner},
		{"KeyOwner counts the agent and the key as active", keyOwnerIsActive},
		{"AddKey stores one more key", addKey},
		{"AddKey alone ends all others in the same step", addKeyAlone},
		{"of many AddKeys alone at once one key is left", addKeysAlone},
		{"Keys lists an agent's keys, oldest first", listKeys},
		{"RemoveKey ends one key at once", removeKey},
		{"RemoveKey is ErrNotFound when the agent has no such key", removeForeignKey},
		{"a key that is ended while it is used is not used afterwards", removeUsedKey},
	}
}

// owns checks that a key belongs to its agent.
func (w *world) owns(p person, k gateway.Key) {
	w.Helper()
	a, id, err := w.store.KeyOwner(w.ctx, k.Hash, w.now())
	if err != nil {
		w.Errorf("KeyOwner = %v, want %s; key %s", err, p.Address, k.ID)
		return
	}
	same(w, "owner of the key", a.ID, p.ID)
	same(w, "id of the key", id, k.ID)
}

func (w *world) noOwner(what string, hash [32]byte) {
	w.Helper()
	a, id, err := w.store.KeyOwner(w.ctx, hash, w.now())
	if err == nil {
		w.Errorf("KeyOwner of %s = %s, %s, want the error %q", what, a.Address, id, gateway.ErrNotFound)
		return
	}
	w.fails("KeyOwner of "+what, err, gateway.ErrNotFound)
}

func (w *world) addKey(p person, seed string, alone bool) (gateway.Key, int) {
	w.Helper()
	k := newKey(seed, p.ID, w.now())
	ended, err := w.store.AddKey(w.ctx, gateway.Acting{}, k, alone)
	if err != nil {
		w.Fatalf("AddKey = %v, want no error; key %s", err, k.ID)
	}
	return k, ended
}

func keyOwner(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.owns(alice, alice.key)
	w.owns(bob, bob.key)
	w.noOwner("no key", [32]byte{})
	almost := alice.key.Hash
	almost[31]++
	w.noOwner("almost alice's key", almost)
}

func keyOwnerIsActive(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second, _ := w.addKey(alice, "second", false)
	for _, later := range []time.Duration{10 * time.Minute, 11*time.Minute + time.Second, 50 * 24 * time.Hour} {
		now := morning.Add(later)
		owner, _, err := w.store.KeyOwner(w.ctx, second.Hash, now)
		w.works("KeyOwner", err)
		w.toTheMinute("LastActive of the owner", owner.LastActive, now)
		named, err := w.store.AgentNamed(w.ctx, alice.Address)
		w.works("AgentNamed", err)
		w.toTheMinute("LastActive in the directory", named.LastActive, now)
		keys, err := w.store.Keys(w.ctx, alice.ID)
		w.works("Keys", err)
		w.toTheMinute("LastUsed of the key", keys[1].LastUsed, now)
		w.sameTime("LastUsed of the other key", keys[0].LastUsed, alice.key.LastUsed)
	}
	other, err := w.store.AgentNamed(w.ctx, bob.Address)
	w.works("AgentNamed", err)
	w.sameTime("LastActive of bob", other.LastActive, bob.LastActive)
}

func (w *world) toTheMinute(what string, got, now time.Time) {
	w.Helper()
	if off := now.Sub(got).Abs(); off > time.Minute {
		w.Errorf("%s = %v, want %v to the minute", what, got, now)
	}
}

func addKey(w *world) {
	alice := w.agent("alice")
	second, ended := w.addKey(alice, "second", false)
	same(w, "keys that were ended", ended, 0)
	w.owns(alice, alice.key)
	w.owns(alice, second)
	_, err := w.store.AddKey(w.ctx, gateway.Acting{}, newKey("lost", 999_999, w.now()), false)
	w.fails("AddKey of no agent", err, gateway.ErrNotFound)
}

func addKeyAlone(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	second, _ := w.addKey(alice, "second", false)
	third, ended := w.addKey(alice, "third", true)
	same(w, "keys that were ended", ended, 2)
	w.noOwner("the first key", alice.key.Hash)
	w.noOwner("the second key", second.Hash)
	w.owns(alice, third)
	w.owns(bob, bob.key)
	w.keys(alice, third.ID)
}

func addKeysAlone(w *world) {
	alice := w.agent("alice")
	var ended atomic.Int64
	together(16, func(i int) {
		n, err := w.store.AddKey(w.ctx, gateway.Acting{}, newKey(string(rune('a'+i)), alice.ID, w.now()), true)
		if err != nil {
			w.Errorf("AddKey = %v, want no error", err)
		}
		ended.Add(int64(n))
	})
	same(w, "keys that were ended", ended.Load(), 16)
	keys, err := w.store.Keys(w.ctx, alice.ID)
	w.works("Keys", err)
	if len(keys) != 1 {
		w.Fatalf("number of keys = %d, want 1", len(keys))
	}
	w.owns(alice, keys[0])
}

// keys checks the ids of an agent's keys.
func (w *world) keys(p person, want ...string) {
	w.Helper()
	list, err := w.store.Keys(w.ctx, p.ID)
	w.works("Keys", err)
	got := make([]string, len(list))
	for i, k := range list {
		got[i] = k.ID
		same(w, "agent of the key", k.Agent, p.ID)
	}
	sameList(w, "keys of "+p.Address.String(), got, want)
}

func listKeys(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	z, _ := w.addKey(alice, "z", false)
	a, _ := w.addKey(alice, "a", false)
	w.keys(alice, alice.key.ID, z.ID, a.ID)
	w.keys(bob, bob.key.ID)
	list, err := w.store.Keys(w.ctx, alice.ID)
	w.works("Keys", err)
	w.sameTime("CreatedAt", list[2].CreatedAt, a.CreatedAt)
	same(w, "hash", list[2].Hash, a.Hash)
}

func removeKey(w *world) {
	alice := w.agent("alice")
	second, _ := w.addKey(alice, "second", false)
	w.works("RemoveKey", w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, alice.key.ID))
	w.noOwner("the removed key", alice.key.Hash)
	w.owns(alice, second)
	w.keys(alice, second.ID)
	w.works("RemoveKey of the last", w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, second.ID))
	w.noOwner("the last key", second.Hash)
	_, err := w.store.AgentNamed(w.ctx, alice.Address)
	w.works("AgentNamed without a key", err)
}

func removeForeignKey(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, c := range []struct {
		by person
		id string
	}{{alice, bob.key.ID}, {alice, "key_none"}, {alice, ""}, {person{}, alice.key.ID}} {
		w.fails("RemoveKey of "+c.id, w.store.RemoveKey(w.ctx, gateway.Acting{}, c.by.ID, c.id), gateway.ErrNotFound)
	}
	w.works("RemoveKey", w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, alice.key.ID))
	w.fails("RemoveKey again", w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, alice.key.ID), gateway.ErrNotFound)
	w.owns(bob, bob.key)
}

func removeUsedKey(w *world) {
	alice := w.agent("alice")
	k, _ := w.addKey(alice, "second", false)
	var removed atomic.Bool
	together(9, func(i int) {
		if i == 0 {
			if err := w.store.RemoveKey(w.ctx, gateway.Acting{}, alice.ID, k.ID); err != nil {
				w.Errorf("RemoveKey = %v, want no error", err)
			}
			removed.Store(true)
			return
		}
		for gone := false; !gone; {
			gone = removed.Load()
			at := w.now().Add(time.Duration(i) * time.Hour)
			if _, _, err := w.store.KeyOwner(w.ctx, k.Hash, at); err == nil && gone {
				w.Errorf("KeyOwner of a removed key = no error, want %q", gateway.ErrNotFound)
			}
		}
	})
}
