package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const domainSetupHelp = `Give the gateway of this machine a domain of its own: write it into the configuration
file, make the key that signs for it, and print the TXT records that DNS needs, with
what to do next.

The agents of localhost get addresses in the domain when the gateway starts in it. The
former ones stay: mail to NAME@localhost still reaches them on this machine, keys and
saved identities go on, and so does everything in their inboxes.

The flags of "amtp serve" are written into the file. Where the gateway gets an address
that other machines reach, the one that it had on this machine stays as a second
listener (server.local_address), so that whoever used it goes on.

The gateway may be running. It serves the domain from its next start on; the command
says what to start anew. Run it again as often as you like: it changes what differs,
keeps the key, and prints the records again.

A gateway that serves a domain already gets another with --rename only: its agents move
there, and whoever writes to their former addresses is told that they are not there.
Each of them runs "amtp setup" again, which keeps its key.`

const domainSetupExamples = `  amtp domain setup example.com
  amtp domain setup example.com --address :443 --tls-cert fullchain.pem --tls-key key.pem
  amtp domain setup example.com --address :443 --acme --acme-accept-terms
  amtp domain setup example.com --public-url https://gateway.example.com --json`

func (p *program) domainSetupCommand() *cobra.Command {
	var flags *config.FlagValues
	var rename bool
	cmd := &cobra.Command{
		Use:     "setup DOMAIN",
		Short:   "Give the gateway a domain, and print what DNS needs",
		Long:    domainSetupHelp,
		Example: domainSetupExamples,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := amtp.ParseDomain(args[0])
			switch {
			case err != nil:
				return usageErrorf("%q is not a domain: %v.", args[0], err)
			case cmd.Flags().Changed("domain"):
				return usageErrorf("The domain is named without a flag. Usage: %s", cmd.UseLine())
			case d == "localhost" || !strings.Contains(string(d), "."):
				return usageErrorf("%q is no domain that others could find; it has a dot, as example.com.", args[0])
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			s := &domainSetup{program: p, domain: d, rename: rename}
			if err := s.plan(flags); err != nil {
				return err
			}
			if err := s.prepare(ctx); err != nil {
				return err
			}
			if err := s.write(); err != nil {
				return err
			}
			return s.print()
		},
	}
	flags = config.Flags(cmd.Flags())
	cmd.Flags().Lookup("domain").Hidden = true
	cmd.Flags().BoolVar(&rename, "rename", false, "give up the domain that the gateway serves")
	return cmd
}

// domainSetup is one setup. It makes its plan first and writes last, so that a refused
// setup has changed nothing.
type domainSetup struct {
	*program
	domain  amtp.Domain
	rename  bool
	before  config.Config // the gateway's configuration without this command
	cfg     config.Config // the configuration with it
	file    string        // the configuration file
	content []byte        // its new content
	changed []string      // the keys that change
	running datadir.Running
	runs    bool // a gateway runs in the data directory
	done    admin.DomainPlan
}

// plan finds out what the configuration file will contain, and that a gateway can start
// with it.
func (s *domainSetup) plan(flags *config.FlagValues) (err error) {
	if s.before, _, err = config.Load(config.Sources{Flags: flags.Where(), Environ: s.environ}); err != nil {
		return badConfig(err)
	}
	if now := s.before.Server.Domain; s.before.Federated() && now != s.domain && !s.rename {
		f := &failure{exit: exitConflict, code: amtp.CodeConflict,
			message: "This gateway serves " + string(now) + " already."}
		f.hint = "a second domain takes a second gateway, with --data-dir; to give up " + string(now) + ": --rename"
		return f
	}
	if s.file = s.before.File(); s.file == "" {
		s.file = filepath.Join(s.before.DataDir, config.FileName)
	}
	if owner := foreignOwner(s.before.DataDir); owner != "" {
		f := usageErrorf("The data directory %s belongs to the user %s, and a gateway of that user could not use what this command makes there.",
			s.before.DataDir, owner)
		f.hint = "sudo -u " + owner + " amtp domain setup " + string(s.domain) + " --data-dir " +
			shellQuote([]string{s.before.DataDir})
		return f
	}
	if err := datadir.Foreign(s.file); err != nil && filepath.Base(s.file) != config.FileName {
		return usageErrorf("%s", render.Sentence(err))
	}
	content, err := os.ReadFile(s.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usageErrorf("%s", render.Sentence(err))
	}
	changes, err := flags.Changes()
	if err != nil {
		return err
	}
	changes = append([]config.Change{{Section: "server", Key: "domain", Value: string(s.domain)}}, changes...)
	if now := s.before.Server.Domain; s.before.Federated() && now != s.domain {
		changes = append(changes, config.Change{Section: "server", Key: "former_domains",
			Value: joinDomains(s.before.Server.FormerDomains, now, s.domain)})
	}
	if err := s.apply(flags, content, changes); err != nil {
		return err
	}
	// Clients of the listener on this machine go on using it.
	if s.losesLocal() {
		changes = append(changes, config.Change{Section: "server", Key: "local_address",
			Value: s.before.Server.Address})
		return s.apply(flags, content, changes)
	}
	return nil
}

