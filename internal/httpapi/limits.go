package httpapi

import (
	"net/http"
	"sync"
	"time"
)

// strangersPage is how many agents a caller without a key sees on one page.
const strangersPage = 100

// asks counts a request of a caller without a key that is no message. It is false
// when the network of the caller has asked too much, and then that is answered.
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

// showLimits shows what may be used of the gateway in a time, and what is.
func (s *Server) showLimits(c *call) {
	report := s.Limits.View()
	if s.Connections != nil {
		open := s.Connections.Count()
		report.Connections = &open
	}
	c.reply(http.StatusOK, report)
}

// sampledLines is how many lines in a second strangers cause in the log.
const sampledLines = 10

// sampler lets so many lines into the log that strangers cause: it must not be they
// who fill the disk. The zero value is ready.
type sampler struct {
	mu    sync.Mutex
	began time.Time // of the second in which lines are counted
	lines int
	left  int // lines that were left out since the last that was not
}

// may reports whether a line is written at now, and how many were left out before it.
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
