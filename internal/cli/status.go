package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const statusHelp = `Show what became of a message, for each of its recipients: queued, delivering,
retrying, delivered or failed. While it is tried again: how often it was tried,
the last error, and when next. ID may be the message's number in the last list.

[READ] says that the recipient marked the message read, [ACK] in its place that it
is done with it, [REFUSED] that it refused the work or that its gateway gave up on
it; --json has all with the times. Of a recipient at this gateway that shows at once. Of one in another domain it shows
when the gateway there sends receipts, and some minutes later at times; until a
receipt came "delivered" is all that is known.`

func (p *program) statusCommand() *cobra.Command {
	return p.online(&cobra.Command{
		Use:     "status ID",
		Short:   "Check delivery status of a message",
		Long:    statusHelp,
		Example: "  amtp status ID\n  amtp status ID --json",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if len(args) == 0 {
			return usageErrorf("Message ID is required. Usage: amtp status <message-id>")
		}
		if err := id.Need(profile.MemberGateway); err != nil {
			return err
		}
		c := p.client(id)
		s, err := withMessage(ctx, p, id, args[0], "", func(messageID amtp.MessageID) (amtp.MessageStatus,
			error) {
			return c.Status(ctx, messageID)
		})
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(s)
		}
		p.printf("Message %s:\n  Status: %s\n", render.Clean(string(s.MessageID)), render.Clean(string(s.Status)))
		if len(s.Recipients) > 0 {
			p.printf("  Recipients:\n")
		}
		for _, r := range s.Recipients {
			p.printf("    - %s\n", render.Recipient(r))
		}
		if s.NextRetry != nil {
			p.printf("  Attempts: %d\n  Next retry: %s (%s)\n", s.Attempts, p.timeText(s.NextRetry.Time),
				p.until(*s.NextRetry))
		}
		return nil
	})
}
