package httpapi

import (
	"net/http"
	"sync"
	"time"
)

// strangersPage is the number of agents on one page for a caller without a key.
const strangersPage = 100

// asks counts a request that is not a message and comes from a caller without a key. It
// is false if the caller's network made too many requests; then it has sent the refusal.
func (c *call) asks() bool {
	if !c.stranger() {
		return true
	}
	if refused := c.s.Limits.Asks(c.addr); refused != nil {
		c.fail(refused)
		return false
	}
	c.asked = true
	return true
}

// showLimits shows the limits on the use of the gateway, and the present use.
func (s *Server) showLimits(c *call) {
	report := s.Limits.View()
	if s.Connections != nil {
		open := s.Connections.Count()
		report.Connections = &open
	}
	c.reply(http.StatusOK, report)
}

// sampledLines is the number of lines a second that strangers can cause in the log.
const sampledLines = 10

// sampler limits log lines to sampledLines a second, so that strangers cannot fill the
// disk with the log. The zero value is ready.
type sampler struct {
	mu    sync.Mutex
	began time.Time // of the second in which lines are counted
	lines int
	left  int // lines left out since the last line that was written
}

// may reports whether a line may be written at now, and the number left out before it.
func (s *sampler) may(now time.Time) (ok bool, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.began).Abs() >= time.Second {
		s.began, s.lines = now, 0
	}
	if s.lines >= sampledLines {
		s.left++
		return false, 0
	}
	s.lines++
	left, s.left = s.left, 0
	return true, left
}