// joinDomains lists the domains that the gateway gave up and one more, without its new
// domain.
func joinDomains(former []amtp.Domain, one, but amtp.Domain) string {
	var list []string
	for _, d := range append(slices.Clone(former), one) {
		if d != but && !slices.Contains(list, string(d)) {
			list = append(list, string(d))
		}
	}
	return strings.Join(list, ",")
}

// losesLocal reports whether programs of this machine would no longer find the gateway
// at the address that they know, in plain HTTP.
func (s *domainSetup) losesLocal() bool {
	_, before, err := net.SplitHostPort(s.before.Server.Address)
	_, now, err2 := net.SplitHostPort(s.cfg.Server.Address)
	return err == nil && err2 == nil && before != now && s.before.Loopback() && !s.before.UseTLS() && s.cfg.UseTLS() &&
		s.cfg.Server.LocalAddress == ""
}

// apply tries the changes of the file.
func (s *domainSetup) apply(flags *config.FlagValues, content []byte, changes []config.Change) (err error) {
	s.changed = nil
	s.content = content
	for _, c := range changes {
		next, err := config.Edited(s.content, []config.Change{c})
		if err != nil {
			return usageErrorf("The file %s was not changed: %v.", s.file, err)
		}
		if !bytes.Equal(next, s.content) {
			s.changed = append(s.changed, strings.TrimPrefix(c.Section+"."+c.Key, "."))
		}
		s.content = next
	}
	s.cfg, _, err = config.Load(config.Sources{Flags: flags.Where(), Environ: s.environ, Content: s.content})
	switch {
	case err != nil:
		return badConfig(err)
	case s.cfg.Server.Domain != s.domain:
		return usageErrorf("AMTP_DOMAIN is %s, and takes precedence over the file: unset it, or set it to %s.",
			s.cfg.Server.Domain, s.domain)
	}
	return nil
}

// prepare makes the key, through the gateway if one runs.
func (s *domainSetup) prepare(ctx context.Context) (err error) {
	s.running, s.runs = datadir.Holder(s.cfg.DataDir)
	if !s.runs {
		s.done, err = operate.PrepareDomain(ctx, s.cfg)
		return s.explainPrepare(err)
	}
	if serves := amtp.Domain(s.running.Domain); serves != "localhost" {
		// It has its keys, whatever domain they are for.
		s.done = admin.DomainPlan{Domain: s.domain, Serves: serves}
		s.done.Keys, err = operate.SigningKeys(ctx, s.cfg)
		return s.explainPrepare(err)
	}
	key := s.getenv("AMTP_ADMIN_KEY")
	if key == "" {
		key, _ = datadir.AdminKey(s.cfg.DataDir, s.running.URL)
	}
	if key == "" {
		f := profile.Missing(profile.MemberAdminKey, "Set AMTP_ADMIN_KEY env var, or stop the gateway that runs here.")
		f.Hint = "the gateway has its admin key from its configuration"
		return f
	}
	c := &admin.Client{Client: amtp.Client{URL: s.running.URL, AdminKey: key,
		HTTP: s.reachIn(s.cfg.DataDir, s.running.URL), UserAgent: userAgent()}}
	s.done, err = c.PrepareDomain(ctx, s.domain)
	return err
}

// stale reports whether a gateway runs with an older content of the file.
func (s *domainSetup) stale() bool {
	if !s.runs || len(s.changed) > 0 || s.done.Serves != s.domain {
		return s.runs
	}
	file, err := os.Stat(s.file)
	start, err2 := os.Stat(filepath.Join(s.cfg.DataDir, datadir.GatewayFile))
	return err == nil && err2 == nil && file.ModTime().After(start.ModTime())
}

func (s *domainSetup) explainPrepare(err error) error {
	var refused *amtp.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Code == amtp.CodeConflict:
		return &failure{exit: exitConflict, code: refused.Code, message: refused.Message, details: refused.Details}
	case refused != nil:
		return refused
	case errors.Is(err, operate.ErrSealLost):
		return &failure{exit: exitConflict, code: amtp.CodeConflict, message: render.Sentence(err)}
	}
	return s.badCopy(err, s.cfg.DataDir)
}

// write replaces the configuration file if something changes. Its mode stays, so every user
// who could read it still can.
func (s *domainSetup) write() error {
	if len(s.changed) == 0 {
		return nil
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(s.file); err == nil {
		mode = info.Mode().Perm()
	}
	err := managedfile.Replace(managedfile.Target(s.file), s.content)
	if err == nil {
		err = os.Chmod(s.file, mode)
	}
	if err != nil {
		return &failure{exit: exitInternal, code: amtp.CodeInternal,
			message: "Cannot write the configuration file: " + err.Error() + "."}
	}
	return nil
}
