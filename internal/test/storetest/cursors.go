package storetest

import (
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"pgregory.net/rapid"
)

// cursors are the promises about reading from a cursor on.
func cursors() []promise {
	return []promise{
		{"sequence numbers are given in commit order", seqInCommitOrder},
		{"who goes on behind the last number misses nothing while others write and ack", cursorMissesNothing},
		{"whatever is sent, marked, acknowledged and read, in any order", cursorModel},
	}
}

func seqInCommitOrder(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	sent := make([][]amtp.MessageID, 8)
	together(len(sent), func(i int) {
		for range 10 {
			got, err := w.try(letter{from: alice, to: []person{bob}, text: strconv.Itoa(i)})
			if err != nil {
				w.Errorf("Accept = %v, want no error", err)
			}
			sent[i] = append(sent[i], got.ID)
		}
	})
	last := int64(0)
	place := make(map[amtp.MessageID]int64)
	for _, item := range w.page(bob, wholeInbox).Items {
		if item.Seq <= last {
			w.Fatalf("sequence = %d after %d, want it to grow", item.Seq, last)
		}
		last = item.Seq
		place[item.ID] = item.Seq
	}
	for _, list := range sent {
		for n := 1; n < len(list); n++ {
			if place[list[n]] <= place[list[n-1]] {
				w.Errorf("sequence = %d, want it after %d: it was sent after that answer", place[list[n]],
					place[list[n-1]])
			}
		}
	}
}

// cursorMissesNothing lets four agents write, one acknowledge at random from the front,
// and one read on with a cursor.
func cursorMissesNothing(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	done := make(chan struct{})
	var writers, others sync.WaitGroup
	sent := make([][]amtp.MessageID, 4)
	for i := range sent {
		writers.Go(func() {
			for range 60 {
				got, err := w.try(letter{from: alice, to: []person{bob}, text: "one of many"})
				if err != nil {
					w.Errorf("Accept = %v, want no error", err)
				}
				sent[i] = append(sent[i], got.ID)
			}
		})
	}
	var acked, seen map[amtp.MessageID]bool
	others.Go(func() { acked = w.ackAtRandom(bob, done) })
	others.Go(func() { seen = w.readOn(bob, done) })
	writers.Wait()
	close(done)
	others.Wait()
	for _, list := range sent {
		for _, id := range list {
			if !seen[id] && !acked[id] {
				w.Errorf("message %s was neither read nor acknowledged by another, want it read", id)
			}
		}
	}
}

// ackAtRandom acknowledges some messages at the front until done.
func (w *world) ackAtRandom(p person, done <-chan struct{}) map[amtp.MessageID]bool {
	acked := make(map[amtp.MessageID]bool)
	for {
		select {
		case <-done:
			return acked
		default:
		}
		page, err := w.store.Inbox(w.ctx, gateway.Acting{Agent: p.ID}, gateway.InboxFilter{Limit: 8, MaxBytes: 1 << 20})
		if err != nil {
			w.Errorf("Inbox = %v, want no error", err)
			return acked
		}
		for _, item := range page.Items {
			if rand.IntN(3) > 0 {
				continue
			}
			if _, err := w.store.Ack(w.ctx, gateway.Acting{Agent: p.ID}, item.ID, w.now()); err != nil {
				w.Errorf("Ack = %v, want no error; id %s", err, item.ID)
			}
			acked[item.ID] = true
		}
	}
}

// readOn reads with a cursor until done, and then to the end.
func (w *world) readOn(p person, done <-chan struct{}) map[amtp.MessageID]bool {
	seen := make(map[amtp.MessageID]bool)
	f := gateway.InboxFilter{Limit: 5, MaxBytes: 1 << 20}
	for last := false; ; {
		page, err := w.store.Inbox(w.ctx, gateway.Acting{Agent: p.ID}, f)
		if err != nil {
			w.Errorf("Inbox = %v, want no error", err)
			return seen
		}
		for _, item := range page.Items {
			if seen[item.ID] {
				w.Errorf("message %s was read twice, want once", item.ID)
			}
			seen[item.ID] = true
		}
		f.After = page.Next
		if last && !page.HasMore {
			return seen
		}
		select {
		case <-done:
			last = true
		default:
		}
	}
}

// cursorModel compares the inbox with a list, after any operations in any order.
func cursorModel(w *world) {
	round := 0
	t, ok := w.tester.(rapid.TB)
	if !ok {
		w.Fatalf("the world is not a test's")
	}
	rapid.Check(t, func(t *rapid.T) {
		round++
		inner := *w
		inner.tester = t
		m := &model{world: &inner}
		m.alice, m.bob = m.agent("alice"+strconv.Itoa(round)), m.agent("bob"+strconv.Itoa(round))
		t.Repeat(map[string]func(*rapid.T){
			"send": m.sendOne, "mark": m.markOne, "ack": m.ackOne, "page": m.pageOn, "": m.compare,
		})
	})
}

// model is the expected state of bob's inbox.
type model struct {
	*world
	alice, bob person
	box        []entry
	passed     int // how many entries the cursor has passed
	cursor     int64
}

type entry struct {
	id          amtp.MessageID
	read, acked bool
}

func (m *model) sendOne(*rapid.T) { m.box = append(m.box, entry{id: m.send(m.alice, m.bob)}) }

// pick draws one entry. At first there is none to draw.
func (m *model) pick(t *rapid.T) *entry {
	if len(m.box) == 0 {
		t.Skip("nothing was sent yet")
	}
	return &m.box[rapid.IntRange(0, len(m.box)-1).Draw(t, "entry")]
}

func (m *model) markOne(t *rapid.T) {
	e := m.pick(t)
	if e.acked {
		_, err := m.store.MarkRead(m.ctx, gateway.Acting{Agent: m.bob.ID}, e.id, m.now())
		m.fails("MarkRead after the ack", err, gateway.ErrNotFound)
		return
	}
	m.markRead(m.bob, e.id)
	e.read = true
}

func (m *model) ackOne(t *rapid.T) {
	e := m.pick(t)
	m.ack(m.bob, e.id)
	e.acked = true
}

// pageOn reads one page after the cursor.
func (m *model) pageOn(t *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	bytes := rapid.SampledFrom([]int{1, 500, 1 << 20}).Draw(t, "bytes")
	page := m.page(m.bob, gateway.InboxFilter{After: m.cursor, Limit: limit, MaxBytes: bytes})
	m.cursor = page.Next
	for _, item := range page.Items {
		for m.passed < len(m.box) && m.box[m.passed].acked {
			m.passed++
		}
		if m.passed == len(m.box) || m.box[m.passed].id != item.ID {
			m.Fatalf("page has %s, want the next of %v after %d", item.ID, m.box, m.passed)
		}
		m.passed++
	}
	if !page.HasMore {
		for _, e := range m.box[m.passed:] {
			same(m.world, "message "+string(e.id)+" behind the last page is acknowledged", e.acked, true)
		}
		m.passed = len(m.box)
	}
}

// compare reads the whole inbox.
func (m *model) compare(*rapid.T) {
	var all, unread []amtp.MessageID
	for _, e := range m.box {
		if !e.acked {
			all = append(all, e.id)
			if !e.read {
				unread = append(unread, e.id)
			}
		}
	}
	sameList(m.world, "inbox", m.inbox(m.bob), all)
	f := wholeInbox
	f.Unread = true
	sameList(m.world, "unread", m.pageIDs(m.bob, f), unread)
	m.depth(m.bob, 1000, len(unread), len(all))
}
