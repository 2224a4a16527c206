package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const replyHelp = `Answer a message that you received: to its sender, with its subject after "Re: ", in
its thread. Nothing of it is quoted. No address is typed: a stranger's may be anything,
also a command for your shell.

ID is the message's id, an unambiguous beginning or end of it, or its number in the
last "amtp inbox". The content is given as to "amtp send".

Only a proven sender is answered (Trust: local or verified). With --unproven an
answer goes to whoever has the address that the message shows, who may not be the one
who wrote it. If a proven sender asks for answers at another address (the header
reply-to), the answer goes there only when that address is in the sender's domain.

With --all the other recipients get the answer too, as far as your gateway knows them,
and you do not. Reports of a gateway (mailer-daemon) cannot be answered.`

const replyExamples = `  amtp reply 1 --text "Yes. Two remarks follow."
  amtp reply ID --text-file answer.md
  amtp reply ID --all --text "All done."
  amtp reply ID --payload '{"approved":true}' --idempotency-key review-7`

func (p *program) replyCommand() *cobra.Command {
	var f sendFlags
	var how replying
	cmd := p.online(&cobra.Command{
		Use:     "reply ID {--text TEXT | --payload JSON}",
		Short:   "Answer a message",
		Long:    replyHelp,
		Example: replyExamples,
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if len(args) == 0 {
			return usageErrorf("Message ID is required. Usage: amtp reply <message-id> %s", contentUsage)
		}
		if err := id.Need(profile.MemberGateway, profile.MemberKey); err != nil {
			return err
		}
		return p.reply(ctx, id, args[0], &f, how)
	})
	f.flags(cmd)
	cmd.Flags().Lookup("subject").Usage = "another subject, one `LINE`, than that of the message"
	cmd.Flags().BoolVar(&how.all, "all", false, "answer the other recipients too")
	cmd.Flags().BoolVar(&how.unproven, "unproven", false, "answer even where nobody proved who the sender is")
	p.mailboxFlag(cmd)
	return cmd
}

// replying says to whom an answer goes.
type replying struct {
	all      bool // to the other recipients too
	unproven bool // also to a sender that nobody proved
}

func (p *program) reply(ctx context.Context, id *profile.Identity, which string, f *sendFlags, how replying) error {
	answer, err := p.compose(id, f)
	if err != nil {
		return err
	}
	if answer.Sender, err = p.self(ctx, id); err != nil {
		return err
	}
	c := p.client(id)
	to, err := withMessage(ctx, p, id, which, fromInbox, func(messageID amtp.MessageID) (amtp.StoredMessage, error) {
		return c.Message(ctx, messageID)
	})
	if err != nil {
		return err
	}
	received := to.Message
	if err := p.answerable(to, answer.Sender, how); err != nil {
		return err
	}
	answer.Recipients, answer.InReplyTo = p.answerTo(to, answer.Sender, how), received.MessageID
	answer.Subject = cmp.Or(answer.Subject, prefixed("Re: ", received.Subject))
	sent, err := c.Send(ctx, answer)
	if err != nil {
		return err
	}
	if err := p.printSent(sent); err != nil {
		return err
	}
	if waitsFor(to, answer.Sender) && !p.json {
		p.notef(
			"Done with the message that it answers: amtp ack %s%s\n",
			render.MessageID(received.MessageID),
			p.again(),
		)
	}
	return nil
}

// answerable returns the refusal to answer a message, nil when it may be answered.
func (p *program) answerable(m amtp.StoredMessage, self amtp.Address, how replying) error {
	received := m.Message
	switch {
	case received.Sender.Equal(self) && !receives(m, self):
		f := usageErrorf("You wrote the message %s yourself.", received.MessageID)
		f.hint = "write to its recipients with amtp send --in-reply-to " + string(received.MessageID)
		return f
	case strings.EqualFold(received.Sender.Local(), "mailer-daemon"):
		return &failure{exit: exitRefused, code: codeAutomatic,
			message: fmt.Sprintf("The message %s is a report that %s wrote by itself; nobody would read an answer.",
				received.MessageID, render.Address(received.Sender)),
			hint: "amtp read " + string(received.MessageID) + p.again() + " shows which message it is about"}
	case !proven(received.Trust) && !how.unproven:
		return &failure{exit: exitRefused, code: codeUnproven,
			message: fmt.Sprintf("Nobody proved that %s wrote this message (trust: %s), so it was not answered.",
				render.Address(received.Sender), render.Trust(received)),
			hint: "to answer whoever has that address all the same: --unproven"}
	}
	return nil
}

// answerTo returns the recipients of an answer, each once.
func (p *program) answerTo(m amtp.StoredMessage, self amtp.Address, how replying) []amtp.Address {
	first, wished := m.Message.Sender, replyTo(m.Message)
	switch {
	case wished.IsZero() || wished.Equal(first):
	case proven(m.Message.Trust) && wished.Domain() == first.Domain():
		first = wished
	default:
		p.notef("The message asks for answers at %s, which nobody proved to be its sender's; the answer goes to %s.\n",
			render.Address(wished), render.Address(first))
	}
	list := []amtp.Address{first}
	if !how.all {
		return list
	}
	for _, r := range m.Status.Recipients {
		known := func(a amtp.Address) bool { return a.Equal(r.Address) }
		if !r.Address.Equal(self) && !slices.ContainsFunc(list, known) {
			list = append(list, r.Address)
		}
	}
	return list
}

// replyTo returns the address in the header reply-to, the zero address for none.
func replyTo(m amtp.Received) (a amtp.Address) {
	var headers map[string]json.RawMessage
	if json.Unmarshal(m.Headers, &headers) != nil {
		return a
	}
	for name, value := range headers {
		var text string
		if strings.EqualFold(name, "reply-to") && json.Unmarshal(value, &text) == nil {
			if found, err := amtp.ParseAddress(text); err == nil {
				a = found
			}
		}
	}
	return a
}

// prefixed returns the subject of an answer or of a message that is sent on: with the
// prefix once, and "" for no subject.
func prefixed(prefix, subject string) string {
	beginning := subject[:min(len(prefix)-1, len(subject))]
	if subject == "" || strings.EqualFold(beginning, strings.TrimSpace(prefix)) {
		return subject
	}
	return prefix + subject
}

// proven reports whether the gateway knows that the sender wrote the message.
func proven(t amtp.Trust) bool { return t == amtp.TrustLocal || t == amtp.TrustVerified }

// receives reports whether the address is a recipient of the message.
func receives(m amtp.StoredMessage, a amtp.Address) bool {
	for _, r := range m.Status.Recipients {
		if r.Address.Equal(a) {
			return true
		}
	}
	return false
}
