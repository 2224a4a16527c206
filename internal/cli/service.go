package cli

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/render"
	"github.com/amtp-go/amtp/internal/service"
)

const serviceHelp = `Let the system run the gateway: it starts it at login or with the machine, starts
it again when it failed, and keeps its log.

  Linux   systemd. A unit of the user, in ~/.config/systemd/user; or with --system
          one of the machine, in /etc/systemd/system, which runs as a user of its
          own and keeps its data in /var/lib/amtp. The log is in the journal,
          which rotates it.
  macOS   launchd, an agent of the user in ~/Library/LaunchAgents. The log is in
          ~/Library/Logs/amtp; docs/operations.md says how newsyslog rotates it.

Elsewhere, and in a container, run "amtp serve" under what starts programs there.
With --dry-run everything is shown and nothing is done, on Linux and macOS.`

const serviceInstallHelp = `Write the service's file, start the service and let it start by itself from now
on. Run it again after an update of amtp, or to change settings: the gateway is
started anew. A file that you changed yourself is kept next to it as .bak; changes
that stay belong in a drop-in ("systemctl --user edit amtp").

The settings are those of "amtp serve". What is given here as a flag is in
the service's file, everybody may read it; amtp.yaml in the data directory is the
better place for most. The service does not see the variables of your terminal.

A unit of the user stops when the user logs out, unless "loginctl enable-linger"
was run once. A unit of the machine (--system, Linux) needs the right to write
in /etc, and reads variables from /etc/default/amtp.`

func (p *program) serviceCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "service",
		Short:   "Let the system run the gateway",
		Long:    serviceHelp,
		Example: "  amtp service install\n  sudo amtp service install --system\n  amtp service status\n  amtp service logs --follow\n  amtp service remove",
	})
	cmd.AddCommand(p.serviceInstallCommand(), p.serviceStatusCommand(), p.serviceLogsCommand(),
		p.serviceRemoveCommand())
	return cmd
}

// serviceFlag adds the flag that chooses the machine's manager.
func serviceFlag(cmd *cobra.Command, system *bool) {
	cmd.Flags().BoolVar(system, "system", false, "the service of the machine, not of the user (Linux)")
}

func (p *program) serviceInstallCommand() *cobra.Command {
	var system, dry bool
	var flags *config.FlagValues
	cmd := &cobra.Command{
		Use:     "install",
		Short:   "Install the gateway as a service, or bring it up to date",
		Long:    serviceInstallHelp,
		Example: "  amtp service install\n  amtp service install --dry-run\n  amtp service install --address 127.0.0.1:9000\n  sudo amtp service install --system --domain example.com --address :443 --tls-cert /etc/amtp/cert.pem --tls-key /etc/amtp/key.pem",
		Args:    cobra.NoArgs,
	}
	flags = config.Flags(cmd.Flags())
	serviceFlag(cmd, &system)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the file and the commands, and do nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := p.managerOf(system); err != nil { // there is none here, whatever the settings are
			return err
		}
		g, err := p.serviceGateway(cmd, flags, system)
		if err != nil {
			return err
		}
		m, err := p.manager(g)
		if err != nil {
			return err
		}
		if m.Packaged != "" && exists(m.Packaged) {
			return &failure{exit: exitConflict, code: codePackaged,
				message: "The unit " + m.Packaged + " came with a package; another one would hide it.",
				hint:    "sudo systemctl enable --now amtp, and settings in " + service.EnvironmentFile}
		}
		if dry {
			return p.printService(m)
		}
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		return p.installService(ctx, m, g.DataDir)
	}
	return cmd
}

func (p *program) serviceRemoveCommand() *cobra.Command {
	var system, dry bool
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Stop the service and remove its file",
		Long: `Stop the service and remove its file. Messages, keys and settings stay where they
are, in the data directory. A file that you changed is kept as .bak.`,
		Example: "  amtp service remove\n  amtp service remove --dry-run\n  sudo amtp service remove --system",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := p.managerOf(system)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return p.removeService(ctx, m, dry)
		},
	}
	serviceFlag(cmd, &system)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

func (p *program) serviceStatusCommand() *cobra.Command {
	var system bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the service is installed and runs",
		Long: `Say what the service manager knows of the gateway. The exit code is 0 when it
runs, 6 when it is installed and does not run, 4 when it is not installed.`,
		Example: "  amtp service status\n  amtp service status --system --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := p.managerOf(system)
			if err != nil {
				return err
			}
			if err := p.probe(cmd.Context(), m); err != nil {
				return err
			}
			s, err := m.Status(cmd.Context(), service.Commands(p.environ))
			if err != nil {
				return err
			}
			return p.printServiceStatus(s, m)
		},
	}
	serviceFlag(cmd, &system)
	return cmd
}

