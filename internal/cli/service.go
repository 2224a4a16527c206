package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
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

// manager is how one service manager runs the gateway: a file, and the commands
// that tell the manager about it.
type manager struct {
	name     string // systemd or launchd
	unit     string // what the manager calls the service
	file     managedfile.File
	dirs     []string   // that must exist before it starts
	probe    []string   // succeeds when the manager answers
	start    [][]string // after the file was written
	stop     [][]string // before it is taken away
	gone     [][]string // after that
	logs     func(lines string, follow bool) []string
	status   func(ctx context.Context, run runner) (serviceStatus, error)
	packaged string // a file that a package of the system would have installed
	advice   string // what a user should know after the installation
}

// serviceStatus is what the manager knows of the service.
type serviceStatus struct {
	Manager   string `json:"manager"`
	Unit      string `json:"unit"`
	File      string `json:"file"`
	Installed bool   `json:"installed"`
	Running   bool   `json:"running"`
	State     string `json:"state"` // in the manager's words
	Starts    bool   `json:"starts_by_itself"`
	PID       int    `json:"pid"`
	Since     string `json:"since,omitempty"`

	failed bool // the manager does not try again
}

// runner runs a command of the manager and returns what it printed.
type runner func(ctx context.Context, argv []string) (string, error)

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
		if _, err := p.managerOf(system); err != nil { // none here, whatever the settings are
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
		if m.packaged != "" && exists(m.packaged) {
			return &failure{exit: exitConflict, code: codePackaged,
				message: "The unit " + m.packaged + " came with a package; another one would hide it.",
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
			s, err := m.status(cmd.Context(), p.runManager)
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
func (p *program) probe(ctx context.Context, m *manager) error {
	if _, err := p.runManager(ctx, m.probe); err != nil {
		return &failure{exit: exitNotFound, code: codeNoManager,
			message: "There is no " + m.name + " that answers here: " + managerError(err) + ".",
			hint:    `run "amtp serve" under what starts programs on this machine; "amtp service install --dry-run" shows what would be done`}
	}
	return nil
}

// runManager runs a command with the user's environment.
func (p *program) runManager(ctx context.Context, argv []string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = p.environ
	out, err := cmd.Output()
	return string(out), err
}

// managerError is what a command of the manager had to say.
func managerError(err error) string {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		if said := strings.TrimSpace(string(failed.Stderr)); said != "" {
			first, _, _ := strings.Cut(said, "\n")
			return strings.TrimSuffix(first, ".")
		}
	}
	return err.Error()
}

// runAll runs commands of the manager one after the other.
func (p *program) runAll(ctx context.Context, commands [][]string) error {
	for _, argv := range commands {
		if _, err := p.runManager(ctx, argv); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &failure{exit: exitInternal, code: codeServiceFailed,
				message: "The service manager refuses " + strings.Join(argv, " ") + ": " + managerError(err) + ".",
				hint:    `"amtp service status" and "amtp service logs" say more`}
		}
	}
	return nil
}

// installService writes the file, starts the service and waits until the
// gateway listens or the manager says that it does not run.
func (p *program) installService(ctx context.Context, m *manager, dataDir string) error {
	if err := p.probe(ctx, m); err != nil {
		return err
	}
	for _, dir := range m.dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return badPlace(err)
		}
	}
	steps, err := m.file.Put(false)
	if err != nil {
		return badPlace(err)
	}
	if err := p.runAll(ctx, m.start); err != nil {
		return err
	}
	url, s, err := p.awaitService(ctx, m, dataDir)
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
			Status serviceStatus      `json:"status"`
		}{steps, url, s})
	}
	if err := p.printSteps(steps, false); err != nil {
		return err
	}
	p.printf("The gateway runs at %s and starts by itself from now on.\n", render.Clean(url))
	if m.advice != "" {
		p.notef("%s\n", m.advice)
	}
	return nil
}

func (p *program) removeService(ctx context.Context, m *manager, dry bool) error {
	steps, err := m.file.Take(true, false)
	if err != nil {
		return badPlace(err)
	}
	if len(steps) == 0 {
		return &failure{exit: exitNotFound, code: codeNoService,
			message: "There is no service that amtp installed: " + m.file.Path + " does not exist.",
			hint:    "a unit that came with a package is removed with the package"}
	}
	if dry {
		return p.printSteps(steps, true)
	}
	if err := p.probe(ctx, m); err != nil {
		return err
	}
	if err := p.runAll(ctx, m.stop); err != nil {
		return err
	}
	if steps, err = m.file.Take(false, false); err != nil {
		return badPlace(err)
	}
	if err := p.runAll(ctx, m.gone); err != nil {
		return err
	}
	if err := p.printSteps(steps, false); err != nil || p.json {
		return err
	}
	p.printf("The service is stopped. Messages, keys and settings are where they were.\n")
	return nil
}

// printService shows what an installation would do.
func (p *program) printService(m *manager) error {
	steps, err := m.file.Put(true)
	if err != nil {
		return badPlace(err)
	}
	if p.json {
		return p.printJSON(struct {
			DryRun   bool               `json:"dry_run"`
			Steps    []managedfile.Step `json:"steps"`
			Content  string             `json:"content"`
			Commands [][]string         `json:"commands"`
		}{true, steps, string(m.file.Content), m.start})
	}
	if err := p.printSteps(steps, true); err != nil {
		return err
	}
	p.printf("\n%s", render.CleanBlock(string(m.file.Content)))
	p.printf("\nWould run:\n")
	for _, argv := range m.start {
		p.printf("  %s\n", render.Clean(strings.Join(argv, " ")))
	}
	return nil
}

func (p *program) printServiceStatus(s serviceStatus, m *manager) error {
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
		p.printf("Not installed: %s knows no %s.\n", m.name, m.unit)
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
	line("Log:", "amtp service logs"+map[bool]string{true: " --system"}[strings.HasPrefix(m.file.Path, "/etc/")])
	return verdict
}

// startTime is how long a gateway may take until it listens. Opening a large
// database after a crash takes longest.
const startTime = 15 * time.Second

// awaitService waits until the service is the gateway that listens for the data
// directory, and returns its URL; "" when that does not come.
func (p *program) awaitService(ctx context.Context, m *manager, dataDir string) (url string,
	s serviceStatus, err error) {
	for until := p.now().Add(startTime); ; {
		running, claimed := datadir.Holder(dataDir)
		if s, err = m.status(ctx, p.runManager); err != nil {
			return "", s, err
		}
		if claimed && s.Running && running.PID == s.PID {
			return running.URL, s, nil
		}
		if s.failed || !p.now().Before(until) {
			return "", s, nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return "", s, err
		}
	}
}
