package amtp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/calls"
)

// Times of waiting for messages.
const (
	holdTime    = 30 * time.Second // for which a gateway holds one request
	askAgain    = time.Second      // between two requests that a gateway did not hold
	firstReturn = time.Second      // before the first try to open a stream again; doubled for each further one
	lastReturn  = 30 * time.Second // the longest of these pauses
	silence     = time.Minute      // after which a stream is dead: a gateway gives a sign of life every 15 seconds
)

// Fields of [InboxQuery].
const (
	FieldsFull    = "full"
	FieldsHeaders = "headers"

	// SortPriority is the InboxQuery.Sort by which the most urgent messages come first. A
	// page is sorted among the first 4,000 messages, and no page follows it.
	SortPriority = "priority"
)

// InboxCount counts the messages in the inbox of address.
func (c *Client) InboxCount(ctx context.Context, address Address) (InboxCount, error) {
	v := make(calls.Query)
	v.Text("fields", "count")
	var out InboxCount
	_, err := c.do(ctx, get(path("inbox", address.String())).with(v), &out)
	return out, err
}

// Await returns the first messages that meet the conditions of q: those that are in the
// inbox, or the first that enter it within q.Wait, however long that is. The page is empty
// if none does. It goes on while the gateway is started anew. A refusal such as that of a
// wrong key ends it.
//
// away is called with the error of each request that the gateway did not answer, and with
// whether it has answered an earlier one; false ends the wait with this error. nil goes on.
// If the gateway is still away at the end, the error says so.
func (c *Client) Await(ctx context.Context, address Address, q InboxQuery,
	away func(err error, answered bool) bool) (InboxPage, error) {
	until := time.Now().Add(q.Wait)
	answered := false
	for {
		asked := time.Now()
		// In whole seconds, rounded up.
		q.Wait = min((max(until.Sub(asked), 0) + time.Second - 1).Truncate(time.Second), holdTime)
		page, err := c.Inbox(ctx, address, q)
		over := !time.Now().Before(until)
		answered = answered || err == nil
		switch {
		case err != nil && (!isAway(err) || over || away != nil && !away(err, answered)):
			return page, err
		case err != nil:
			asked = time.Now()
		case len(page.Messages) > 0:
			return page, nil
		// what is read later may be behind the cursor
		case page.NextCursor != "" && q.Status != "read" && q.Offset == 0:
			q.After = page.NextCursor
		}
		if err == nil && page.HasMore {
			if q.After == "" {
				return page, nil
			}
			continue
		}
		if err == nil && over {
			return page, nil
		}
		// If a gateway does not hold the request, the next one follows after a pause.
		if err := rest(ctx, min(time.Until(asked.Add(askAgain)), time.Until(until))); err != nil {
			return page, err
		}
	}
}

// isAway reports whether a gateway did not answer, or said that it may do so later: it may be
// starting anew.
func isAway(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var lost *ConnectError
	var refused *Error
	return errors.As(err, &lost) || errors.As(err, &refused) && mayPass(refused.Status)
}

// rest waits. It returns an error if the context ends before.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// EventQuery chooses the messages of a stream of events. Zero members do not restrict.
type EventQuery struct {
	After     string    // Cursor of an earlier event, or NextCursor of a page of the inbox
	New       bool      // only messages that enter the inbox from now on; not with After
	InReplyTo MessageID // only the answers to this message
	From      Address
	Thread    MessageID
	Since     time.Time
	Status    string // unread or read
	Full      bool   // with Payload
	// Away is called with the error of each try to open the stream to which the gateway
	// did not answer; false ends the stream with this error. nil goes on.
	Away func(error) bool
}

// InboxEvent is a message that is in an inbox, or has entered it.
type InboxEvent struct {
	Cursor  string // the place of the message in the inbox
	Message InboxMessage
}