// probe fails when the service manager does not answer.
func (p *program) probe(ctx context.Context, m *service.Manager) error {
	if err := m.Answers(ctx, service.Commands(p.environ)); err != nil {
		return &failure{exit: exitNotFound, code: codeNoManager,
			message: "There is no " + m.Name + " that answers here: " + service.Said(err) + ".",
			hint:    `run "amtp serve" under what starts programs on this machine; "amtp service install --dry-run" shows what would be done`}
	}
	return nil
}

// badService says why the manager did not install or remove the service.
func badService(err error) error {
	var refused *service.CommandError
	switch {
	case errors.As(err, &refused):
		return &failure{exit: exitInternal, code: codeServiceFailed,
			message: "The service manager refuses " + strings.Join(refused.Argv, " ") + ": " + service.Said(refused.Err) + ".",
			hint:    `"amtp service status" and "amtp service logs" say more`}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return badPlace(err)
}

// installService writes the file and starts the service. It waits until the gateway
// listens or the manager says that the service does not run.
func (p *program) installService(ctx context.Context, m *service.Manager, dataDir string) error {
	if err := p.probe(ctx, m); err != nil {
		return err
	}
	run := service.Commands(p.environ)
	steps, err := m.Install(ctx, run)
	if err != nil {
		return badService(err)
	}
	url, s, err := m.Await(ctx, run, dataDir, p.now)
	if err != nil {
		return err
	}
	if url == "" {
		return &failure{exit: exitInternal, code: codeServiceFailed,
			message: "The service is installed, but no gateway of it listens: " + cmp.Or(s.State,
				"its state is not known") + ".",
			hint: `"amtp service logs" says why; correct it and run "amtp service install" again`}
	}
	if p.json {
		return p.printJSON(struct {
			Steps  []managedfile.Step `json:"steps"`
			URL    string             `json:"url"`
			Status service.Status     `json:"status"`
		}{steps, url, s})
	}
	if err := p.printSteps(steps, false); err != nil {
		return err
	}
	p.printf("The gateway runs at %s and starts by itself from now on.\n", render.Clean(url))
	if m.Advice != "" {
		p.notef("%s\n", m.Advice)
	}
	return nil
}

func (p *program) removeService(ctx context.Context, m *service.Manager, dry bool) error {
	steps, err := m.File.Take(true, false)
	if err != nil {
		return badPlace(err)
	}
	if len(steps) == 0 {
		return &failure{exit: exitNotFound, code: codeNoService,
			message: "There is no service that amtp installed: " + m.File.Path + " does not exist.",
			hint:    "a unit that came with a package is removed with the package"}
	}
	if dry {
		return p.printSteps(steps, true)
	}
	if err := p.probe(ctx, m); err != nil {
		return err
	}
	if steps, err = m.Remove(ctx, service.Commands(p.environ)); err != nil {
		return badService(err)
	}
	if err := p.printSteps(steps, false); err != nil || p.json {
		return err
	}
	p.printf("The service is stopped. Messages, keys and settings are where they were.\n")
	return nil
}

// printService shows what an installation would do.
func (p *program) printService(m *service.Manager) error {
	steps, err := m.File.Put(true)
	if err != nil {
		return badPlace(err)
	}
	if p.json {
		return p.printJSON(struct {
			DryRun   bool               `json:"dry_run"`
			Steps    []managedfile.Step `json:"steps"`
			Content  string             `json:"content"`
			Commands [][]string         `json:"commands"`
		}{true, steps, string(m.File.Content), m.Start})
	}
	if err := p.printSteps(steps, true); err != nil {
		return err
	}
	p.printf("\n%s", render.CleanBlock(string(m.File.Content)))
	p.printf("\nWould run:\n")
	for _, argv := range m.Start {
		p.printf("  %s\n", render.Clean(strings.Join(argv, " ")))
	}
	return nil
}

func (p *program) printServiceStatus(s service.Status, m *service.Manager) error {
	verdict := error(nil)
	switch {
	case !s.Installed:
		verdict = told(exitNotFound)
	case !s.Running:
		verdict = told(exitUnreachable)
	}
	if p.json {
		return errors.Join(verdict, p.printJSON(s))
	}
	if !s.Installed {
		p.printf("Not installed: %s knows no %s.\n", m.Name, m.Unit)
		p.notef("Install it: amtp service install\n")
		return verdict
	}
	p.printf("%s: %s\n", render.Clean(s.Unit), render.Clean(s.State))
	line := func(label, value string) {
		if value != "" {
			p.printf("  %-8s %s\n", label, render.Clean(value))
		}
	}
	if s.PID > 0 {
		line("Process:", strconv.Itoa(s.PID))
	}
	line("Since:", s.Since)
	line("Starts:", map[bool]string{true: "by itself", false: "only when told to"}[s.Starts])
	line("File:", s.File)
	line("Log:", "amtp service logs"+map[bool]string{true: " --system"}[strings.HasPrefix(m.File.Path, "/etc/")])
	return verdict
}
