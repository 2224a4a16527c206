package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const claimHelp = `Take messages out of the inbox to work on them. Until your lease on a message ends,
no other claim returns it: so several workers share one inbox, and each message goes
to one of them. Listing and reading the inbox still show it.

Finish with "amtp ack ID --lease TOKEN", give the message back with "amtp nack", or
refuse it with "amtp reject". Without any of these it returns by itself when the
lease ends; "amtp extend" moves that end. "amtp work" does all this around a command.

First come messages that were read or claimed before and have returned, then the
others, oldest first. Claimed messages are marked as read. With --wait the command
waits for a message; exit code 7 means that nothing came.`

const claimExamples = `  amtp claim
  amtp claim --max 5 --visibility 10m --wait 60s
  amtp claim --from alice@example.com --json`

// filterFlags are the flags that choose the messages of a claim.
type filterFlags struct{ from, thread, answers string }

func (f *filterFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "only messages from this `ADDRESS`, or name of your domain")
	flags.StringVar(&f.thread, "thread", "", "only messages of the thread that has this `ID`, or a message with it")
	flags.StringVar(&f.answers, "in-reply-to", "", "only answers to the message with this `ID`")
}

// chosen adds the flags to a claim.
func (p *program) chosen(ctx context.Context, id *profile.Identity, f *filterFlags, q *amtp.ClaimQuery) (err error) {
	if q.From, err = p.author(ctx, id, f.from); err != nil {
		return err
	}
	for name, given := range map[string]struct {
		text string
		into *amtp.MessageID
	}{"--thread": {f.thread, &q.Thread}, "--in-reply-to": {f.answers, &q.InReplyTo}} {
		if given.text == "" {
			continue
		}
		if *given.into, err = amtp.ParseMessageID(given.text); err != nil {
			return usageErrorf("%s: %v.", name, err)
		}
	}
	return nil
}

func (p *program) claimCommand() *cobra.Command {
	var q amtp.ClaimQuery
	var f filterFlags
	cmd := p.online(&cobra.Command{
		Use:     "claim",
		Short:   "Take messages to work on",
		Long:    claimHelp,
		Example: claimExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		if p.wait < 0 {
			return usageErrorf("--wait cannot be negative.")
		}
		self, err := p.selfOf(ctx, id)
		if err == nil {
			err = p.chosen(ctx, id, &f, &q)
		}
		if err != nil {
			return err
		}
		return p.claim(ctx, p.client(id), self, q)
	})
	flags := cmd.Flags()
	flags.IntVar(&q.Max, "max", 1, "how many messages, up to 100")
	flags.DurationVar(&q.Visibility, "visibility", time.Minute, "how long the leases last, 1s to 12h")
	flags.DurationVar(&p.wait, "wait", 0, "wait this long for a message, such as 60s")
	f.flags(cmd)
	p.mailboxFlag(cmd)
	return cmd
}

// selfOf returns the address of the inbox that a command works on.
func (p *program) selfOf(ctx context.Context, id *profile.Identity) (amtp.Address, error) {
	if err := id.Need(profile.MemberGateway, profile.MemberAddress, profile.MemberKey); err != nil {
		return amtp.Address{}, err
	}
	return p.self(ctx, id)
}

func (p *program) claim(ctx context.Context, c *amtp.Client, self amtp.Address, q amtp.ClaimQuery) error {
	claims, err := p.waitToClaim(ctx, c, self, q)
	if err != nil {
		return err
	}
	if p.json {
		err = p.printClaims(claims)
	} else {
		for i := range claims.Messages {
			p.printClaimed(&claims.Messages[i])
		}
	}
	if err == nil && len(claims.Messages) == 0 {
		if !p.json {
			p.printf("There is nothing to claim.\n")
		}
		if p.wait > 0 {
			return told(exitNothing)
		}
	}
	return err
}

// waitToClaim claims until a message is there or --wait has passed, even while the gateway
// is started anew.
func (p *program) waitToClaim(ctx context.Context, c *amtp.Client, self amtp.Address,
	q amtp.ClaimQuery) (amtp.Claims, error) {
	began := p.now()
	until := began.Add(p.wait)
	for answered := false; ; {
		q.Wait = min(max(until.Sub(p.now()), 0), holdTime).Round(time.Millisecond)
		claims, err := c.Claim(ctx, self, q)
		rest := until.Sub(p.now())
		switch {
		case away(err) && (answered || p.now().Sub(began) > goneTime) && rest > 0:
			if err := pause(ctx, min(time.Second, rest)); err != nil {
				return claims, err
			}
			continue
		case err != nil || len(claims.Messages) > 0 || rest <= 0:
			return claims, err
		}
		answered = true
	}
}

func (p *program) printClaims(claims amtp.Claims) error {
	list := make([]json.RawMessage, len(claims.Messages))
	for i := range claims.Messages {
		list[i] = claims.Messages[i].Raw
	}
	return p.printJSON(struct {
		Recipient amtp.Address      `json:"recipient"`
		Count     int               `json:"count"`
		Messages  []json.RawMessage `json:"messages"`
	}{claims.Recipient, len(list), list})
}

