package cli

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const waitHelp = `Wait for a message and show it, as "amtp read" does. A message that is in the inbox
already is shown at once; one that you have acknowledged does not count.

With --for ID only the answers to that message count, with --from ADDRESS what that
agent wrote, with --thread ID what belongs to the conversation. ID may be a number or a
part, as for "amtp read". A report that a delivery failed is an answer here: its sender
is mailer-daemon. The notice that no answer came by --answer-by is none.

The wait goes on while the gateway is restarted. After --timeout it ends with exit
code 7: nothing came, and you may wait again. Nothing is changed: the message stays in
the inbox, and is not marked read, until "amtp ack".`

const waitExamples = `  amtp wait                            # for any message
  amtp wait --for ID --timeout 30m     # for the answer to a message
  amtp wait --from bob@localhost --json
  amtp wait --after CURSOR             # for one that came later than those of a list`

// waitTime is how long "amtp wait" waits by default.
const waitTime = 10 * time.Minute

// conditions choose messages of an inbox, as the user gives them.
type conditions struct{ answers, from, thread string }

func (w *conditions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&w.answers, "for", "", "only answers to the message `ID`")
	flags.StringVar(&w.from, "from", "", "only messages from this `ADDRESS`, or name of your domain")
	flags.StringVar(&w.thread, "thread", "", "only messages of the conversation that the message `ID` belongs to")
}

// wants reads the conditions. A message may be named by its number or by a part of its id.
func (p *program) wants(ctx context.Context, id *profile.Identity, w *conditions) (answers amtp.MessageID,
	from amtp.Address, thread amtp.MessageID, err error) {
	if answers, err = p.meant(ctx, id, w.answers); err != nil {
		return answers, from, thread, err
	}
	if thread, err = p.meant(ctx, id, w.thread); err == nil {
		from, err = p.author(ctx, id, w.from)
	}
	return answers, from, thread, err
}

// author returns the address that --from names, the zero address for none. A name alone
// is an agent of the user's own domain.
func (p *program) author(ctx context.Context, id *profile.Identity, from string) (a amtp.Address, err error) {
	if from = strings.TrimSpace(from); from == "" {
		return a, nil
	}
	if amtp.CheckName(from) == nil {
		if err = id.Need(profile.MemberGateway, profile.MemberKey); err != nil {
			return a, err
		}
		self, err := p.self(ctx, id)
		if err != nil {
			return a, err
		}
		from += "@" + string(self.Domain())
	}
	if a, err = amtp.ParseAddress(from); err != nil {
		err = usageErrorf("--from: %v.", err)
	}
	return a, err
}

// meant returns the message that the user names. A whole id is taken as it is, so that a
// wait may begin while the gateway is away.
func (p *program) meant(ctx context.Context, id *profile.Identity, which string) (amtp.MessageID, error) {
	if which == "" {
		return "", nil
	}
	if _, whole := amtp.MessageID(which).UUID(); whole {
		return amtp.MessageID(which), nil
	}
	if err := id.Need(profile.MemberGateway, profile.MemberKey); err != nil {
		return "", err
	}
	m, err := withMessage(ctx, p, id, which, "", func(messageID amtp.MessageID) (amtp.StoredMessage, error) {
		return p.client(id).Message(ctx, messageID)
	})
	return m.Message.MessageID, err
}

func (p *program) waitCommand() *cobra.Command {
	var q amtp.InboxQuery
	var wanted conditions
	var unread, full bool
	cmd := p.online(&cobra.Command{
		Use:     "wait [--for ID | --from ADDRESS | --thread ID]",
		Short:   "Wait for a message and show it",
		Long:    waitHelp,
		Example: waitExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) (err error) {
		if unread {
			q.Status = unreadStatus
		}
		if err = id.Need(profile.MemberGateway, profile.MemberAddress, profile.MemberKey); err != nil {
			return err
		}
		if q.InReplyTo, q.From, q.Thread, err = p.wants(ctx, id, &wanted); err != nil {
			return err
		}
		return p.waitAndShow(ctx, id, q, full)
	})
	p.waits(cmd, waitTime, "how `LONG` to wait for a message")
	wanted.flags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&unread, "unread", false, "only messages not marked read")
	flags.StringVar(&q.After, "after", "", "only messages behind this `CURSOR`, the next_cursor of \"amtp inbox --json\"")
	flags.BoolVar(&full, "full", false, "show all of a content that is longer than 64 KiB")
	p.mailboxFlag(cmd)
	return cmd
}

