package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// thread shows the messages of a thread in the caller's mailbox.
func (s *Server) thread(c *call) {
	p := c.params()
	filter := gateway.ThreadFilter{After: p.cursor(ofThread), Limit: p.limit(), MaxBytes: maxPage}
	mailbox, err := s.mailbox(c)
	if err == nil {
		err = p.err
	}
	if err != nil {
		c.fail(err)
		return
	}
	page, err := s.Agents.Thread(c.r.Context(), mailbox, c.r.PathValue("id"), filter)
	if err != nil {
		c.fail(err)
		return
	}
	body, err := threadView(&page, s.Now())
	if err != nil {
		c.fail(err)
		return
	}
	c.write(http.StatusOK, body)
}

// threadView is the JSON of a page of a thread.
func threadView(page *gateway.ThreadPage, now time.Time) ([]byte, error) {
	b := appendString([]byte(`{"thread_id":`), string(page.ID))
	b = strconv.AppendInt(append(b, `,"count":`...), int64(len(page.Messages)), 10)
	b = strconv.AppendBool(append(b, `,"has_more":`...), page.HasMore)
	b = appendString(append(b, `,"next_cursor":`...), ofThread.text(page.Next))
	b = append(b, `,"messages":[`...)
	for i := range page.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		message, err := storedView(&page.Messages[i], now)
		if err != nil {
			return nil, err
		}
		b = append(b, message...)
	}
	return append(b, `]}`...), nil
}

// listThreads lists the threads of the caller's mailbox.
func (s *Server) listThreads(c *call) {
	p := c.params()
	filter := gateway.ThreadsFilter{Before: p.cursor(ofThreads),
		Limit: p.number("limit", defaultThreads, 1, maxThreads, amtp.CodeInvalidLimit)}
	mailbox, err := s.mailbox(c)
	if err == nil {
		err = p.err
	}
	if err != nil {
		c.fail(err)
		return
	}
	page, err := s.Store.Threads(c.r.Context(), mailbox.Acting, filter)
	if err != nil {
		c.fail(err)
		return
	}
	list := amtp.ThreadList{Threads: make([]amtp.Thread, len(page.Threads)), HasMore: page.HasMore,
		Incomplete: page.Incomplete}
	if page.HasMore {
		list.NextCursor = ofThreads.text(page.Next)
	}
	for i := range page.Threads {
		t := &page.Threads[i]
		list.Threads[i] = amtp.Thread{ThreadID: t.ID, Subject: t.Subject, MessageCount: t.Count, CountCapped: t.Capped,
			Unread: t.Unread, Last: amtp.ThreadMessage{MessageID: t.Last.ID, Sender: t.Last.Sender,
				ReceivedAt: amtp.Time{Time: t.Last.ReceivedAt}, Trust: t.Last.Shown().Trust}}
	}
	c.reply(http.StatusOK, list)
}
