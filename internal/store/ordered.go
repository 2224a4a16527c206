package store

import (
	"cmp"
	"slices"
)

// blockSize is the most agents in one block of the ordered list.
const blockSize = 512

// ordered is the living agents by address, in blocks. Adding or removing an agent moves
// only the entries of one block, and never sorts the others.
type ordered struct {
	blocks [][]*entry // none of them is empty
	count  int
}

// find returns the place of the key, or the place at which it would be inserted.
func (o *ordered) find(key string) (block, at int, found bool) {
	block, _ = slices.BinarySearchFunc(o.blocks, key, func(b []*entry, key string) int {
		return cmp.Compare(b[len(b)-1].key, key)
	})
	if block == len(o.blocks) {
		return block, 0, false
	}
	at, found = slices.BinarySearchFunc(o.blocks[block], key,
		func(e *entry, key string) int { return cmp.Compare(e.key, key) })
	return block, at, found
}

// put adds an agent, and replaces an agent with the same address.
func (o *ordered) put(e *entry) {
	block, at, found := o.find(e.key)
	switch {
	case found:
		o.blocks[block][at] = e
		return
	case len(o.blocks) == 0:
		o.blocks = append(o.blocks, nil)
	case block == len(o.blocks):
		block--
		at = len(o.blocks[block])
	}
	o.count++
	o.blocks[block] = slices.Insert(o.blocks[block], at, e)
	if full := o.blocks[block]; len(full) > blockSize {
		right := slices.Clone(full[blockSize/2:])
		clear(full[blockSize/2:])
		o.blocks[block] = full[:blockSize/2]
		o.blocks = slices.Insert(o.blocks, block+1, right)
	}
}

// remove takes out the agent, if it is the one that has its address.
func (o *ordered) remove(e *entry) {
	block, at, found := o.find(e.key)
	if !found || o.blocks[block][at] != e {
		return
	}
	o.count--
	if o.blocks[block] = slices.Delete(o.blocks[block], at, at+1); len(o.blocks[block]) == 0 {
		o.blocks = slices.Delete(o.blocks, block, block+1)
	}
}

// behind calls visit for the agents after the address, in order, until visit returns
// false or it has seen most agents. end reports whether none is left.
func (o *ordered) behind(key string, most int, visit func(*entry) bool) (end bool) {
	block, at, found := o.find(key)
	if found {
		at++
	}
	for ; block < len(o.blocks); block, at = block+1, 0 {
		for ; at < len(o.blocks[block]); at++ {
			if most == 0 || !visit(o.blocks[block][at]) {
				return false
			}
			most--
		}
	}
	return true
}
