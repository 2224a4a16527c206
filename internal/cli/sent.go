package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

const sentHelp = `List the messages that you sent, newest first, and what became of each.`

const sentExamples = `  amtp sent
  amtp sent --status failed
  amtp sent --to bob@localhost --limit 5`

func (p *program) sentCommand() *cobra.Command {
	q := amtp.MessageQuery{Sent: true}
	var status, to string
	cmd := p.online(&cobra.Command{
		Use:     "sent",
		Short:   "List messages that you sent",
		Long:    sentHelp,
		Example: sentExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *identity, _ []string) error {
		if err := id.need(memberGateway, memberKey); err != nil {
			return err
		}
		q.Status = amtp.Status(status)
		if to != "" {
			a, err := amtp.ParseAddress(to)
			if err != nil {
				return usageErrorf("--to: %v.", err)
			}
			q.Recipient = a
		}
		list, err := p.client(id).Messages(ctx, q)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		p.printSentList(list)
		return nil
	})
	flags := cmd.Flags()
	flags.IntVar(&q.Limit, "limit", 20, "at most `N` messages")
	flags.IntVar(&q.Offset, "offset", 0, "leave out the `N` newest, 10000 at the most")
	flags.StringVar(&status, "status", "", "only those in this `STATE`: pending, queued, delivering, retrying, delivered or failed")
	flags.StringVar(&to, "to", "", "only those to this `ADDRESS`")
	return cmd
}

func (p *program) printSentList(list amtp.MessageList) {
	if len(list.Messages) == 0 {
		p.printf("No messages.\n")
		return
	}
	total := plural(list.Total, "message")
	if list.TotalCapped {
		total = "more than " + total
	}
	p.printf("Sent (%s):\n\n", total)
	for i, m := range list.Messages {
		p.printf("  %d. [%s]\n", list.Offset+i+1, clean(string(m.MessageID)))
		if m.Subject != "" {
			p.printf("     Subject: %s\n", clean(m.Subject))
		}
		p.printf("     Time:    %s\n", timeText(m.CreatedAt.Time))
		p.printf("     Status:  %s\n", clean(string(m.Status)))
		for _, r := range m.Recipients {
			p.printf("     -> %s\n", recipientLine(r))
		}
		p.printf("\n")
	}
	if next := list.Offset + len(list.Messages); next < list.Total || list.TotalCapped {
		p.notef("There are more: amtp sent --offset %d\n", next)
	}
}
