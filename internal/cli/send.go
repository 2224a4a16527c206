package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const sendHelp = `Send a message to one or more agents.

The content is a text or any JSON value. TEXT and JSON are sent word for word, even
when they begin with @ or -; only a single - means what comes on stdin. Files
are named by --text-file and --payload-file. A text is sent as {"text": TEXT}.

A message without content is refused unless you say --allow-empty: no content flag, a
blank text, or JSON null or "". So is one that contains your config file, a file of a
gateway's data directory, or one of your keys (exit code 8).

When this command succeeds the gateway has the message on disk. It generates an
idempotency key, so that its own repetitions after a lost connection never send
twice; give --idempotency-key to repeat the command itself as safely.

With --wait it then waits for the answer: the first message to you that answers this
one. Delivery and answer are told apart: "delivered" says that the recipient has the
message, and nothing about an answer. When none came in time the exit code is 7; "amtp
wait --for ID" waits on. A report that the delivery failed ends the wait with exit code
9.

To answer a message use "amtp reply". Exit code 9 means that some recipients failed;
the others have the message.`

const sendExamples = `  amtp send --to bob@localhost --subject Hello --text "Hi from Alice"
  amtp send --to bob@localhost --to carol@localhost --payload '{"task":"review","pr":7}'
  amtp send --to bob@localhost --subject Report --text-file report.md
  git diff | amtp send --to bob@localhost --text-file -
  amtp send --to bob@localhost --text "Is it ready?" --wait 5m
  amtp send --to bob@localhost --text "Which colour?" --answer-by 2h --priority high`

const sendUsage = "Usage: amtp send --to <address> --subject <s> " + contentUsage

// sendFlags are the flags of amtp send.
type sendFlags struct {
	contentFlags
	to, headers []string
	subject     string
	inReplyTo   string
	key, schema string
	timed       timedFlags
}

func (p *program) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := p.online(&cobra.Command{
		Use:     "send --to ADDRESS {--text TEXT | --payload JSON}",
		Short:   "Send a message",
		Long:    sendHelp,
		Example: sendExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		return p.send(ctx, id, &f)
	})
	f.recipientFlags(cmd)
	f.flags(cmd)
	p.mailboxFlag(cmd)
	cmd.Flags().DurationVar(&p.wait, "wait", 0, "then wait this long for the answer, such as 5m")
	return cmd
}

// recipientFlags are the flags that a reply does not have.
func (f *sendFlags) recipientFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.to, "to", nil, "`ADDRESS` of a recipient; may repeat")
	cmd.Flags().StringVar(&f.inReplyTo, "in-reply-to", "", "`ID` of the message that this one answers")
}

// flags are the flags that a reply has too.
func (f *sendFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.subject, "subject", "", "one `LINE` that says what it is about")
	f.contentFlags.flags(cmd)
	flags.StringVar(&f.schema, "schema", "", "`SCHEMA` of the payload, such as agntcy:commerce.order.v1")
	flags.StringArrayVar(&f.headers, "header", nil, "a header, `NAME=VALUE`; may repeat")
	flags.StringVar(&f.key, "idempotency-key", "", "a `KEY` under which a repetition of this command is recognised")
	f.timed.flags(cmd)
}

func (p *program) send(ctx context.Context, id *profile.Identity, f *sendFlags) error {
	if p.wait < 0 {
		return usageErrorf("--wait cannot be negative.")
	}
	if p.wait > 0 && id.Key == "" {
		return id.Need(profile.MemberKey) // without a key there is no inbox
	}
	if err := id.Need(profile.MemberGateway, profile.MemberAddress); err != nil {
		return err
	}
	to, err := recipients(f.to, id)
	if err != nil {
		return err
	}
	m, err := p.compose(id, f)
	if err != nil {
		return err
	}
	m.Recipients = to
	if m.Sender, err = p.self(ctx, id); err != nil {
		return err
	}
	if m.InReplyTo, err = p.answered(ctx, id, f.inReplyTo); err != nil {
		return err
	}
	sent, err := p.client(id).Send(ctx, m)
	if err != nil {
		return err
	}
	if p.wait > 0 {
		return p.showAnswer(ctx, id, sent)
	}
	return p.printSent(sent)
}