// waits gives --timeout the meaning that it has for a command that waits: it is how long
// the command waits, and the gateway's answers have the usual time.
func (p *program) waits(cmd *cobra.Command, usual time.Duration, usage string) {
	f := cmd.Flags().Lookup("timeout")
	answers := p.timeout
	f.Usage, f.DefValue = usage, usual.String()
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.wait = usual
		if f.Changed {
			p.wait = p.timeout
		}
		if p.wait < 0 {
			return usageErrorf("--timeout cannot be negative.")
		}
		if p.timeout = answers; p.wait == 0 {
			p.timeout = 0 // the command has no end of its own
		}
		return run(cmd, args)
	}
}

// waitAndShow shows the first message that the query finds within --timeout.
func (p *program) waitAndShow(ctx context.Context, id *profile.Identity, q amtp.InboxQuery, full bool) error {
	c := p.client(id)
	self, err := p.self(ctx, id)
	if err != nil {
		return err
	}
	q.Limit = 1
	var m *amtp.InboxMessage
	for until := p.now().Add(p.wait); m == nil; {
		q.Wait = max(until.Sub(p.now()), 0)
		page, err := c.Await(ctx, self, q, p.goesOn)
		if err != nil {
			return err
		}
		q.After = cmp.Or(page.NextCursor, q.After)
		if len(page.Messages) == 0 {
			return p.nothingCame(q.After)
		}
		if m = &page.Messages[0]; q.InReplyTo != "" && noAnswerYet(m, self) {
			m = nil
		}
	}
	if p.json {
		return p.printJSON(m.Raw)
	}
	p.printMessage(stored(m), full)
	p.notef("Answer it: amtp reply %s%s --text …\n", render.MessageID(m.MessageID), p.again())
	p.notef("Done with it: amtp ack %s%s\n", render.MessageID(m.MessageID), p.again())
	return nil
}

// noAnswerYet reports whether the gateway says that no answer came by its time.
func noAnswerYet(m *amtp.InboxMessage, self amtp.Address) bool {
	return amtp.IsReport(m.Sender, self.Domain()) && amtp.PayloadType(m.Payload) == amtp.TypeAnswerDeadline
}

// goesOn tells the user that the gateway is away, and that the wait goes on: one that is
// started anew answers soon.
func (p *program) goesOn(error, bool) bool {
	p.isAway()
	return true
}

// nothingCame ends a wait. The cursor is where the next one may begin.
func (p *program) nothingCame(cursor string) error {
	if p.json {
		err := p.printJSON(struct {
			Message    *struct{} `json:"message"`
			NextCursor string    `json:"next_cursor"`
		}{nil, cursor})
		if err != nil {
			return err
		}
	} else {
		p.notef("Nothing came within %v. Wait again: %s\n", p.wait, p.typed())
	}
	return told(exitNothing)
}

// typed is the command that was typed.
func (p *program) typed() string {
	words := []string{"amtp"}
	for _, w := range p.args {
		words = append(words, render.ShellWord(render.Clean(w)))
	}
	return strings.Join(words, " ")
}

// stored returns a message of the inbox in the form of one that was read.
func stored(m *amtp.InboxMessage) amtp.StoredMessage {
	s := amtp.StoredMessage{Message: m.Received}
	for _, a := range m.Recipients {
		s.Status.Recipients = append(s.Status.Recipients, amtp.RecipientStatus{Address: a})
	}
	return s
}