func (p *program) printClaimed(m *amtp.InboxMessage) {
	p.printf("%s\n  Message: %s\n", render.Head(&m.Received), render.MessageID(m.MessageID))
	if l := m.Lease; l != nil {
		p.printf("  Lease:   %s, until %s, attempt %d\n", render.Clean(l.Token), p.timeText(l.Until.Time), l.Attempt)
		p.notef("Read it: amtp read %s%s\n", render.MessageID(m.MessageID), p.again())
		p.notef("Done with it: amtp ack %s --lease %s%s\n", render.MessageID(m.MessageID), render.Clean(l.Token),
			p.again())
	}
}

// underLease makes a command that does one thing to a message under a lease.
func (p *program) underLease(cmd *cobra.Command, lease *string, needed bool,
	do func(ctx context.Context, c *amtp.Client, self amtp.Address, id amtp.MessageID) error) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd = p.online(cmd, func(ctx context.Context, id *profile.Identity, args []string) error {
		if len(args) == 0 || needed && *lease == "" {
			return usageErrorf("A message and its lease are required. Usage: amtp %s ID --lease TOKEN", cmd.Name())
		}
		self, err := p.selfOf(ctx, id)
		if err != nil {
			return err
		}
		_, err = withMessage(ctx, p, id, args[0], fromInbox, func(messageID amtp.MessageID) (struct{}, error) {
			return struct{}{}, do(ctx, p.client(id), self, messageID)
		})
		return err
	})
	cmd.Flags().StringVar(lease, "lease", "", "the `TOKEN` of the lease, as \"amtp claim\" showed it")
	p.mailboxFlag(cmd)
	return cmd
}

func (p *program) extendCommand() *cobra.Command {
	var lease string
	var visibility time.Duration
	cmd := p.underLease(&cobra.Command{
		Use:   "extend ID --lease TOKEN",
		Short: "Move the end of a lease on a message",
		Long: "Move the end of your lease on a message that you claimed: it then lasts for\n--visibility from now. Exit code 5 means that the lease had ended already, and that\n" +
			"somebody else may be working on the message.",
		Example: "  amtp extend ID --lease 4f2a9c0de81b7d35 --visibility 10m",
	}, &lease, true, func(ctx context.Context, c *amtp.Client, self amtp.Address, id amtp.MessageID) error {
		result, err := c.Extend(ctx, self, id, lease, visibility)
		if err != nil || p.json {
			return p.printedUnless(err, result)
		}
		p.printf("The lease on message %s lasts until %s.\n", render.MessageID(result.MessageID),
			p.timeText(result.Until.Time))
		return nil
	})
	cmd.Flags().DurationVar(&visibility, "visibility", time.Minute, "how long the lease lasts from now, 1s to 12h")
	return cmd
}

func (p *program) nackCommand() *cobra.Command {
	var lease, reason string
	var delay time.Duration
	cmd := p.underLease(&cobra.Command{
		Use:   "nack ID --lease TOKEN",
		Short: "Give a claimed message back",
		Long: "Give back a message that you claimed and did not finish. It may be claimed again, by\nanybody, at once or after --delay. The attempt stays counted. Exit code 5 means that\n" +
			"the lease had ended already.",
		Example: "  amtp nack ID --lease 4f2a9c0de81b7d35 --delay 5m --reason \"the printer is out of paper\"",
	}, &lease, true, func(ctx context.Context, c *amtp.Client, self amtp.Address, id amtp.MessageID) error {
		result, err := c.Nack(ctx, self, id, lease, delay, reason)
		if err != nil || p.json {
			return p.printedUnless(err, result)
		}
		p.printf("Message %s may be claimed again from %s on.\n", render.MessageID(result.MessageID),
			p.timeText(result.Until.Time))
		return nil
	})
	cmd.Flags().DurationVar(&delay, "delay", 0, "how long nobody gets the message, up to 12h")
	cmd.Flags().StringVar(&reason, "reason", "",
		"why, one line: `TEXT` that is named if the message becomes a dead letter")
	return cmd
}

func (p *program) rejectCommand() *cobra.Command {
	var lease, reason string
	cmd := p.underLease(&cobra.Command{
		Use:   "reject ID",
		Short: "Refuse the work that a message asks for",
		Long: "Refuse the work that a message asks for. It leaves the inbox for good and becomes a\ndead letter of the gateway. Its sender learns that, with the reason; a sender in\n" +
			"another domain only when its gateway gets receipts. A message that another worker\nhas claimed is refused only with the token of that lease: exit code 5.",
		Example: "  amtp reject ID --reason \"this agent prints no photographs\"\n  amtp reject ID --lease 4f2a9c0de81b7d35",
	}, &lease, false, func(ctx context.Context, c *amtp.Client, self amtp.Address, id amtp.MessageID) error {
		result, err := c.Reject(ctx, self, id, lease, reason)
		if err != nil || p.json {
			return p.printedUnless(err, result)
		}
		p.printf("Message %s rejected.\n", render.MessageID(result.MessageID))
		return nil
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, one line: `TEXT` that the sender sees")
	return cmd
}

// printedUnless prints a result as JSON, unless there is an error.
func (p *program) printedUnless(err error, result any) error {
	if err != nil {
		return err
	}
	return p.printJSON(result)
}

// holdTime is how long a gateway holds a claim that waits.
const holdTime = 30 * time.Second

// away reports whether a gateway did not answer, or said that it may do so later: it may be
// restarting.
func away(err error) bool {
	var lost *amtp.ConnectError
	var refused *amtp.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &refused):
		return refused.Status == http.StatusBadGateway || refused.Status == http.StatusServiceUnavailable
	}
	return errors.As(err, &lost)
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