// compose makes the message, except for its sender and its recipients.
func (p *program) compose(id *profile.Identity, f *sendFlags) (m amtp.Message, err error) {
	if m.Payload, err = p.content(id, &f.contentFlags); err != nil {
		return m, err
	}
	timed, err := f.timed.headers(p.now())
	if err != nil {
		return m, err
	}
	if m.Headers, err = headers(append(timed, f.headers...)); err != nil {
		return m, err
	}
	m.Subject, m.Schema, m.IdempotencyKey = f.subject, f.schema, f.key
	return m, p.keepsSecrets(id, &m)
}

// answered returns the message that --in-reply-to names. It must be a message that the
// sender may see: a mistyped id would begin an unrelated thread.
func (p *program) answered(ctx context.Context, id *profile.Identity, which string) (amtp.MessageID, error) {
	if which == "" {
		return "", nil
	}
	messageID, err := amtp.ParseMessageID(which)
	if err != nil {
		return "", usageErrorf("--in-reply-to: %v.", err)
	}
	if id.Key == "" { // without a key there is no inbox
		return messageID, nil
	}
	m, err := withMessage(ctx, p, id, which, "", func(messageID amtp.MessageID) (amtp.StoredMessage, error) {
		return p.client(id).Message(ctx, messageID)
	})
	var refused *amtp.Error
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return "", &failure{exit: exitNotFound, code: amtp.CodeMessageNotFound,
			message: fmt.Sprintf("There is no message %q that you may see, so nothing can answer it.", which)}
	}
	return m.Message.MessageID, err
}

func recipients(to []string, id *profile.Identity) ([]amtp.Address, error) {
	var list []amtp.Address
	for _, s := range strings.Split(strings.Join(to, ","), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		a, err := amtp.ParseAddress(s)
		if err != nil {
			refused := amtp.Errorf(amtp.CodeInvalidRecipient, "The recipient %v.", err)
			if _, domain, known := strings.Cut(id.Address, "@"); known && amtp.CheckName(s) == nil {
				return nil, &failure{exit: exitUsage, code: refused.Code, gateway: true, message: refused.Message,
					hint: fmt.Sprintf("did you mean %s@%s?", s, domain)}
			}
			return nil, refused
		}
		list = append(list, a)
	}
	if len(list) == 0 {
		return nil, usageErrorf("--to is required. %s", sendUsage)
	}
	return list, nil
}

func headers(list []string) (json.RawMessage, error) {
	if len(list) == 0 {
		return nil, nil
	}
	members := make(map[string]string, len(list))
	for _, h := range list {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, usageErrorf("--header: write name=value, not %q.", h)
		}
		if _, twice := members[name]; twice {
			return nil, usageErrorf("--header: %q is given twice.", name)
		}
		members[name] = value
	}
	return json.Marshal(members)
}

// printSent prints the gateway's answer; some failed recipients make it a
// failure although the message was sent.
func (p *program) printSent(sent amtp.SendResult) error {
	failed := failures(sent.Recipients)
	if p.json {
		err := p.printJSON(struct {
			amtp.SendResult
			Replayed bool `json:"replayed"`
		}{sent, sent.Replayed})
		if err != nil {
			return err
		}
	} else {
		p.printSentText(sent, failed)
	}
	if failed > 0 {
		return told(exitPartly)
	}
	return nil
}

// failures counts the recipients for which a message failed.
func failures(list []amtp.RecipientStatus) (failed int) {
	for i := range list {
		if list[i].Status == amtp.StatusFailed {
			failed++
		}
	}
	return failed
}

func (p *program) printSentText(sent amtp.SendResult, failed int) {
	if failed == 0 {
		p.printf("Message sent successfully.\n")
	} else {
		p.printf("Message sent, but not to %s.\n", render.Plural(failed, "recipient"))
	}
	p.printf("  ID:     %s\n  Status: %s\n", render.Clean(string(sent.MessageID)), render.Clean(string(sent.Status)))
	for _, r := range sent.Recipients {
		p.printf("  -> %s: %s", render.Address(r.Address), render.Clean(string(r.Status)))
		if r.ErrorMessage != "" {
			p.printf(" error: %s", render.Clean(r.ErrorMessage))
		}
		p.printf("\n")
	}
	if sent.Replayed {
		p.notef("The gateway had this message already; nothing was sent twice.\n")
	}
}
