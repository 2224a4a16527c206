package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/render"
)

const keysHelp = `The keys with which the gateway signs what it sends to other domains. Others find
the public part in DNS: one TXT record for each key.

The first key is made at the first start with a domain; publish its record and
you are done. To change it later, without a message being refused:

  1. amtp keys rotate        makes the next key; the present one goes on
  2. publish its record      next to the one that is there
  3. wait an hour            name servers may remember that it was not there
  4. amtp keys use SELECTOR  it signs from now on
  5. leave the former record for 8 days: messages that it signed may still be on
     their way. "amtp keys list" says until when.

"amtp keys generate" makes the next key of another algorithm or under a name of your
own. A key that you have already, and perhaps published, comes along with "amtp keys
import", or by AMTP_SIGNATURE_PRIVATE_KEY_FILE and AMTP_SIGNATURE_KEY_ID, which the
gateway reads when it starts.

They need the gateway's admin key: AMTP_ADMIN_KEY, unless the gateway runs on
this machine from a data directory that you can read, in which it is found by
itself. The private parts never leave the gateway; they are sealed with seal.key of the data directory, which no
backup holds.`

const keysExamples = `  amtp keys list
  amtp keys rotate
  amtp keys use 20261122
  amtp keys import key.pem --selector k1`

func (p *program) keysCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "keys",
		Short:   "Show and change the keys that sign for the domain",
		Long:    keysHelp,
		Example: keysExamples,
	})
	cmd.AddCommand(p.keysListCommand(), p.keysRotateCommand(), p.keysGenerateCommand(), p.keysImportCommand(),
		p.keysUseCommand(), p.keysRetireCommand(), p.keysResetCommand())
	return cmd
}

func (p *program) keysListCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:     "list",
		Short:   "List the keys and their records for DNS",
		Long:    "List the keys that sign for the domain, oldest first, each with the line that a\nzone file needs for it.",
		Example: "  amtp keys list\n  amtp keys list --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		list, err := c.SigningKeys(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		p.printf("Signing keys of %s:\n\n", render.Clean(string(list.Domain)))
		for i := range list.Keys {
			p.printKey(&list.Keys[i])
			p.printf("\n")
		}
		return nil
	})
}

func (p *program) printKey(k *admin.SigningKey) {
	what := map[admin.KeyState]string{admin.KeyWaiting: "waits; publish it, then use it",
		admin.KeyActive: "signs what is sent", admin.KeyRetired: "retired"}[k.State]
	p.printf("%s  %s\n", render.Clean(k.Selector), what)
	line := func(label string, t amtp.Time) {
		if !t.IsZero() {
			p.printf("  %-13s %s\n", label, p.timeText(t.Time))
		}
	}
	p.printf("  %-13s %s\n", "Algorithm:", render.Clean(k.Algorithm))
	line("Made:", k.Created)
	line("Signs since:", k.Active)
	line("Retired:", k.Retired)
	if k.State == admin.KeyRetired && !k.Until.After(p.now()) {
		p.printf("  Its record is no longer needed.\n")
		return
	}
	line("Needed until:", k.Until)
	p.printf("  %s\n", zoneLine(k))
}

// zoneLine is the key's record as a line of a zone file.
func zoneLine(k *admin.SigningKey) string { return newTXT(render.Clean(k.Name), k.Record).Zone }

func (p *program) keysRotateCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:     "rotate",
		Short:   "Make the next key",
		Long:    "Make the next key, of the algorithm in use, and print its record, ready for the\nzone file. The present key goes on signing. When a key waits already, it is that one.",
		Example: "  amtp keys rotate",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		k, err := c.RotateSigningKey(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(admin.SigningKeyChange{Key: k})
		}
		p.printWaiting(&k)
		return nil
	})
}

func (p *program) printWaiting(k *admin.SigningKey) {
	p.printf("The key %s waits; the present one goes on signing. Publish in addition:\n\n  %s\n\nAn hour after it can be found in DNS: amtp keys use %s\n",
		render.Clean(k.Selector), zoneLine(k), render.Clean(k.Selector))
}

