package cli

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// endpoint is the place to which an agent has its messages pushed, as flags.
type endpoint struct {
	target  string
	headers []string // NAME=VALUE
	from    string   // a file of such lines, - for stdin
	pull    bool
	cmd     *cobra.Command
}

func (f *endpoint) flags(cmd *cobra.Command) {
	f.cmd = cmd
	flags := cmd.Flags()
	flags.StringVar(&f.target, "push", "", "have messages pushed to the `URL` of an endpoint, signed; see docs/push.md")
	flags.StringArrayVar(&f.headers, "push-header", nil,
		"a header `NAME=VALUE` that is sent to the endpoint, such as Authorization; may repeat; every user of the machine can read it there")
	flags.StringVar(&f.from, "push-header-file", "", "`FILE` with such headers, NAME=VALUE on each line; - is stdin")
}

// update adds the values of the given flags to an update, and reports whether there are
// any.
func (f *endpoint) update(u *amtp.AgentUpdate, given func(flag string) bool) (changed bool, err error) {
	if given("push") {
		mode := "push"
		u.DeliveryMode, u.PushTarget, changed = &mode, &f.target, true
	}
	if given("push-header") || given("push-header-file") {
		lines, err := f.lines()
		if err != nil {
			return false, err
		}
		headers := make(map[string]string, len(lines))
		for _, h := range lines {
			name, value, ok := strings.Cut(h, "=")
			if !ok || name == "" {
				return false, usageErrorf("--push-header is written NAME=VALUE.")
			}
			if _, twice := headers[name]; twice {
				return false, usageErrorf("--push-header %s is given twice.", render.Clean(name))
			}
			headers[name] = value
		}
		u.PushHeaders, changed = &headers, true
	}
	if f.pull {
		if given("push") || given("push-header") || given("push-header-file") {
			return false, usageErrorf("Give --push or --pull, not both.")
		}
		mode := "pull"
		u.DeliveryMode, changed = &mode, true
	}
	return changed, nil
}

// lines returns the headers as they were given, those of the file last.
func (f *endpoint) lines() ([]string, error) {
	lines := notEmpty(f.headers)
	var content []byte
	var err error
	switch f.from {
	case "":
		return lines, nil
	case "-":
		content, err = io.ReadAll(io.LimitReader(f.cmd.InOrStdin(), maxSecret))
	default:
		content, err = os.ReadFile(f.from)
	}
	if err != nil {
		return nil, usageErrorf("--push-header-file: %s", render.Sentence(err))
	}
	for line := range strings.Lines(string(plaintext.Content(content))) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// maxSecret is larger than any secret that is read from stdin, in bytes.
const maxSecret = 64 << 10

// secretArgument returns an argument that is secret, read from stdin where it is -.
func (p *program) secretArgument(given string) (string, error) {
	if given != "-" {
		return given, nil
	}
	b, err := io.ReadAll(io.LimitReader(p.stdin, maxSecret))
	if err != nil {
		return "", usageErrorf("stdin: %s", render.Sentence(err))
	}
	return plaintext.Word(string(plaintext.Content(b))), nil
}

// renewSecret is the hint for a secret that was made and could not be shown.
const renewSecret = `make room where the result goes; then "amtp agent push-secret" makes another secret`

// printPushSecret shows a new secret, if there is one.
func (p *program) printPushSecret(secret string) {
	if secret != "" {
		p.ifLost = renewSecret
		p.printf("  Push secret: %s\n  It verifies what is pushed and is shown this once.\n", render.Clean(secret))
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
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		name, err := meant(id, args)
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
		p.ifLost = renewSecret
		if p.json {
			return p.printJSON(issued)
		}
		p.printf("New push secret for %s.\n", render.Address(issued.Address))
		p.printPushSecret(issued.PushSecret)
		if !issued.PreviousUntil.IsZero() {
			p.printf("  The one before it signs too until %s.\n", p.timeText(issued.PreviousUntil.Time))
		}
		return nil
	})
	cmd.Flags().BoolVar(&now, "now", false, "end the secret before it at once")
	return cmd
}
