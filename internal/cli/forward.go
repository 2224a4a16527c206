package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const forwardHelp = `Send a message that you received or sent on to others: as a new message from you, with
the original in it as data, and its subject after "Fwd: ".

The payload is {"forwarded": {…}, "text": TEXT}. "forwarded" has the original's
message_id, sender, timestamp, subject, schema and payload, and trust and authentication:
how well your gateway knew the sender. A recipient has only your word for it. Attachments
are named as in the original, and their files are where they were. The thread is new.

ID is as for "amtp read". The new message may be as large as any other; a gateway says
so when it is too large.`

const forwardExamples = `  amtp forward 1 carol@localhost
  amtp forward ID carol@localhost dave@localhost --text "Can you answer this?"`

// forwarding are the flags of amtp forward.
type forwarding struct {
	text, textFile string
	subject, key   string
}

func (p *program) forwardCommand() *cobra.Command {
	var f forwarding
	cmd := p.online(&cobra.Command{
		Use:     "forward ID ADDRESS...",
		Short:   "Send a message on",
		Long:    forwardHelp,
		Example: forwardExamples,
		Args:    cobra.ArbitraryArgs,
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if len(args) < 2 {
			return usageErrorf("A message and a recipient are required. Usage: amtp forward <message-id> <address>")
		}
		if err := id.Need(profile.MemberGateway, profile.MemberKey); err != nil {
			return err
		}
		return p.forward(ctx, id, args[0], args[1:], &f)
	})
	flags := cmd.Flags()
	flags.StringVar(&f.text, "text", "", "what you say of it: `TEXT`, word for word; or - for stdin")
	flags.StringVar(&f.textFile, "text-file", "", "what you say of it is the text in `FILE`; - for stdin")
	flags.StringVar(&f.subject, "subject", "", "another subject, one `LINE`, than that of the message")
	flags.StringVar(&f.key, "idempotency-key", "", "a `KEY` under which a repetition of this command is recognised")
	p.mailboxFlag(cmd)
	return cmd
}

func (p *program) forward(ctx context.Context, id *profile.Identity, which string, to []string, f *forwarding) error {
	m := amtp.Message{IdempotencyKey: f.key}
	var err error
	if m.Recipients, err = recipients(to, id); err != nil {
		return err
	}
	text, err := p.forwardText(id, f)
	if err != nil {
		return err
	}
	if m.Sender, err = p.self(ctx, id); err != nil {
		return err
	}
	c := p.client(id)
	original, err := withMessage(ctx, p, id, which, "", func(messageID amtp.MessageID) (amtp.StoredMessage, error) {
		return c.Message(ctx, messageID)
	})
	if err != nil {
		return err
	}
	if original.Message.BodyPurged {
		return &failure{exit: exitNotFound, code: amtp.CodeMessageNotFound,
			message: fmt.Sprintf("The content of the message %s was removed after its time of retention.",
				original.Message.MessageID)}
	}
	if m.Payload, err = forwardPayload(original.Message, text); err != nil {
		return err
	}
	m.Subject = cmp.Or(f.subject, prefixed("Fwd: ", original.Message.Subject))
	m.Attachments = original.Message.Attachments
	if err := p.keepsSecrets(id, &m); err != nil {
		return err
	}
	sent, err := c.Send(ctx, m)
	if err != nil {
		return err
	}
	return p.printSent(sent)
}

// forwardText returns the text of the person who sends a message on, "" for none.
func (p *program) forwardText(id *profile.Identity, f *forwarding) (string, error) {
	var c contentFlags
	switch {
	case f.text != "" && f.textFile != "":
		return "", usageErrorf("Give --text or --text-file, not both.")
	case f.textFile != "":
		c = contentFlags{textFile: f.textFile, given: []string{"text-file"}}
	case f.text != "":
		c = contentFlags{text: f.text, given: []string{"text"}}
	}
	payload, err := p.namedContent(id, &c)
	text, _ := render.PayloadText(payload)
	return text, err
}

// forwarded is a message as it is sent on: what its sender wrote, and what the gateway
// recorded about the sender.
type forwarded struct {
	MessageID      amtp.MessageID      `json:"message_id"`
	Sender         amtp.Address        `json:"sender"`
	Timestamp      amtp.Time           `json:"timestamp"`
	Subject        string              `json:"subject,omitempty"`
	Schema         string              `json:"schema,omitempty"`
	Trust          amtp.Trust          `json:"trust"`
	Authentication amtp.Authentication `json:"authentication"`
	Payload        json.RawMessage     `json:"payload,omitempty"`
}

// forwardPayload returns the payload with which a message is sent on.
func forwardPayload(m amtp.Received, text string) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Forwarded forwarded `json:"forwarded"`
		Text      string    `json:"text,omitempty"`
	}{forwarded{MessageID: m.MessageID, Sender: m.Sender, Timestamp: m.Timestamp, Subject: m.Subject, Schema: m.Schema,
		Trust: m.Trust, Authentication: m.Authentication, Payload: m.Payload}, text})
	return bytes.TrimSpace(b.Bytes()), err
}
