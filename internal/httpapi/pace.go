package httpapi

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Timeouts are how long the listener waits for bytes that do not come. A transfer that
// moves has more time: a second for every gateway.LeastRate bytes. Zero values leave the
// times to the listener.
type Timeouts struct {
	Read  time.Duration // for a request
	Write time.Duration // for an answer
}

// stepTime is the least time between two moves of a deadline.
const stepTime = time.Second

// pace moves the deadline of a body while its bytes come or go. A body may take as long
// as it likes at gateway.LeastRate or faster, while no other call needs its room. A call
// that needs room ends the slowest body (makeWay).
type pace struct {
	call  *call
	most  time.Duration // for a body that does not move
	ends  func(at time.Time)
	began time.Time
	moved time.Time // when the deadline was moved last

	mu    sync.Mutex
	bytes int64
	slow  bool // the body has taken longer than most
	over  bool // the deadline is not moved any more
}

// reading returns the pace of the request's body, nil if Timeouts.Read is zero.
func (c *call) reading() *pace {
	t := c.s.Timeouts
	if t.Read <= 0 {
		return nil
	}
	control := http.NewResponseController(c.w)
	return newPace(c, t.Read, func(at time.Time) {
		_ = control.SetReadDeadline(at) // if it cannot be moved, the listener's time applies
		_ = control.SetWriteDeadline(at.Add(t.Write))
	})
}

// writing returns the pace of the answer's body, nil if Timeouts.Write is zero.
func (c *call) writing() *pace {
	t := c.s.Timeouts
	if t.Write <= 0 {
		return nil
	}
	control := http.NewResponseController(c.w)
	return newPace(c, t.Write, func(at time.Time) { _ = control.SetWriteDeadline(at) })
}

func newPace(c *call, most time.Duration, ends func(time.Time)) *pace {
	now := time.Now()
	return &pace{call: c, most: most, ends: ends, began: now, moved: now}
}

// reaches notes the number of bytes that have come or gone so far, with more to follow.
func (p *pace) reaches(bytes int) {
	if p == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.moved) < stepTime {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved, p.bytes = now, int64(bytes)
	if p.over {
		return
	}
	end := p.began.Add(p.most + time.Duration(float64(p.bytes)/gateway.LeastRate*float64(time.Second)))
	if still := now.Add(p.most); still.Before(end) {
		end = still
	}
	p.ends(end)
	if !p.slow && now.Sub(p.began) > p.most {
		p.slow = true
		p.call.s.room.slowly(p)
	}
}

// done ends the pace. If the deadline was moved, the answer has the whole Timeouts.Write
// from now on.
func (p *pace) done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow {
		p.call.s.room.quickly(p)
	}
	if p.over = true; p.moved != p.began {
		_ = http.NewResponseController(p.call.w).SetWriteDeadline(time.Now().Add(p.call.s.Timeouts.Write))
	}
}

// end cuts the body off now, because its room is needed.
func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		p.ends(time.Now())
	}
}

// rate returns the number of bytes that come or go in a second.
func (p *pace) rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.bytes) / max(time.Since(p.began).Seconds(), 1)
}

// slowly notes a body that is slow.
func (r *inflight) slowly(p *pace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow == nil {
		r.slow = make(map[*pace]bool)
	}
	r.slow[p] = true
}

func (r *inflight) quickly(p *pace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.slow, p)
}

// makeWay ends the slowest body whose room the call could use for that number of bytes.
// If a stranger's address has reached its own limit, only a body of that address ends.
func (r *inflight) makeWay(c *call, bytes int64) {
	var list []*pace
	strangers, from := c.s.roomFor().strangers, access.NetworkOf(c.from)
	r.mu.Lock()
	alone := c.stranger() && r.strangers+bytes <= strangers // the strangers' share has room, the address has none
	for p := range r.slow {
		if p.call.stranger() == c.stranger() && (!alone || access.NetworkOf(p.call.from) == from) {
			list = append(list, p)
		}
	}
	r.mu.Unlock()
	var slowest *pace
	for _, p := range list {
		if slowest == nil || p.rate() < slowest.rate() {
			slowest = p
		}
	}
	if slowest != nil {
		slowest.end()
	}
}

// cut refuses a body that did not arrive whole. If its time was over, the message is not
// at fault, and sending it again may succeed. If the client ended the body itself, or
// sent an invalid HTTP body, the error says that the form is wrong.
func (c *call) cut(code amtp.Code, err error) error {
	var slow net.Error
	if c.late = errors.As(err, &slow) && slow.Timeout(); c.late {
		code = amtp.CodeTemporaryFailure
	}
	c.w.Header().Set("Connection", "close")
	return amtp.Errorf(code, "The request body did not arrive whole; send it again.")
}

// writeAll writes the body of an answer, a large one in pieces.
func (c *call) writeAll(body []byte) {
	if len(body) <= firstPiece {
		_, _ = c.w.Write(body) // a client that went away misses the answer, which stays true
		return
	}
	p := c.writing()
	defer p.done()
	for done := 0; done < len(body); {
		n, err := c.w.Write(body[done:min(done+firstPiece, len(body))])
		if err != nil {
			return
		}
		done += n
		p.reaches(done)
	}
}
