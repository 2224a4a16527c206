package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// channel is where replicas tell one another what rang. It is a hint: who does
// not hear it finds out by asking, within pollTime.
const channel = "amtp"

const (
	// noticeTime is how long notices are collected: each is a transaction of its
	// own, and those of all replicas are committed one after the other.
	noticeTime = 20 * time.Millisecond
	// noticeBytes is what one notice holds; the server takes less than 8000.
	noticeBytes = 7000
	// maxNotices bounds what one transaction sends; beyond it the others are told
	// to look at everything.
	maxNotices = 16
	// pollTime is how often a replica asks what the others have done.
	pollTime = time.Second
)

// noticeBoard collects what the other replicas are to be told.
type noticeBoard struct {
	mu        sync.Mutex
	entries   map[gateway.AgentID]int64 // the newest of each inbox
	work      map[gateway.Destination]bool
	directory bool
	some      chan struct{} // holds one token while there is something
	listening *pgx.ConnConfig
}

func newNoticeBoard(c *connecting) *noticeBoard {
	b := &noticeBoard{some: make(chan struct{}, 1)}
	if !c.pooled {
		b.listening = c.pool.ConnConfig.Copy()
		b.listening.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
		}
	}
	b.clear()
	return b
}

func (b *noticeBoard) clear() {
	b.entries, b.work, b.directory = make(map[gateway.AgentID]int64), make(map[gateway.Destination]bool), false
}

// add notes what rang here.
func (b *noticeBoard) add(entries []store.Entry, work []gateway.Destination) {
	if len(entries)+len(work) == 0 {
		return
	}
	b.mu.Lock()
	for _, e := range entries {
		b.entries[e.Agent] = max(b.entries[e.Agent], e.Seq)
	}
	for _, d := range work {
		b.work[d] = true
	}
	b.mu.Unlock()
	b.wake()
}

// changed notes that the directory has changed.
func (b *noticeBoard) changed() {
	b.mu.Lock()
	b.directory = true
	b.mu.Unlock()
	b.wake()
}

func (b *noticeBoard) wake() {
	select {
	case b.some <- struct{}{}:
	default:
	}
}

// take returns the notices, signed by who writes them, and clears the board.
func (b *noticeBoard) take(own uuid.UUID) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	words := make([]string, 0, len(b.entries)+len(b.work)+1)
	if b.directory {
		words = append(words, "directory")
	}
	for agent, seq := range b.entries {
		words = append(words, "i"+strconv.FormatInt(int64(agent), 10)+"/"+strconv.FormatInt(seq, 10))
	}
	for d := range b.work {
		words = append(words, "w"+string(d))
	}
	b.clear()
	var list []string
	var text strings.Builder
	for _, word := range words {
		if text.Len() == 0 || text.Len()+1+len(word) > noticeBytes {
			if text.Len() > 0 {
				list = append(list, text.String())
			}
			text.Reset()
			text.WriteString(own.String())
		}
		text.WriteString(" " + word)
	}
	if text.Len() > 0 {
		list = append(list, text.String())
	}
	if len(list) > maxNotices {
		return []string{own.String() + " directory all"}
	}
	return list
}

// notify tells the other replicas what rang, until the store is closed.
func (s *Store) notify() {
	for {
		select {
		case <-s.notices.some:
		case <-s.life.Done():
			return
		}
		if list := s.notices.take(s.own); len(list) > 0 {
			ctx, cancel := context.WithTimeout(s.life, readTime)
			// What is not told is found by asking.
			_ = s.borrow(ctx, func(c conn) error {
				_, err := c.change(ctx, `SELECT pg_notify($1, u.text) FROM unnest($2::text[]) u (text)`, channel, list)
				return err
			})
			cancel()
		}
		if !s.pausedFor(noticeTime) {
			return
		}
	}
}

// pausedFor waits, and is false when the store is closed meanwhile.
func (s *Store) pausedFor(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.life.Done():
		return false
	}
}

// keepUp asks every second what the other replicas have done: to the directory,
// to the inboxes that somebody waits at, and to the pause. It compares the clocks
// on the way.
func (s *Store) keepUp() {
	for s.pausedFor(pollTime) {
		ctx, cancel := context.WithTimeout(s.life, readTime)
		err := s.borrow(ctx, func(c conn) error { return s.sameServer(ctx, c.Conn) })
		if err == nil {
			err = s.catchUp(ctx)
		}
		if err == nil {
			err = s.loadPause(ctx)
		}
		if err == nil && s.shows == nil {
			err = s.measureClock(ctx)
		}
		if err == nil {
			s.askBoxes(ctx)
			if !s.heard.Load() {
				s.askWork(ctx)
			}
		}
		cancel()
	}
}

// missed looks for what was not heard.
func (s *Store) missed(ctx context.Context) {
	s.askBoxes(ctx)
	s.bells.RingAll()
}

// askBoxes rings for the newest message of every inbox that somebody waits at.
func (s *Store) askBoxes(ctx context.Context) {
	watched := s.bells.Watched()
	if len(watched) == 0 {
		return
	}
	var entries []store.Entry
	var agent, seq int64
	// The next poll asks again.
	_ = s.borrow(ctx, func(c conn) error {
		return c.query(ctx, `SELECT u.agent, d.seq FROM unnest($1::bigint[]) u (agent) CROSS JOIN LATERAL
				(SELECT seq FROM delivery WHERE agent = u.agent AND agent <> 0 AND NOT pushed AND state = 5 ORDER BY agent, pushed, state, seq DESC LIMIT 1) d`,
			[]any{column(watched, func(id *gateway.AgentID) int64 { return int64(*id) })}, []any{&agent, &seq},
			func() error {
				entries = append(entries, store.Entry{Agent: gateway.AgentID(agent), Seq: seq})
				return nil
			})
	})
	s.bells.Ring(entries)
}

// askWork has all destinations looked at when there are jobs that were not there
// the last time.
func (s *Store) askWork(ctx context.Context) {
	var newest int64
	err := s.borrow(ctx, func(c conn) (err error) {
		newest, err = c.number(ctx, `SELECT coalesce(max(id), 0) FROM job`)
		return err
	})
	if err == nil && newest > s.newestJob {
		s.newestJob = newest
		s.bells.RingAll()
	}
}
