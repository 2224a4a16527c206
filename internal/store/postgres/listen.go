package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A connection that listens is silent while nothing happens. It is also silent when its
// server, or the network path to it, is gone without notice. It is therefore tested
// after quietTime, and has to answer within answerTime. So a dead connection is noticed
// in less than five seconds.
const (
	quietTime  = 2 * time.Second
	answerTime = 2 * time.Second
)

// listen receives the notices of the other replicas on its own connection, until the
// store is closed. Behind a proxy that pools transactions it does nothing.
func (s *Store) listen() {
	for again := false; s.notices.listening != nil; again = true {
		if err := s.hear(again); s.life.Err() == nil && err != nil {
			s.log.Debug("notices of other replicas are not heard", "cause", err)
		}
		s.heard.Store(false)
		if !s.pausedFor(pollTime) {
			return
		}
	}
}

func (s *Store) hear(again bool) error {
	c, err := pgx.ConnectConfig(s.life, s.notices.listening)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx) // the connection is not used again, even after an error
	}()
	if err := s.answers(c, "LISTEN "+channel); err != nil {
		return err
	}
	s.heard.Store(true)
	if again {
		s.missed(s.life)
	}
	for {
		n, err := s.nextNotice(c)
		if err != nil {
			return err
		}
		s.told(n.Payload)
	}
}

// nextNotice waits for a notice, and tests the connection during the wait.
func (s *Store) nextNotice(c *pgx.Conn) (*pgconn.Notification, error) {
	for {
		quiet, cancel := context.WithTimeout(s.life, quietTime)
		n, err := c.WaitForNotification(quiet)
		over := quiet.Err() != nil && s.life.Err() == nil
		cancel()
		switch {
		case n != nil:
			return n, nil
		case err != nil && !over:
			return nil, err
		}
		if err := s.answers(c, "SELECT 1"); err != nil {
			return nil, fmt.Errorf("the connection is silent: %w", err)
		}
	}
}

// answers runs a statement that the server has to answer within answerTime.
func (s *Store) answers(c *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(s.life, answerTime)
	defer cancel()
	_, err := c.Exec(ctx, sql)
	return err
}

// told applies a notice of another replica.
func (s *Store) told(notice string) {
	words := strings.Fields(notice)
	if len(words) == 0 || words[0] == s.own.String() {
		return
	}
	var entries []store.Entry
	var work []gateway.Destination
	for _, word := range words[1:] {
		switch {
		case word == "directory":
			_ = s.catchUp(s.life) // after an error, the poll asks again
		case word == "all":
			s.missed(s.life)
		case word[0] == 'w':
			work = append(work, gateway.Destination(word[1:]))
		case word[0] == 'i':
			agent, seq, _ := strings.Cut(word[1:], "/")
			id, err := strconv.ParseInt(agent, 10, 64)
			number, err2 := strconv.ParseInt(seq, 10, 64)
			if err == nil && err2 == nil {
				entries = append(entries, store.Entry{Agent: gateway.AgentID(id), Seq: number})
			}
		}
	}
	s.bells.Ring(entries)
	s.bells.RingWork(work)
}
