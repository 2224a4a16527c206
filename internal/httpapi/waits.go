package httpapi

import (
	"net/http"
	"time"
)

// waits does the rest of a call, which waits. Over HTTP/1.1 this happens on another
// goroutine, without what net/http holds for the connection: see package held. Then waits
// returns at once. So the caller of waits returns as well, and rest uses only the call that
// it gets: the first one would keep what net/http holds.
func (c *call) waits(rest func(*call)) {
	if c.whole || c.r.Body == http.NoBody { // else the rest of the body would be the next request
		later := *c
		c.left = c.s.Held.Take(c.w, c.r, func(w http.ResponseWriter, r *http.Request) {
			later.w, later.r = w, r
			defer later.end()
			rest(&later)
		})
	}
	if !c.left {
		rest(c)
	}
}

// patient extends the deadlines of the connection beyond those of an ordinary request.
// Otherwise the server's limit on reading would end the wait.
func (c *call) patient(wait time.Duration) {
	until := time.Now().Add(wait + 30*time.Second)
	control := http.NewResponseController(c.w)
	// If the deadlines cannot be moved, the wait ends early, which is allowed.
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until)
}
