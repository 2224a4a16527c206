package faultfs

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// sector is the unit that a disk writes whole or not at all.
const sector = 512

// content is the state of one file on the disk.
type content struct {
	durable []byte   // as of the last sync
	pending []change // changes since then, in order
	failed  int      // how many syncs failed
	err     error    // of the last failed sync
	named   bool     // its name in the directory is durable
	deleted bool
	gone    bool     // and whether that is durable
	before  *content // the file of the same name that was deleted
}

// change is one write, or a truncation to off.
type change struct {
	data     []byte
	off      int64
	truncate bool
}

func (c *content) wrote(p []byte, off int64) {
	c.pending = append(c.pending, change{data: slices.Clone(p), off: off})
}

func (c *content) sync() {
	for _, w := range c.pending {
		c.durable = w.apply(c.durable)
	}
	c.pending, c.named = nil, true
}

// apply applies the change to a file.
func (w change) apply(to []byte) []byte {
	end := int(w.off) + len(w.data)
	if w.truncate && len(to) > end {
		return to[:end]
	}
	if len(to) < end {
		to = append(to, make([]byte, end-len(to))...)
	}
	copy(to[w.off:], w.data)
	return to
}

// Loss is the effect of a failure on writes that were not synced.
type Loss int

// The kinds of loss.
const (
	// Killed: only the process died, and the system writes all data that it has.
	Killed Loss = iota
	// Unsynced: all data that was not synced is lost.
	Unsynced
	// Tail: the disk wrote in order and stopped within one write.
	Tail
	// Scattered: the disk wrote some of the sectors, in any order.
	Scattered
	// Losses is the number of kinds.
	Losses
)

// String names the loss.
func (l Loss) String() string {
	return [...]string{"killed", "unsynced lost", "tail lost", "sectors scattered"}[l]
}

// Restore turns the power off and writes the surviving part of each file into dir.
// chance decides which part survives.
func (d *Disk) Restore(dir string, loss Loss, chance *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	var errs []error
	for _, path := range d.paths() {
		if left, ok := d.files[path].left(loss, chance); ok {
			errs = append(errs, os.WriteFile(filepath.Join(dir, filepath.Base(path)), left, 0o600))
		}
	}
	return errors.Join(errs...)
}

// paths returns the files that were ever opened, in order.
func (d *Disk) paths() []string { return slices.Sorted(maps.Keys(d.files)) }

// left returns the surviving content of the file, false if the file is gone.
func (c *content) left(loss Loss, chance *rand.Rand) ([]byte, bool) {
	switch {
	case c == nil:
		return nil, false
	case loss == Killed && c.deleted:
		return nil, false
	case loss != Killed && (c.gone || c.deleted && chance.IntN(2) == 0):
		return nil, false
	case loss == Unsynced && !c.named, loss > Unsynced && !c.named && chance.IntN(2) == 0:
		if c.before != nil && !c.before.gone {
			return c.before.left(loss, chance)
		}
		return nil, false
	}
	left := slices.Clone(c.durable)
	for _, w := range c.survivors(loss, chance) {
		left = w.apply(left)
	}
	return left, true
}

// survivors returns the unsynced changes that reached the disk.
func (c *content) survivors(loss Loss, chance *rand.Rand) []change {
	switch {
	case loss == Killed:
		return c.pending
	case loss == Unsynced || len(c.pending) == 0:
		return nil
	case loss == Tail:
		n := chance.IntN(len(c.pending))
		kept := slices.Clone(c.pending[:n])
		for i, s := range c.pending[n].sectors() {
			if i == 0 || chance.IntN(8) > 0 {
				kept = append(kept, s)
				continue
			}
			break
		}
		return kept
	}
	var kept []change
	for _, w := range c.pending {
		odds := chance.IntN(5) // out of four: none, some or all of a write
		for _, s := range w.sectors() {
			if chance.IntN(4) < odds {
				kept = append(kept, s)
			}
		}
	}
	return kept
}

// sectors divides a write at the sectors of the disk.
func (w change) sectors() []change {
	if w.truncate {
		return []change{w}
	}
	var parts []change
	for data, off := w.data, w.off; len(data) > 0; {
		n := min(len(data), sector-int(off%sector))
		parts = append(parts, change{data: data[:n], off: off})
		data, off = data[n:], off+int64(n)
	}
	return parts
}
