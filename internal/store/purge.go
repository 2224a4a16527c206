package store

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Aged is a message that the purge looks at, with the values on which its retention
// depends.
type Aged struct {
	Turn
	gateway.Kept
	There  bool
	Stored int64    // bytes of the body, 0 when it was deleted before
	Used   [][]byte // the idempotency keys, in the order of their times in Keys
	Fixes  TimeFixes

	// Fingerprint and Key are kept when the body is deleted. A late retry is recognised
	// by the fingerprint. Key is an idempotency key that only the body holds, nil for
	// none.
	Fingerprint, Key []byte
}

// Forget clears what was read of the message, so that it is read again.
func (m *Aged) Forget() {
	m.There, m.Fixes, m.Stored, m.Kept, m.Used = false, nil, 0, gateway.Kept{}, nil
}

// Size returns the bytes of a body that is to be deleted, 0 for none.
func (m *Aged) Size() int64 {
	if m.Fingerprint == nil {
		return 0
	}
	return m.Stored
}

// BodyEnds reports whether the body is there and its retention has ended.
func (m *Aged) BodyEnds(w *PurgeCursor) bool {
	at, ends := w.Keep.BodyEnds(m.Deliveries)
	return m.Body && w.isDue(at, ends)
}

// BodyGoes reports whether the body is deleted now. It looks again, because a retry may
// have added a recipient since Fingerprint was computed. A body that is needed for a
// report that is not sent yet stays. Later work needs no body.
func (m *Aged) BodyGoes(w *PurgeCursor) bool { return m.Fingerprint != nil && m.BodyEnds(w) }

// Open reports whether a recipient may still take or acknowledge the message.
func (m *Aged) Open() bool {
	return slices.ContainsFunc(m.Deliveries, func(d gateway.Delivery) bool {
		return d.Agent != 0 && d.State == gateway.Delivered && d.Mode != ModePush
	})
}

// KeysDue takes the idempotency keys whose retention has ended out of a message without
// a body, and returns them.
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

// StatusEnds reports whether the retention of a message without a body has ended.
func (m *Aged) StatusEnds(w *PurgeCursor) bool { return w.isDue(w.Keep.StatusEnds(m.Deliveries)) }

// Again returns when the purge looks at the message again.
func (m *Aged) Again(w *PurgeCursor) time.Time { return w.Keep.LookAgain(m.Kept, FromMicros(w.Now)) }

func (w *PurgeCursor) isDue(at time.Time, ends bool) bool { return ends && Micros(at) <= w.Now }

// PurgeRows is the access of Purge to a store's rows.
type PurgeRows interface {
	// PurgeAgents forgets agents that were removed before that time. With begin it
	// starts again from the first agent after it has reached the last; all reports that
	// it has.
	PurgeAgents(ctx context.Context, before time.Time, begin bool, limit int) (gone int, all bool, err error)
	// Times returns how the clock reads stored times, after times ahead of the clock
	// were corrected.
	Times(ctx context.Context, now time.Time) (Times, error)
	// PurgeDomains forgets domains that sent no message since then.
	PurgeDomains(ctx context.Context, times *Times, since time.Time, limit int) (gone int, err error)
	// Turns returns the cursor and the next messages to look at, prepared for the
	// deletion of their bodies. It sets in out what it found.
	Turns(ctx context.Context, keep gateway.Retention, times Times, limit int,
		out *gateway.Purged) (PurgeCursor, []*Aged, error)
	// PurgeTurns removes the expired parts of the messages and stores the cursor, in
	// one transaction.
	PurgeTurns(ctx context.Context, list []*Aged, cursor *PurgeCursor) (gateway.Purged, error)
}

// Purge removes what has outlived its retention: agents, then domains (only in a call
// with after 0), then messages, a few at a time.
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

// Bounds of one step of a purge. Other writers wait for at most one step.
const (
	purgeStep      = 64
	purgeStepBytes = 1 << 20 // of bodies that are deleted
)

// purgeStepOf returns how many of the messages are in one step.
func purgeStepOf(list []*Aged) int {
	n, sum := 0, int64(0)
	for n < len(list) && n < purgeStep && (n == 0 || sum+list[n].Size() <= purgeStepBytes) {
		sum += list[n].Size()
		n++
	}
	return n
}

// AgentCursor is how far the purge of removed agents has come. It is kept in memory
// only, because a purge may begin anywhere.
type AgentCursor struct {
	last atomic.Int64 // the last agent that was looked at, walkEnded at the end
}

const walkEnded = math.MaxInt64

// Step looks at the next agents. look returns how many it looked at, the last of them,
// and how many it forgot. With begin, a walk that has reached the last agent starts
// again from the first; all reports that it has reached the last.
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
