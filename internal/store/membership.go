package store

import (
	"slices"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Mailboxes returns the living shared mailboxes of which the agent is a member, by their
// ids.
func (d *Directory) Mailboxes(member gateway.AgentID) []*gateway.Agent {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*gateway.Agent, 0, len(d.boxes[member]))
	for _, id := range d.boxes[member] {
		box := d.agent[id].Agent
		list = append(list, &box)
	}
	return list
}

// join enters a living mailbox for its members.
func (d *Directory) join(e *entry) {
	if e.Kind != gateway.SharedMailbox {
		return
	}
	for _, member := range e.Members {
		if at, found := slices.BinarySearch(d.boxes[member], e.ID); !found {
			d.boxes[member] = slices.Insert(d.boxes[member], at, e.ID)
		}
	}
}

// leave undoes join.
func (d *Directory) leave(e *entry) {
	if e.Kind != gateway.SharedMailbox {
		return
	}
	for _, member := range e.Members {
		ids := d.boxes[member]
		if at, found := slices.BinarySearch(ids, e.ID); found {
			ids = slices.Delete(ids, at, at+1)
		}
		if d.boxes[member] = ids; len(ids) == 0 {
			delete(d.boxes, member)
		}
	}
}
