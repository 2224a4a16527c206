package store

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Aged is a message that the purge looks at, with what its retention depends on.
type Aged struct {
	Turn
	gateway.Kept
	There  bool
	Stored int64    // bytes of the body, 0 when it was removed before
	Used   [][]byte // the idempotency keys, beside the times in Keys
	Fixes  TimeFixes

	// What is kept of a body that goes: the fingerprint, by which a late retry is
	// recognised, and the idempotency key that only the body tells, nil for none.
	Fingerprint, Key []byte
}

// Forget forgets what was read of the message, so that it is read again.
func (m *Aged) Forget() {
	m.There, m.Fixes, m.Stored, m.Kept, m.Used = false, nil, 0, gateway.Kept{}, nil
}

// Size returns the bytes of a body that goes.
func (m *Aged) Size() int64 {
	if m.Fingerprint == nil {
		return 0
	}
	return m.Stored
}

// BodyEnds reports whether the body is there and its time has come.
func (m *Aged) BodyEnds(w *PurgeCursor) bool {
	at, ends := w.Keep.BodyEnds(m.Deliveries)
	return m.Body && w.isDue(at, ends)
}

// BodyGoes reports whether the body goes: a retry may have added a recipient since it
// was prepared for that. One of which a report has yet to be made stays all the same.
func (m *Aged) BodyGoes(w *PurgeCursor) bool { return m.Fingerprint != nil && m.BodyEnds(w) }

// KeysDue takes out of a message without a body the keys that are due, and returns them.
func (m *Aged) KeysDue(w *PurgeCursor) (due [][]byte) {
	kept := m.Keys[:0:0]
	for i, key := range m.Used {
		if w.isDue(w.Keep.KeyEnds(m.Keys[i], m.Deliveries)) {
			due = append(due, key)
		} else {
			kept = append(kept, m.Keys[i])
		}
	}
	m.Keys = kept
	return due
}

// StatusEnds reports whether a message without a body is to be forgotten.
func (m *Aged) StatusEnds(w *PurgeCursor) bool { return w.isDue(w.Keep.StatusEnds(m.Deliveries)) }

// Again returns when the message is looked at again.
func (m *Aged) Again(w *PurgeCursor) time.Time { return w.Keep.LookAgain(m.Kept, FromMicros(w.Now)) }

func (w *PurgeCursor) isDue(at time.Time, ends bool) bool { return ends && Micros(at) <= w.Now }

// PurgeRows are a store's rows as Purge walks through them.
type PurgeRows interface {
	// PurgeAgents forgets agents that were removed before then. begin begins anew
	// behind the last agent; all says that the last was reached.
	PurgeAgents(ctx context.Context, before time.Time, begin bool, limit int) (gone int, all bool, err error)
	// Times returns how the clock reads what is stored, after what lay ahead of the
	// clock was written anew.
	Times(ctx context.Context, now time.Time) (Times, error)
	// PurgeDomains forgets domains that wrote nothing since then.
	PurgeDomains(ctx context.Context, times *Times, since time.Time, limit int) (gone int, err error)
	// Turns returns the next messages to look at, prepared for the end of their bodies,
	// and the cursor. It notes in out what it found.
	Turns(ctx context.Context, keep gateway.Retention, times Times, limit int,
		out *gateway.Purged) (PurgeCursor, []*Aged, error)
	// PurgeTurns removes in one transaction what is due of messages, and stores the
	// cursor.
	PurgeTurns(ctx context.Context, list []*Aged, cursor *PurgeCursor) (gateway.Purged, error)
}

// Purge removes what has outlived its retention: agents, domains before the first
// message, and messages a few at a time.
func Purge(ctx context.Context, rows PurgeRows, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	agents, all, err := rows.PurgeAgents(ctx, now.Add(-keep.Agent()), after == 0, limit)
	if err != nil {
		return gateway.Purged{Next: after}, err
	}
	out, err := purgeMessages(ctx, rows, keep, now, after, limit)
	out.Agents, out.Done = agents, out.Done && all
	return out, err
}

func purgeMessages(ctx context.Context, rows PurgeRows, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	out := gateway.Purged{Next: after}
	times, err := rows.Times(ctx, now)
	if err != nil {
		return out, err
	}
	if after == 0 {
		gone, err := rows.PurgeDomains(ctx, &times, now.Add(-keep.SenderDomain()), limit)
		if out.Peers = gone; err != nil || gone == limit {
			return out, err
		}
	}
	cursor, list, err := rows.Turns(ctx, keep, times, limit, &out)
	for err == nil && len(list) > 0 {
		n := purgeStepOf(list)
		for _, m := range list[:n] {
			cursor.Pass(m.Turn)
		}
		passed := cursor
		var did gateway.Purged
		if did, err = rows.PurgeTurns(ctx, list[:n], &passed); err != nil {
			break
		}
		out.Bodies, out.Messages, out.Keys = out.Bodies+did.Bodies, out.Messages+did.Messages, out.Keys+did.Keys
		out.Looked += n
		out.Next += int64(n)
		list = list[n:]
	}
	return out, err
}

// Bounds of one step of a purge. Those who write at the same time wait for a step,
// and for no more of it.
const (
	purgeStep      = 64
	purgeStepBytes = 1 << 20 // of bodies that go
)

// purgeStepOf returns how many of the messages make one step.
func purgeStepOf(list []*Aged) int {
	n, sum := 0, int64(0)
	for n < len(list) && n < purgeStep && (n == 0 || sum+list[n].Size() <= purgeStepBytes) {
		sum += list[n].Size()
		n++
	}
	return n
}

// AgentWalk is how far the purge of removed agents has come. It is kept in memory, for it
// may begin anywhere.
type AgentCursor struct {
	last atomic.Int64 // the last agent that was looked at, walked at the end
}

const walkEnded = math.MaxInt64

// Step looks at the next agents, of which look returns how many it looked at, the last
// of them, and how many it has forgotten. begin begins anew behind the
// last agent; all says that the last was reached.
func (w *AgentCursor) Step(begin bool, limit int,
	look func(after int64) (looked int, last int64, gone int, err error)) (gone int, all bool, err error) {
	after := w.last.Load()
	if after == walkEnded && begin {
		after = 0
	}
	if after == walkEnded {
		return 0, true, nil
	}
	looked, last, gone, err := look(after)
	if err != nil {
		return 0, false, err
	}
	if looked < limit {
		last = walkEnded
	}
	w.last.Store(last)
	return gone, last == walkEnded, nil
}