func (p *program) keysUseCommand() *cobra.Command {
	var now bool
	cmd := p.asOperator(&cobra.Command{
		Use:   "use SELECTOR",
		Short: "Sign with the key that waits",
		Long: `Sign with the key that waits from now on, and retire the one before it. Exit code
5 while the record has not been in DNS for an hour: the first call after it was
published begins to count, and the answer says from when on it will do.

With --now it is used at once: for a key that was published before it was imported,
or when it cannot wait. A gateway that looked for the key too early forgets within
half a minute that it was not there, the name servers between it and yours perhaps
after an hour; what it refuses until then is sent again.

Where AMTP_SIGNATURE_PRIVATE_KEY_FILE names the key that signs, no other one is used:
exit code 5.`,
		Example: "  amtp keys use 20261122\n  amtp keys use 20261122 --now",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		k, err := c.UseSigningKey(ctx, args[0], now)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(admin.SigningKeyChange{Key: k})
		}
		p.printf("The key %s signs from now on. Leave the record of the former one in DNS; how long: amtp keys list\n",
			render.Clean(k.Selector))
		return nil
	})
	cmd.Flags().BoolVar(&now, "now", false, "whether others can know the key or not")
	return cmd
}

func (p *program) keysRetireCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:     "retire SELECTOR",
		Short:   "End a key that waits",
		Long:    "End a key that waits, so that it is never used. The one that signs ends when\nanother takes its place: \"amtp keys use\".",
		Example: "  amtp keys retire 20261122",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		k, err := c.RetireSigningKey(ctx, args[0])
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(admin.SigningKeyChange{Key: k})
		}
		p.printf("The key %s is retired.", render.Clean(k.Selector))
		if k.Until.After(p.now()) {
			p.printf(" Its record is needed until %s.\n", p.timeText(k.Until.Time))
		} else {
			p.printf(" Its record is no longer needed.\n")
		}
		return nil
	})
}

const keysResetHelp = `Make a new signing key when those of a data directory can no longer be opened,
because its seal.key is lost: after a restore on another machine, for example.
If you have seal.key somewhere, put it back instead; then nothing has changed.

The gateway must not be running. The lost keys are retired, and the new one signs
from the next start on. Nobody knows it yet: publish its record first. Until
others find it they refuse what this gateway sends, and it is sent again for a
day. Keys that can be opened are kept: change those with "amtp keys rotate".

The domain and the data directory are those that "amtp serve" would use.`

func (p *program) keysResetCommand() *cobra.Command {
	var flags *config.FlagValues
	cmd := &cobra.Command{
		Use:     "reset",
		Short:   "Make a new key when seal.key is lost",
		Long:    keysResetHelp,
		Example: "  amtp keys reset --data-dir /var/lib/amtp --domain example.com",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := config.Load(config.Sources{Flags: flags, Environ: p.environ})
			if err != nil {
				return badConfig(err)
			}
			done, err := operate.ResetKeys(cmd.Context(), cfg)
			switch {
			case errors.Is(err, operate.ErrNothingLost):
				return &failure{exit: exitConflict, code: amtp.CodeConflict, message: render.Sentence(err)}
			case errors.Is(err, operate.ErrNoDomain):
				return usageErrorf("%s", render.Sentence(err))
			case err != nil:
				return p.badCopy(err, cfg.DataDir)
			case p.json:
				return p.printJSON(done)
			}
			p.printf("The key %s signs from the next start on. Publish it before that:\n\n  %s\n",
				render.Clean(done.Key.Selector), zoneLine(&done.Key))
			if done.Aside != "" {
				p.printf("\nThe file that was no seal key: %s\n", render.Clean(done.Aside))
			}
			return nil
		},
	}
	flags = config.Flags(cmd.Flags())
	return cmd
}
