package cli

import (
	"cmp"
	"context"
	"errors"
	"maps"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const ackHelp = `Acknowledge messages that you are done with: they leave the inbox for good.
Repeating it does no harm.

ID is a message's id, an unambiguous beginning or end of it, or its number in the
last "amtp inbox" at this terminal: then it is said from whom the message was. Where
there is no terminal, whoever uses the profile shares the numbers: give ids there.

A sender at the same gateway sees it at once. One in another domain hears of it
only when its gateway asks for receipts and this gateway sends them there: by
default for messages whose sender was verified, to domains that you have written
to. Until then "delivered" is all that the sender knows.`

const ackExamples = `  amtp ack 1
  amtp ack ID
  amtp ack ID1 ID2 ID3`

func (p *program) ackCommand() *cobra.Command {
	cmd := p.online(&cobra.Command{
		Use:     "ack ID...",
		Short:   "Acknowledge/remove messages",
		Long:    ackHelp,
		Example: ackExamples,
		Args:    cobra.ArbitraryArgs,
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if len(args) == 0 {
			return usageErrorf("Message ID is required. Usage: amtp ack <message-id>")
		}
		if err := id.Need(profile.MemberGateway, profile.MemberAddress, profile.MemberKey); err != nil {
			return err
		}
		return p.ack(ctx, id, args)
	})
	p.mailboxFlag(cmd)
	return cmd
}

// ack acknowledges one message after the other. A message that the gateway refuses does
// not stop the rest. The first refusal is the failure of the command.
func (p *program) ack(ctx context.Context, id *profile.Identity, ids []string) error {
	self, err := p.self(ctx, id)
	if err != nil {
		return err
	}
	c := p.client(id)
	done := []amtp.AckResult{}
	var first error
	for _, given := range ids {
		head := "" // of a message that was not named by its id
		result, err := withMessage(ctx, p, id, given, fromInbox,
			func(messageID amtp.MessageID) (amtp.AckResult, error) {
				if string(messageID) != given && !p.json {
					head = p.looksUp(ctx, c, messageID)
				}
				return c.Ack(ctx, self, messageID)
			})
		if err == nil {
			done = append(done, result)
			if !p.json {
				p.printf("Message %s acknowledged.\n", render.Clean(cmp.Or(string(result.MessageID), given)))
				if head != "" {
					p.printf("  It was %s.\n", render.Clean(head))
				}
			}
			continue
		}
		if first == nil {
			first = err
		} else {
			p.notef("Error: %s\n", render.Clean(p.explain(err).message))
		}
		var refused *amtp.Error
		var told *failure
		if !errors.As(err, &refused) && !errors.As(err, &told) {
			break // no gateway: the rest would fail the same way
		}
	}
	return p.acknowledged(done, first)
}

// looksUp returns a line that describes the message, "" when the gateway gives none.
// The message is acknowledged in either case.
func (p *program) looksUp(ctx context.Context, c *amtp.Client, messageID amtp.MessageID) string {
	m, err := c.Message(ctx, messageID)
	if err != nil {
		return ""
	}
	return render.Head(&m.Message)
}

// acknowledged ends the command. A failure says what was done before it.
func (p *program) acknowledged(done []amtp.AckResult, first error) error {
	switch {
	case first == nil && !p.json:
		return nil
	case first == nil:
		return p.printJSON(struct {
			Acknowledged []amtp.AckResult `json:"acknowledged"`
		}{done})
	case len(done) == 0:
		return first
	}
	list := make([]amtp.MessageID, len(done))
	for i := range done {
		list[i] = done[i].MessageID
	}
	f := *p.explain(first)
	f.details = maps.Clone(f.details)
	if f.details == nil {
		f.details = make(map[string]any, 1)
	}
	f.details["acknowledged"] = list
	return &f
}
