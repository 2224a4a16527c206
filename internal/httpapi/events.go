package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Times of a stream of events. They are longer than a round trip, and shorter than the
// time after which a proxy closes an idle connection, which usually is a minute.
const (
	beatTime    = 15 * time.Second // between two signs of life
	recheckTime = 5 * time.Second  // between two looks at the key
	retryTime   = 2 * time.Second  // a client is told to wait this long before it connects again
	eventTime   = 30 * time.Second // for a client to take one event, when Timeouts.Write is zero
)

// Bounds of the messages that a stream holds while a client takes them.
const (
	eventsPage  = 50
	eventsBytes = 256 << 10 // unless a single message is larger
)

// fromNow is the place in an inbox behind everything that waits in it.
const fromNow = "now"

// events sends the messages of an inbox as they enter it: server-sent events, whose ids
// are cursors of the inbox. The stream ends when the gateway stops, and when the caller's
// key has ended.
func (s *Server) events(c *call) {
	p := c.params()
	headers := p.fields("headers") == "headers"
	filter := s.inboxFilter(p)
	filter.Limit, filter.MaxBytes = eventsPage, eventsBytes
	now := false
	switch last := c.r.Header.Get("Last-Event-ID"); {
	case last != "":
		filter.After = p.place(ofInbox, "Last-Event-ID", last)
	case p.text("after") == fromNow:
		now = true
	default:
		filter.After = p.cursor(ofInbox)
	}
	if p.text("fields") == "count" {
		p.fail(amtp.CodeInvalidParameter, "fields must be one of: full, headers")
	}
	box, err := s.Agents.Mailbox(c.r.Context(), c.principal, c.r.PathValue("recipient"))
	if p.err != nil {
		err = p.err
	}
	if err == nil && now {
		filter.After, err = s.Store.Newest(c.r.Context(), box.Acting)
	}
	if err != nil {
		c.fail(err)
		return
	}
	reading := s.Agents.Read(box, filter)
	c.waits(func(c *call) {
		defer reading.Close()
		newStream(c, headers).run(reading)
	})
}

// stream is an answer that goes on until its client leaves. Between two events it holds no
// buffer.
type stream struct {
	c       *call
	control *http.ResponseController
	headers bool // events have no payload
	most    time.Duration
	beaten  time.Time // when the client last got a sign of life
	checked time.Time // when the key was last looked at
}

func newStream(c *call, headers bool) *stream {
	t := &stream{c: c, control: http.NewResponseController(c.w), headers: headers, most: c.s.Timeouts.Write}
	if t.most <= 0 {
		t.most = eventTime
	}
	t.checked = time.Now()
	return t
}

// run sends what the reading finds until the client leaves, the gateway stops, or an
// error ends the stream.
func (t *stream) run(r *agent.Reading) {
	alive := false
	defect.Aside(func() { alive = t.begin(r.After()) })
	for alive {
		alive = t.step(r)
	}
}

// begin sends the header and the place where the stream begins. It reports whether the
// stream goes on.
func (t *stream) begin(after int64) bool {
	c := t.c
	// The client sends nothing more. Without a deadline, the connection ends when a sign
	// of life cannot be written.
	_ = t.control.SetReadDeadline(time.Time{})
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy of this kind would hold the events back
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	hint, _ := json.Marshal(retryTime.Milliseconds()) // a number cannot fail
	return t.write([]byte("retry: " + string(hint) + "\nid: " + ofInbox.text(after) + "\n\n"))
}

// step waits for what the stream sends next, and sends it. It reports whether the stream
// goes on.
func (t *stream) step(r *agent.Reading) (alive bool) {
	page, err := r.Next(t.c.r.Context(), recheckTime)
	defect.Aside(func() { alive = t.tell(&page, err, r.After()) })
	return alive
}

// tell sends what a reading found. It reports whether the stream goes on.
func (t *stream) tell(page *gateway.InboxPage, err error, after int64) bool {
	c := t.c
	if err == nil && time.Since(t.checked) >= recheckTime {
		t.checked = time.Now()
		err = c.recheck()
	}
	switch {
	case c.r.Context().Err() != nil || c.s.Agents.Stops():
		return false
	case err != nil:
		t.fail(err)
		return false
	case len(page.Items) > 0:
		return t.send(page)
	case time.Since(t.beaten) >= beatTime:
		// With the place that was reached, a client that comes back skips what did not match.
		return t.write([]byte(": still here\nid: " + ofInbox.text(after) + "\n\n"))
	}
	return true
}

// send sends the messages of a page. It reports whether the stream goes on.
func (t *stream) send(page *gateway.InboxPage) bool {
	size := int64(0)
	for i := range page.Items {
		size += int64(len(page.Items[i].Body))
	}
	if size > firstPiece && !t.c.makeRoom(size) {
		t.fail(amtp.Errorf(amtp.CodeTemporaryFailure, "The gateway is working on as many bytes as it may. Try again."))
		return false
	}
	defer t.c.leaveRoom()
	for i := range page.Items {
		item := &page.Items[i]
		head := "event: message\nid: " + ofInbox.text(item.Seq) + "\ndata: "
		b, err := appendItem([]byte(head), item, t.headers)
		if err != nil {
			t.fail(err)
			return false
		}
		oneLine(b[len(head):])
		if !t.write(append(b, "\n\n"...)) {
			return false
		}
	}
	return true
}

// oneLine makes one line of a JSON document. Its strings have no line breaks, so that a
// line break is white space between two values.
func oneLine(doc []byte) {
	for i, c := range doc {
		if c == '\n' || c == '\r' {
			doc[i] = ' '
		}
	}
}

// fail tells the client why the stream ends.
func (t *stream) fail(err error) {
	_, answer := t.c.refuses(err)
	b, err := json.Marshal(answer)
	if err != nil {
		return // cannot happen; the client connects again and gets the error then
	}
	t.write([]byte("event: error\ndata: " + string(b) + "\n\n"))
}

// write sends bytes at once. It reports false when the client does not take them in time.
func (t *stream) write(b []byte) bool {
	_ = t.control.SetWriteDeadline(time.Now().Add(t.most))
	_, err := t.c.w.Write(b)
	if err == nil {
		err = t.control.Flush()
	}
	// In HTTP/2 a deadline that passes between two events would end the stream.
	_ = t.control.SetWriteDeadline(time.Time{})
	t.beaten = time.Now()
	return err == nil
}
