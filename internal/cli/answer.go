package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// awaited is what became of a message whose sender waited for the answer to it.
type awaited struct {
	amtp.SendResult
	Replayed bool            `json:"replayed"`
	Delivery amtp.Status     `json:"delivery"`
	Reply    json.RawMessage `json:"reply"`            // null for none
	Report   json.RawMessage `json:"report,omitempty"` // of the gateway, on a delivery that failed
}

// showAnswer waits for the answer to a message that was sent, and shows it.
func (p *program) showAnswer(ctx context.Context, id *profile.Identity, sent amtp.SendResult) error {
	c := p.client(id)
	self, err := p.self(ctx, id)
	if err != nil {
		return err
	}
	if !p.json {
		p.printSentText(sent, failures(sent.Recipients))
	}
	answer, report, err := p.awaitAnswer(ctx, c, self, sent.MessageID)
	if err != nil {
		return p.sentAll(err, sent.MessageID)
	}
	out := awaited{SendResult: sent, Replayed: sent.Replayed, Delivery: sent.Status, Reply: json.RawMessage("null")}
	// Whatever became of the answer, the delivery has a state of its own by now.
	if status, err := c.Status(ctx, sent.MessageID); err == nil {
		out.Delivery, out.Status, out.Recipients = status.Status, status.Status, status.Recipients
	}
	switch {
	case answer != nil:
		out.Reply = answer.Raw
	case report != nil:
		out.Report = report.Raw
	}
	if p.json {
		err = p.printJSON(out)
	} else {
		p.printAnswer(&out, answer, report)
	}
	switch {
	case err != nil:
		return err
	case failures(out.Recipients) > 0:
		return told(exitPartly)
	case answer == nil:
		return told(exitNothing)
	}
	return nil
}

// sentAll is the failure of a wait. The message was sent all the same.
func (p *program) sentAll(err error, messageID amtp.MessageID) error {
	f := *p.explain(err)
	f.details = maps.Clone(f.details)
	if f.details == nil {
		f.details = make(map[string]any, 1)
	}
	f.details["message_id"] = messageID
	f.hint = fmt.Sprintf("the message was sent; wait for the answer: amtp wait --for %s%s", messageID, p.again())
	return &f
}

// awaitAnswer returns the first answer to a message, or the report that all deliveries of
// it failed.
func (p *program) awaitAnswer(ctx context.Context, c *amtp.Client, self amtp.Address,
	asked amtp.MessageID) (answer, report *amtp.InboxMessage, err error) {
	until := p.now().Add(p.wait)
	q := amtp.InboxQuery{InReplyTo: asked, Limit: 1}
	for {
		q.Wait = max(until.Sub(p.now()), 0)
		page, err := c.Await(ctx, self, q, p.goesOn)
		if err != nil || len(page.Messages) == 0 {
			return nil, report, err
		}
		m := &page.Messages[0]
		if !amtp.IsReport(m.Sender, self.Domain()) {
			return m, nil, nil
		}
		status, err := c.Status(ctx, asked)
		if err == nil && amtp.AllFailed(status.Recipients) {
			return nil, m, nil
		}
		q.After = page.NextCursor
	}
}

// printAnswer shows the state of the delivery, and then the answer if there is one.
func (p *program) printAnswer(out *awaited, answer, report *amtp.InboxMessage) {
	p.printf("Delivery: %s\n", render.Clean(string(out.Delivery)))
	switch {
	case answer != nil:
		p.printf("Answer:\n\n")
		p.printMessage(stored(answer), false)
		p.notef("Done with it: amtp ack %s%s\n", render.MessageID(answer.MessageID), p.again())
	case report != nil:
		for _, r := range out.Recipients {
			p.printf("  -> %s\n", render.Recipient(r))
		}
		p.printf("Answer: none, because the message was not delivered.\n")
		p.notef("The whole report: amtp read %s%s\n", render.MessageID(report.MessageID), p.again())
	default:
		p.printf("Answer: none within %v.\n", p.wait)
		p.notef("Wait again: amtp wait --for %s%s\n", render.MessageID(out.MessageID), p.again())
	}
}
