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

// channel is the channel on which replicas notify each other. A notice is a hint: a
// replica that misses it finds the change by polling, within pollTime.
const channel = "amtp"

const (
	// noticeTime is how long notices are collected. Each send is a transaction, and the
	// server commits such transactions of all replicas one after another.
	noticeTime = 20 * time.Millisecond
	// noticeBytes is the most that one notice holds; the server accepts less than 8000.
	noticeBytes = 7000
	// maxNotices is the most notices that one transaction sends. Beyond it, the other
	// replicas are told to look at everything.
	maxNotices = 16
	// pollTime is how often a replica polls for changes by the others.
	pollTime = time.Second
)

// noticeBoard collects notices for the other replicas.
type noticeBoard struct {
	mu        sync.Mutex
	entries   map[gateway.AgentID]int64 // the newest entry of each inbox
	returned  map[gateway.AgentID]bool  // inboxes to which an entry returned
	work      map[gateway.Destination]bool
	directory bool
	some      chan struct{} // holds one token while there are notices
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
	b.entries, b.returned = make(map[gateway.AgentID]int64), make(map[gateway.AgentID]bool)
	b.work, b.directory = make(map[gateway.Destination]bool), false
}

// add notes entries and destinations whose bells rang here.
func (b *noticeBoard) add(entries []store.Entry, work []gateway.Destination) {
	if len(entries)+len(work) == 0 {
		return
	}
	b.mu.Lock()
	for _, e := range entries {
		if e.Seq == 0 {
			b.returned[e.Agent] = true
			continue
		}
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

// take returns the notices, each beginning with the id of this process, and clears the
// board.
func (b *noticeBoard) take(own uuid.UUID) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	words := make([]string, 0, len(b.entries)+len(b.returned)+len(b.work)+1)
	if b.directory {
		words = append(words, "directory")
	}
	for agent, seq := range b.entries {
		words = append(words, entryWord(agent, seq))
	}
	for agent := range b.returned {
		words = append(words, entryWord(agent, 0))
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

// entryWord is the word for an entry of an inbox.
func entryWord(agent gateway.AgentID, seq int64) string {
	return "i" + strconv.FormatInt(int64(agent), 10) + "/" + strconv.FormatInt(seq, 10)
}

// notify sends the collected notices to the other replicas, until the store is closed.
func (s *Store) notify() {
	for {
		select {
		case <-s.notices.some:
		case <-s.life.Done():
			return
		}
		if list := s.notices.take(s.own); len(list) > 0 {
			ctx, cancel := context.WithTimeout(s.life, readTime)
			// The other replicas find by polling what is not sent.
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

// pausedFor waits. It is false when the store is closed during the wait.
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

// keepUp polls every pollTime for changes by other replicas: to the directory, to the
// watched inboxes, and to the pause. It also measures the database's clock.
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

// missed looks for changes whose notices were not received.
func (s *Store) missed(ctx context.Context) {
	s.askBoxes(ctx)
	s.bells.RingAll()
}

// The newest entry of each inbox, and the inboxes to which an entry returned between two
// times.
const (
	newestEntries = `SELECT u.agent, d.seq FROM unnest($1::bigint[]) u (agent) CROSS JOIN LATERAL
		(SELECT seq FROM delivery WHERE agent = u.agent AND agent <> 0 AND NOT pushed AND state = 5 ORDER BY agent, pushed, state, seq DESC LIMIT 1) d`
	returnedEntries = `SELECT u.agent, 0::bigint FROM unnest($1::bigint[]) u (agent) WHERE EXISTS (SELECT FROM delivery
		WHERE (agent, coalesce(hidden, read)) > (u.agent, $2::bigint) AND (agent, coalesce(hidden, read)) <= (u.agent, $3::bigint)
			AND agent <> 0 AND NOT pushed AND state = 5 AND read IS NOT NULL AND hidden IS NOT NULL)`
)

// returnSlack is by how much two polls for returned entries overlap: one may be stored
// later than the time at which it returns.
const returnSlack = 2 * time.Second

// askBoxes rings for the newest entry of every watched inbox, and for entries that
// returned since the last call.
func (s *Store) askBoxes(ctx context.Context) {
	watched := s.bells.Watched()
	now := s.Now()
	since := s.askedBoxes.Swap(store.Micros(now))
	if len(watched) == 0 {
		return
	}
	ids := column(watched, func(id *gateway.AgentID) int64 { return int64(*id) })
	var entries []store.Entry
	var agent, seq int64
	into, add := []any{&agent, &seq}, func() error {
		entries = append(entries, store.Entry{Agent: gateway.AgentID(agent), Seq: seq})
		return nil
	}
	// After an error, the next poll asks again.
	_ = s.borrow(ctx, func(c conn) error {
		err := c.query(ctx, newestEntries, []any{ids}, into, add)
		if err == nil {
			err = c.query(ctx, returnedEntries, []any{ids, since - returnSlack.Microseconds(),
				store.Micros(now)}, into, add)
		}
		return err
	})
	s.bells.Ring(entries)
}

// askWork makes the queue look at all destinations, if there are new jobs since the
// last call.
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
