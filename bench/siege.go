package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The parts of a siege.
const (
	slowConnections = 5_000  // open at once, one byte a second each
	wrongLogins     = 10_000 // guessed keys in all
	loginsPerSecond = 1_000
	bombsPerSecond  = 1
)

// A siege is all attacks on a gateway at once: connections that crawl, keys that are
// guessed, and documents that cost a careless reader much.
type siege struct {
	addr   string
	key    string // of the agent that sends bombs
	cancel context.CancelFunc
	group  sync.WaitGroup

	slow   atomic.Int64 // connections open now
	logins atomic.Int64
	bombs  atomic.Int64
	wrong  atomic.Pointer[error] // an answer that no input may cause
}

// besiege begins a siege, and returns when all slow connections are open.
func besiege(ctx context.Context, g *gateway) (*siege, error) {
	if err := mayOpen(slowConnections + 1000); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &siege{addr: g.addr, key: g.sender.Key, cancel: cancel}
	const crews = 10
	for range crews {
		s.group.Go(func() { s.crawl(ctx, slowConnections/crews) })
	}
	for s.slow.Load() < slowConnections*9/10 && pause(ctx, 10*time.Millisecond) {
	}
	s.group.Go(func() { s.repeat(ctx, loginsPerSecond, wrongLogins, s.guess) })
	s.group.Go(func() { s.repeat(ctx, bombsPerSecond, wrongLogins, s.explode) })
	return s, ctx.Err()
}

// end ends the siege and returns an error for an answer or a failure that must not
// happen.
func (s *siege) end() error {
	s.cancel()
	s.group.Wait()
	if err := s.wrong.Load(); err != nil {
		return *err
	}
	return nil
}

// pause waits, and reports whether the siege goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// crawl keeps connections open that send their header one byte a second. It opens
// another for each that the gateway closes.
func (s *siege) crawl(ctx context.Context, width int) {
	const header = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: 0123456789"
	conns, at := make([]net.Conn, width), make([]int, width)
	leave := func(i int) {
		if conns[i] != nil {
			conns[i].Close()
			conns[i] = nil
			s.slow.Add(-1)
		}
	}
	for next := time.Second; ctx.Err() == nil; pause(ctx, next) {
		for i := range conns {
			if conns[i] == nil {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					continue
				}
				conns[i], at[i] = conn, 0
				s.slow.Add(1)
			}
			if _, err := io.WriteString(conns[i], header[at[i]:at[i]+1]); err != nil {
				leave(i)
				continue
			}
			at[i] = min(at[i]+1, len(header)-1)
		}
	}
	for i := range conns {
		leave(i)
	}
}

// repeat makes one request after another, at most that many a second and at most that
// many in all.
func (s *siege) repeat(ctx context.Context, perSecond, most int, request func(i int) []byte) {
	var c *conn
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; i < most; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c == nil {
			var err error
			if c, err = dial(s.addr); err != nil {
				continue
			}
		}
		a, err := c.do(request(i))
		if err == nil && a.status/100 != 4 {
			err := fmt.Errorf("abuse was answered %d: %.300s", a.status, a.body)
			s.wrong.CompareAndSwap(nil, &err)
		}
		if err != nil || a.closes { // a bomb that is too large is not read to its end
			c.net.Close()
			c = nil
		}
	}
}

// guess returns a request with a wrong key.
func (s *siege) guess(i int) []byte {
	s.logins.Add(1)
	return fmt.Appendf(nil, "GET /v1/whoami HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer amtp_%d\r\n\r\n", s.addr, i)
}

// explode returns a request with the next bomb.
func (s *siege) explode(i int) []byte {
	s.bombs.Add(1)
	all := bombs()
	bomb := all[i%len(all)]
	return fmt.Appendf(nil, "POST /v1/messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.addr, s.key, len(bomb), bomb)
}

// bombs are documents below the gateway's limit of 10 MiB.
var bombs = sync.OnceValue(func() []string {
	var members strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&members, `"%x":0,`, i)
	}
	return []string{
		strings.Repeat("[", 10_000_000),
		strings.Repeat(`{"a":`, 2_000_000),
		`{"payload":{` + members.String() + `"x":0}}`,
		`{"payload":[` + strings.Repeat("0,", 4_000_000) + `0]}`,
		`{"payload":` + strings.Repeat("9", 10_000_000) + `}`,
		`{"payload":[` + strings.Repeat("1e400,", 1_500_000) + `0]}`,
		`{"payload":"` + strings.Repeat(`\u0061`, 1_600_000),
		`{"` + strings.Repeat("n", 10_000_000) + `":`,
		`{"recipients":[` + strings.Repeat(`"bob@localhost",`, 500_000) + `"bob@localhost"]}`,
	}
})