// Events returns the messages in the inbox of address and then those that enter it, in
// order, each once. It opens the stream again whenever that is lost, and continues behind
// the last message. It ends with an error: that of a refusal, such as that of a key which
// was revoked, or that of ctx.
func (c *Client) Events(ctx context.Context, address Address, q EventQuery) iter.Seq2[InboxEvent, error] {
	return func(yield func(InboxEvent, error) bool) {
		place := "" // of the last event
		for pause := firstReturn; ; pause = min(2*pause, lastReturn) {
			s := stream{yield: yield, place: place, pause: pause}
			err := s.read(ctx, c, address, &q)
			place, pause = s.place, s.pause
			switch {
			case s.left:
				return
			case ctx.Err() != nil:
				yield(InboxEvent{}, ctx.Err())
				return
			case !isAway(err) || !s.opened && q.Away != nil && !q.Away(err):
				yield(InboxEvent{}, err)
				return
			}
			if err := rest(ctx, pause); err != nil {
				yield(InboxEvent{}, err)
				return
			}
		}
	}
}

// stream is one connection of Events.
type stream struct {
	yield  func(InboxEvent, error) bool
	place  string        // the id of the last event
	pause  time.Duration // before the next connection
	opened bool
	left   bool // the caller wants no more events
}

// read opens the stream and yields its events until it ends.
func (s *stream) read(ctx context.Context, c *Client, address Address, q *EventQuery) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	resp, err := c.open(ctx, address, q, s.place)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	s.opened, s.pause = true, firstReturn
	dead := time.AfterFunc(silence, func() { end(errors.New("the gateway gave no sign of life for a minute")) })
	defer dead.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxAnswer)
	var kind, data string
	place := s.place // of the event whose lines come: it counts when all of them are there
	for lines.Scan() {
		dead.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "id":
			place = value
		case "data":
			data += value
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil && ms >= 0 {
				s.pause = min(time.Duration(ms)*time.Millisecond, lastReturn)
			}
		case "":
			if lines.Text() != "" {
				continue // a comment
			}
			s.place = place
			if err := s.event(kind, data); err != nil || s.left {
				return err
			}
			kind, data = "", ""
		}
	}
	if lines.Err() == nil {
		return &ConnectError{c.URL, errors.New("the stream of events ended")}
	}
	err = lines.Err()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &ConnectError{c.URL, fmt.Errorf("the stream of events broke off: %w", err)}
}

// event yields a message. An error that the gateway sends is the error of the next request
// too, which has its status.
func (s *stream) event(kind, data string) error {
	if kind != "message" {
		return nil
	}
	e := InboxEvent{Cursor: s.place}
	if err := decode([]byte(data), &e.Message); err != nil {
		return &Error{Code: CodeUnknown, Message: "The gateway sent an event that is no message."}
	}
	e.Message.Raw = json.RawMessage(data)
	s.left = !s.yield(e, nil)
	return nil
}

// open makes the request for a stream behind a place, "" for where the query begins.
func (c *Client) open(ctx context.Context, address Address, q *EventQuery, place string) (*http.Response, error) {
	v := make(calls.Query)
	v.Text("after", q.After)
	if q.New {
		v.Text("after", "now")
	}
	v.Text("in_reply_to", string(q.InReplyTo))
	v.Text("from", q.From.String())
	v.Text("thread", string(q.Thread))
	v.Time("since", q.Since)
	v.Text("status", q.Status)
	if q.Full {
		v.Text("fields", FieldsFull)
	}
	call := get(path("inbox", address.String(), "events")).with(v)
	call.header = http.Header{"Accept": {"text/event-stream"}}
	if place != "" { // it takes precedence over after
		call.header.Set("Last-Event-ID", place)
	}
	target, err := c.allowed(call)
	if err != nil {
		return nil, err
	}
	resp, err := c.roundTrip(ctx, call, target, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		answer, err := readUpTo(maxAnswer, resp)
		if err != nil {
			return nil, &ConnectError{c.URL, fmt.Errorf("the answer broke off: %w", err)}
		}
		return nil, refusal(resp, answer)
	}
	if media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); media != "text/event-stream" {
		resp.Body.Close()
		return nil, &Error{Code: CodeUnknown, Status: http.StatusNotImplemented,
			Message: "The gateway has no stream of events."}
	}
	return resp, nil
}
