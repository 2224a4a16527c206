package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/render"
)

const limitsHelp = `What callers may cause in a time, and how much of it they use: messages and bytes
by network, by domain, by sender and by inbox, the free room of the disk, and the
connections. What was used comes back evenly. Beyond a limit the answer is 429
RATE_LIMIT_EXCEEDED, and says when to try again.

A stranger proved nothing; a newcomer is a domain that signs since less than a
day; known is one that has signed for longer; an agent shows a key. All rates
follow from limits.messages_per_minute and limits.bytes_per_minute.

It needs the gateway's admin key: AMTP_ADMIN_KEY, unless the gateway runs on
this machine from a data directory that you can read. Of several gateways on one
database the one that answers tells what it knows.`

func (p *program) limitsCommand() *cobra.Command {
	var rates bool
	cmd := p.asOperator(&cobra.Command{
		Use:     "limits",
		Short:   "Show the limits on volume, and what is used of them",
		Long:    limitsHelp,
		Example: "  amtp limits\n  amtp limits --rates\n  amtp limits --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		report, err := c.Limits(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(report)
		}
		if rates {
			p.printRates(report)
		} else {
			p.printUsed(report)
		}
		return nil
	})
	cmd.Flags().BoolVar(&rates, "rates", false, "the limits themselves, in place of what is used of them")
	return cmd
}

// printRates prints the limits.
func (p *program) printRates(r admin.LimitReport) {
	rows := [][]string{{"WHO", "BY", "MESSAGES AT ONCE", "A MINUTE", "BYTES AT ONCE", "A MINUTE", "REFUSED"}}
	for _, l := range r.Limits {
		bytes, perMinute := "", ""
		if l.Bytes > 0 {
			bytes, perMinute = plaintext.Size(l.Bytes), plaintext.Size(l.BytesMinute)
		}
		rows = append(rows, []string{l.Class, l.Of, strconv.FormatInt(l.Messages, 10),
			strconv.FormatInt(l.MessagesMinute, 10),
			bytes, perMinute, strconv.FormatInt(l.Refused, 10)})
	}
	p.printTable(rows)
}

// printUsed prints how much is used, and by which agent or domain.
func (p *program) printUsed(r admin.LimitReport) {
	most := make(map[[2]string]admin.Limit, len(r.Limits))
	refused := int64(0)
	for _, l := range r.Limits {
		most[[2]string{l.Class, l.Of}] = l
		refused += l.Refused
	}
	if len(r.Used) == 0 {
		p.printf("Nothing is used of the limits.\n")
	} else {
		rows := [][]string{{"USED", "WHO", "BY", "NAME", "MESSAGES", "BYTES", "REFUSED"}}
		for _, u := range r.Used {
			l, bytes := most[[2]string{u.Class, u.Of}], ""
			if l.Bytes > 0 {
				bytes = plaintext.Size(u.Bytes) + " of " + plaintext.Size(l.Bytes)
			}
			rows = append(rows, []string{fmt.Sprintf("%.0f%%", u.Share*100), u.Class, u.Of, u.Name,
				fmt.Sprintf("%d of %d", u.Messages, l.Messages), bytes, strconv.FormatInt(u.Refused, 10)})
		}
		p.printTable(rows)
	}
	p.printf("\nRefused since the start: %s because of a limit, %s because the disk was short.\n",
		render.Plural(int(refused), "request"), render.Plural(int(r.RefusedShort), "request"))
	if d := r.Disk; d != nil {
		p.printf("Disk: %s free; strangers are served while %s are.\n", plaintext.Size(d.Free), plaintext.Size(d.Least))
	}
	if c := r.Connections; c != nil {
		p.printf("Connections: %d of %d open, %d of them strangers'; %d are kept from strangers; %d were refused, %d gave way to others.\n",
			c.Open, c.Most, c.Strangers, c.Reserve, c.Refused, c.GaveWay)
	}
}
