package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/render"
	"github.com/amtp-go/amtp/internal/service"
)

// serviceGateway is the gateway that the service will run: this program, with the given
// settings. They are checked as the service will see them.
func (p *program) serviceGateway(cmd *cobra.Command, flags *config.FlagValues,
	system bool) (g service.Gateway, err error) {
	g = service.Gateway{System: system, DataDir: service.StateDir}
	if g.Program, err = p.installedProgram(system); err != nil {
		return g, err
	}
	set := cmd.Flags()
	given := ""
	if f := set.Lookup("data-dir"); f.Changed {
		given = f.Value.String()
	}
	switch {
	case system && given != "" && filepath.Clean(given) != service.StateDir:
		return g, usageErrorf("With --system the data is in %s; a unit that may write elsewhere is yours to write.",
			service.StateDir)
	case !system:
		if g.DataDir, err = p.dataDir(given); err == nil {
			g.DataDir, err = filepath.Abs(g.DataDir)
		}
	}
	if err != nil {
		return g, err
	}
	if g.Args, err = serveArgs(set); err != nil {
		return g, err
	}
	p.noteEnvironment(system)
	_, warnings, err := config.Load(config.Sources{Flags: flags,
		Environ: []string{"HOME=" + p.home, "AMTP_DATA_DIR=" + g.DataDir}})
	for _, w := range warnings {
		p.notef("Warning: %s\n", render.Clean(w.String()))
	}
	return g, badConfig(err)
}

// installedProgram returns the path of this program, if it is a permanent one.
func (p *program) installedProgram(system bool) (string, error) {
	name, err := p.executable()
	if err == nil {
		name, err = filepath.EvalSymlinks(name)
	}
	if err != nil {
		return "", err
	}
	home, _ := filepath.EvalSymlinks(p.home) // "" when there is none
	in := func(dir string) bool { return dir != "" && strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") }
	switch {
	case strings.Contains(name, "/go-build"):
		return "", badProgram("%s is a temporary program, which will be gone.", name)
	case system && (in(home) || slices.ContainsFunc([]string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"}, in)):
		return "",
			badProgram("%s is in a home or a temporary directory, which the service of the machine does not see.",
				name)
	}
	return name, nil
}

func badProgram(format, name string) error {
	f := usageErrorf(format, name)
	f.hint = `put the program where it stays, such as "sudo install amtp /usr/local/bin/", and run it from there`
	return f
}

// serveArgs are the given settings, as arguments of "amtp serve". File names are
// absolute, so that they are found from any directory.
func serveArgs(set *pflag.FlagSet) (args []string, err error) {
	set.Visit(func(f *pflag.Flag) {
		if slices.Contains([]string{"data-dir", "system", "dry-run", "json"}, f.Name) {
			return
		}
		value := f.Value.String()
		if f.Value.Type() == "path" || f.Name == "config" {
			abs, absErr := filepath.Abs(value)
			value, err = abs, errors.Join(err, absErr)
		}
		args = append(args, "--"+f.Name+"="+value)
	})
	return args, err
}

// noteEnvironment reports settings of this terminal that the service does not get.
func (p *program) noteEnvironment(system bool) {
	clients := []string{"AMTP_GATEWAY_URL", "AMTP_AGENT_NAME", "AMTP_API_KEY", "AMTP_PROFILE"}
	if !system {
		clients = append(clients, "AMTP_DATA_DIR") // the service gets that
	}
	var unseen []string
	for _, e := range p.environ {
		name, value, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "AMTP_") && value != "" && !slices.Contains(clients, name) &&
			!slices.Contains(unseen, name) {
			unseen = append(unseen, name)
		}
	}
	if len(unseen) > 0 {
		p.notef("The service does not see what is set in this terminal: %s. Settings of the gateway belong in amtp.yaml in its data directory.\n",
			strings.Join(unseen, ", "))
	}
}

// managerOf is the manager of a service that may be installed already.
func (p *program) managerOf(system bool) (*service.Manager, error) {
	return p.manager(service.Gateway{System: system})
}

// manager is the service manager of this operating system.
func (p *program) manager(g service.Gateway) (m *service.Manager, err error) {
	switch {
	case p.goos == "linux":
		units, noPlace := p.unitDir(g.System)
		if noPlace != nil {
			return nil, noPlace
		}
		m, err = service.Systemd(g, units)
	case p.goos == "darwin" && g.System:
		return nil, usageErrorf("--system is for Linux: on macOS the gateway is an agent of the user who is logged in.")
	case p.goos == "darwin" && p.home == "":
		return nil, usageErrorf("There is no home directory: set HOME.")
	case p.goos == "darwin":
		m, err = service.Launchd(g, p.home)
	default:
		return nil, &failure{exit: exitUsage, code: codeNoManager,
			message: "amtp knows the service managers of Linux and macOS, not that of " + p.goos + ".",
			hint:    `let the system run "amtp serve"`}
	}
	if err != nil {
		return nil, usageErrorf("%s", render.Sentence(err))
	}
	return m, nil
}

// unitDir is the directory of the unit for systemd: of the machine, or of the user.
func (p *program) unitDir(system bool) (string, error) {
	if system {
		return service.SystemUnits, nil
	}
	base := p.getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) {
		if p.home == "" {
			return "",
				usageErrorf("There is no home directory: set HOME, or install the service of the machine with --system.")
		}
		base = filepath.Join(p.home, ".config")
	}
	return filepath.Join(base, "systemd", "user"), nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
