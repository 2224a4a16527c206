package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// prefersReply reports for how long the sender of a message wants to wait for the answer
// to it: Prefer: wait=SECONDS, RFC 7240 §4.3. Only an agent with its own key may wait,
// because the answer is in its inbox. AMTP §5.
func (c *call) prefersReply() (time.Duration, bool) {
	if c.principal.Agent == nil {
		return 0, false
	}
	for _, line := range c.r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(preference, ";") // its parameters mean nothing for wait
			name, value, _ := strings.Cut(token, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value = strings.Trim(strings.TrimSpace(value), `"`)
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return 0, false // a preference that cannot be read is ignored
			}
			return min(time.Duration(seconds)*time.Second, maxWait), true
		}
	}
	return 0, false
}

// awaited says where in the sender's inbox a reply is looked for, and for how long.
type awaited struct {
	after int64
	wait  time.Duration
}

// newestOf returns the number behind which the replies to a new message of the sender are.
// It is 0 where that is not known.
func (c *call) newestOf(sender amtp.Address) int64 {
	box, err := c.s.Agents.Mailbox(c.r.Context(), c.principal, sender.String())
	if err != nil {
		return 0
	}
	newest, err := c.s.Store.Newest(c.r.Context(), box.Acting)
	if err != nil {
		return 0
	}
	return newest
}

// replied answers the sender of a message: with the reply to it, if one comes in time. The
// message is stored before that, and stays whatever becomes of the wait.
func (c *call) replied(sender amtp.Address, sent *amtp.SendResult, what awaited) {
	c.leaveRoom() // the body of the message is not needed any more
	c.w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(what.wait/time.Second)))
	c.waits(func(c *call) {
		reply, err := c.awaitReply(sender, sent, what)
		c.repliedWith(sent, reply, err)
	})
}

// repliedWith answers the sender of a message with the reply, nil if none came.
func (c *call) repliedWith(sent *amtp.SendResult, reply *gateway.InboxItem, err error) {
	body := appendResult(make([]byte, 0, 160+200*len(sent.Recipients)), sent)
	if err == nil && reply != nil { // the key may have been revoked meanwhile
		_, err = c.s.Authenticator.Caller(c.r, c.s.Now(), access.Strict)
	}
	if err != nil || reply == nil { // the message was accepted, whatever keeps its sender from the reply
		c.write(http.StatusAccepted, body)
		return
	}
	body = append(body[:len(body)-1], `,"reply":`...)
	if body, err = appendItem(body, reply, false); err != nil {
		c.fail(err)
		return
	}
	c.write(http.StatusOK, append(body, '}'))
}

// awaitReply returns the first answer to the message, nil if none comes in time. A report
// of this gateway is no answer. If all recipients have failed, none is awaited.
func (c *call) awaitReply(sender amtp.Address, sent *amtp.SendResult, what awaited) (*gateway.InboxItem, error) {
	box, err := c.s.Agents.Mailbox(c.r.Context(), c.principal, sender.String())
	if err != nil {
		return nil, err
	}
	c.patient(what.wait)
	reading := c.s.Agents.Read(box, gateway.InboxFilter{After: what.after, InReplyTo: sent.MessageID, Limit: 1})
	defer reading.Close()
	until := time.Now().Add(what.wait)
	for {
		page, err := reading.Next(c.r.Context(), time.Until(until))
		if err != nil || len(page.Items) == 0 {
			return nil, err
		}
		item := &page.Items[0]
		if !amtp.IsReport(item.Sender, c.s.Domain) {
			return item, nil
		}
		rec, err := c.s.Store.Message(c.r.Context(), gateway.Reader{Agent: box.Agent, Key: box.Key}, sent.MessageID)
		if err != nil || amtp.AllFailed(rec.Status(c.s.Now()).Recipients) {
			return nil, err
		}
	}
}
