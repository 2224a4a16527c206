package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/render"
)

// Probe sends a message to an address, waits for its answer, and acknowledges the
// answer. It runs after [Examination.Run], which finds the sender. answered is false
// when the message was sent and no answer came in time. sent, if not nil, is called
// once the message is sent.
func (x *Examination) Probe(ctx context.Context, to amtp.Address, wait time.Duration,
	sent func()) (f Finding, answered bool) {
	const name = "probe"
	failed := func(err error) (Finding, bool) {
		text, mend := x.Explain(err)
		return bad(name, mend, "%s", text), true
	}
	if x.whoami.Address == (amtp.Address{}) {
		return bad(name, "first fix what is wrong above", "nothing was sent: there is nobody to send it as"), true
	}
	c, began := x.Agent(), x.Now()
	payload, err := json.Marshal(map[string]string{"text": "Does this arrive?"})
	if err != nil {
		return failed(err)
	}
	result, err := c.Send(ctx, amtp.Message{Sender: x.whoami.Address, Recipients: []amtp.Address{to}, Subject: "Probe",
		Payload: payload})
	if err != nil {
		return failed(err)
	}
	since := began
	if len(result.Recipients) > 0 {
		since = result.Recipients[0].Timestamp.Time
	}
	if sent != nil {
		sent()
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, err := x.answerTo(ctx, c, result.MessageID, to, since)
	if err == nil {
		return good(name, "%s answered after %v; its answer is %s", render.Address(to),
			x.Now().Sub(began).Round(time.Millisecond), answer.Trust), true
	}
	return bad(name,
		fmt.Sprintf("amtp status %s tells how far it came; the operator of %s says whether echo.enabled is set there",
			result.MessageID, to.Domain()),
		"%s did not answer within %v", render.Address(to), wait), false
}

// answerTo waits for the answer of an address to a message and acknowledges it.
func (x *Examination) answerTo(ctx context.Context, c *amtp.Client, id amtp.MessageID, from amtp.Address,
	since time.Time) (amtp.InboxMessage, error) {
	q := amtp.InboxQuery{Since: since.Add(-time.Second), Wait: 10 * time.Second}
	for {
		page, err := c.Inbox(ctx, x.whoami.Address, q)
		if err != nil {
			return amtp.InboxMessage{}, err
		}
		for _, m := range page.Messages {
			if m.InReplyTo == id && m.Sender.Equal(from) {
				_, err := c.Ack(ctx, x.whoami.Address, m.MessageID)
				return m, err
			}
		}
		q.After = page.NextCursor
	}
}
