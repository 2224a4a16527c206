package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

// endpoint is where an agent has its messages pushed, as flags.
type endpoint struct {
	target  string
	headers []string // NAME=VALUE
	pull    bool
}

func (f *endpoint) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.target, "push", "", "have messages pushed to the `URL` of an endpoint, signed; see docs/push.md")
	flags.StringArrayVar(&f.headers, "push-header", nil, "a header `NAME=VALUE` that is sent to the endpoint, such as Authorization; may repeat")
}

// update adds to an update what the given flags ask for, and reports whether that
// is anything.
func (f *endpoint) update(u *amtp.AgentUpdate, given func(flag string) bool) (changed bool, err error) {
	if given("push") {
		mode := "push"
		u.DeliveryMode, u.PushTarget, changed = &mode, &f.target, true
	}
	if given("push-header") {
		headers := make(map[string]string, len(f.headers))
		for _, h := range notEmpty(f.headers) {
			name, value, ok := strings.Cut(h, "=")
			if !ok || name == "" {
				return false, usageErrorf("--push-header is written NAME=VALUE.")
			}
			if _, twice := headers[name]; twice {
				return false, usageErrorf("--push-header %s is given twice.", clean(name))
			}
			headers[name] = value
		}
		u.PushHeaders, changed = &headers, true
	}
	if f.pull {
		if given("push") || given("push-header") {
			return false, usageErrorf("Give --push or --pull, not both.")
		}
		mode := "pull"
		u.DeliveryMode, changed = &mode, true
	}
	return changed, nil
}

// printPushSecret shows a secret that was made, if one was.
func (p *program) printPushSecret(secret string) {
	if secret != "" {
		p.printf("  Push secret: %s\n  It verifies what is pushed and is shown this once.\n", clean(secret))
	}
}

const pushSecretHelp = `Make a new secret that signs what is pushed to an agent, and print it: it is shown
this once. For a day the one before it signs too, so that the endpoint can take
the new one when it suits it; with --now it ends at once.`

func (p *program) agentPushSecretCommand() *cobra.Command {
	var now bool
	cmd := p.online(&cobra.Command{
		Use:     "push-secret [NAME]",
		Short:   "Renew the secret that signs what is pushed",
		Long:    pushSecretHelp,
		Example: "  amtp agent push-secret\n  amtp agent push-secret bob --now --json",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *identity, args []string) error {
		name, err := id.meant(args)
		if err != nil {
			return err
		}
		var issued amtp.IssuedPushSecret
		err = p.manageMeant(id, args, "push-secret", func(c *amtp.Client) (err error) {
			issued, err = c.RenewPushSecret(ctx, name, now)
			return err
		})
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(issued)
		}
		p.printf("New push secret for %s.\n", addressText(issued.Address))
		p.printPushSecret(issued.PushSecret)
		if !issued.PreviousUntil.IsZero() {
			p.printf("  The one before it signs too until %s.\n", p.timeText(issued.PreviousUntil.Time))
		}
		return nil
	})
	cmd.Flags().BoolVar(&now, "now", false, "end the secret before it at once")
	return cmd
}
