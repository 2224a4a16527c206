package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const sentHelp = `List the messages that you sent, newest first, and what became of each.

More than the gateway shows at once are asked for page by page, up to --limit;
--all lists everything. What is left is named below the list. The numbers count for
"amtp read" and "amtp status".`

const sentExamples = `  amtp sent
  amtp sent --status failed
  amtp sent --to bob@localhost --limit 5
  amtp sent --all --json`

func (p *program) sentCommand() *cobra.Command {
	q := amtp.MessageQuery{Sent: true}
	var status, to string
	var l listing
	var cmd *cobra.Command
	cmd = p.online(&cobra.Command{
		Use:     "sent",
		Short:   "List messages that you sent",
		Long:    sentHelp,
		Example: sentExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		if err := id.Need(profile.MemberGateway, profile.MemberKey); err != nil {
			return err
		}
		if err := l.check(cmd); err != nil {
			return err
		}
		if q.Offset > 0 && l.cursor != "" {
			return usageErrorf("Give --offset or --cursor, not both.")
		}
		q.Status = amtp.Status(status)
		if to != "" {
			a, err := amtp.ParseAddress(to)
			if err != nil {
				return usageErrorf("--to: %v.", err)
			}
			q.Recipient = a
		}
		list, err := p.sentPages(ctx, p.client(id), q, &l)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		p.printSentList(id, list, &l)
		return nil
	})
	flags := cmd.Flags()
	l.flags(cmd, 20, "messages", false)
	flags.IntVar(&q.Offset, "offset", 0, "leave out the `N` newest, 10000 at the most")
	flags.StringVar(&status, "status", "",
		"only those in this `STATE`: pending, queued, delivering, retrying, delivered or failed")
	flags.StringVar(&q.Label, "label", "", "only those with your label `NAME` (see amtp label)")
	flags.StringVar(&to, "to", "", "only those to this `ADDRESS`")
	return cmd
}

// sentPages asks for as much of the list as the user wants. Total is that of the first
// page. Where the gateway stopped counting, Total is the number of messages seen, if that
// is larger.
func (p *program) sentPages(ctx context.Context, c *amtp.Client, q amtp.MessageQuery,
	l *listing) (all amtp.MessageList, err error) {
	err = l.each(func(limit int, cursor string) (page, error) {
		q.Limit, q.Cursor = limit, cursor
		next, err := c.Messages(ctx, q)
		if err != nil {
			return page{}, err
		}
		if all.Messages == nil {
			all = next
		} else {
			all.Messages = append(all.Messages, next.Messages...)
			all.HasMore, all.NextCursor, all.Incomplete = next.HasMore, next.NextCursor, next.Incomplete
			all.Total, all.TotalCapped = max(all.Total, all.Offset+len(all.Messages)), all.TotalCapped && all.HasMore
		}
		all.Limit = max(all.Limit, len(all.Messages))
		q.Offset = 0 // the pages after the first begin at a cursor
		return page{len(next.Messages), next.HasMore, next.NextCursor}, nil
	})
	return all, err
}

func (p *program) printSentList(id *profile.Identity, list amtp.MessageList, l *listing) {
	if len(list.Messages) == 0 {
		p.printf("No messages.\n")
		if list.NextCursor != "" { // none of the examined messages is wanted
			p.notef("There may be older ones: %s\n", l.goesOn(list.NextCursor))
		}
		return
	}
	p.printf("Sent (%s):\n\n", shownOf(len(list.Messages), list.Total, list.TotalCapped, true, "message"))
	for i, m := range list.Messages {
		p.printf("  %d. [%s]\n", list.Offset+i+1, render.Clean(string(m.MessageID)))
		if m.Subject != "" {
			p.printf("     Subject: %s\n", render.Clean(m.Subject))
		}
		p.printf("     Time:    %s\n", p.timeAndAge(m.CreatedAt, m.CreatedAt))
		p.printf("     Status:  %s\n", render.Clean(string(m.Status)))
		for _, r := range m.Recipients {
			p.printf("     -> %s\n", render.Recipient(r))
		}
		p.printf("\n")
	}
	ids := make([]amtp.MessageID, len(list.Messages))
	for i := range ids {
		ids[i] = list.Messages[i].MessageID
	}
	p.remember(id, shownList{What: fromSent, From: list.Offset + 1, IDs: ids})
	if list.NextCursor != "" {
		p.notef("There are more: %s\n", l.goesOn(list.NextCursor))
	} else if next := list.Offset + len(list.Messages); next < list.Total || list.TotalCapped {
		p.notef("There are more: %s\n", l.goesOnFrom("offset", strconv.Itoa(next)))
	}
}
