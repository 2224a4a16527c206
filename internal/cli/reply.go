package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const replyHelp = `Answer a message that you received: to its sender, with its subject, as an answer to
it. No address is typed: a stranger's may be anything, also a command for your shell.

ID is the message's id, an unambiguous beginning or end of it, or its number in the
last "amtp inbox". The content is given as to "amtp send".

Only a proven sender is answered (Trust: local or verified). With --unproven an
answer goes to whoever has the address that the message shows, who may not be the one
who wrote it.`

const replyExamples = `  amtp reply 1 --text "Yes. Two remarks follow."
  amtp reply ID --text-file answer.md
  amtp reply ID --payload '{"approved":true}' --idempotency-key review-7`

func (p *program) replyCommand() *cobra.Command {
	var f sendFlags
	var unproven bool
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
		return p.reply(ctx, id, args[0], &f, unproven)
	})
	f.flags(cmd)
	cmd.Flags().Lookup("subject").Usage = "another subject, one `LINE`, than that of the message"
	cmd.Flags().BoolVar(&unproven, "unproven", false, "answer even where nobody proved who the sender is")
	p.mailboxFlag(cmd)
	return cmd
}

func (p *program) reply(ctx context.Context, id *profile.Identity, which string, f *sendFlags, unproven bool) error {
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
	if received.Sender.Equal(answer.Sender) && !receives(to, answer.Sender) {
		f := usageErrorf("You wrote the message %s yourself.", received.MessageID)
		f.hint = "write to its recipients with amtp send --in-reply-to " + string(received.MessageID)
		return f
	}
	if !proven(received.Trust) && !unproven {
		return &failure{exit: exitRefused, code: codeUnproven,
			message: fmt.Sprintf("Nobody proved that %s wrote this message (trust: %s), so it was not answered.",
				render.Address(received.Sender), render.Trust(received)),
			hint: "to answer whoever has that address all the same: --unproven"}
	}
	answer.Recipients, answer.InReplyTo = []amtp.Address{received.Sender}, received.MessageID
	answer.Subject = cmp.Or(answer.Subject, received.Subject)
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
