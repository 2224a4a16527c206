package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/render"
	"github.com/amtp-go/amtp/internal/service"
)

const unitName = "amtp.service"

// serviceGateway is the gateway that the service shall run: this program, with
// the settings that were given. They are checked as the service will see them.
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

// installedProgram is where this program is, if it stays there.
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

// serveArgs are the settings that were given, as arguments of "amtp serve".
// Files are named so that they are found from anywhere.
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

// noteEnvironment tells of settings of this terminal that the service does not
// get.
func (p *program) noteEnvironment(system bool) {
	clients := []string{"AMTP_GATEWAY_URL", "AMTP_AGENT_NAME", "AMTP_API_KEY", "AMTP_PROFILE"}
	if !system {
		clients = append(clients, "AMTP_DATA_DIR") // it gets that
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
func (p *program) managerOf(system bool) (*manager, error) {
	return p.manager(service.Gateway{System: system})
}

// manager is the service manager of this operating system.
func (p *program) manager(g service.Gateway) (*manager, error) {
	switch {
	case p.goos == "linux":
		return p.systemd(g)
	case p.goos == "darwin" && g.System:
		return nil, usageErrorf("--system is for Linux: on macOS the gateway is an agent of the user who is logged in.")
	case p.goos == "darwin":
		return p.launchd(g)
	}
	return nil, &failure{exit: exitUsage, code: codeNoManager,
		message: "amtp knows the service managers of Linux and macOS, not that of " + p.goos + ".",
		hint:    `let the system run "amtp serve"`}
}

func (p *program) systemd(g service.Gateway) (*manager, error) {
	unit, err := g.Unit()
	if err != nil {
		return nil, usageErrorf("%s", render.Sentence(err))
	}
	dir := "/etc/systemd/system"
	ctl, journal := []string{"systemctl"}, []string{"journalctl"}
	m := &manager{name: "systemd", unit: unitName}
	if !g.System {
		base := p.getenv("XDG_CONFIG_HOME")
		if !filepath.IsAbs(base) {
			if p.home == "" {
				return nil,
					usageErrorf("There is no home directory: set HOME, or install the service of the machine with --system.")
			}
			base = filepath.Join(p.home, ".config")
		}
		dir = filepath.Join(base, "systemd", "user")
		ctl, journal = append(ctl, "--user"), append(journal, "--user")
		m.advice = `It stops when you log out, unless "loginctl enable-linger" was run once.`
	} else {
		m.packaged = "/usr/lib/systemd/system/" + unitName
	}
	command := func(args ...string) []string { return append(slices.Clone(ctl), args...) }
	m.file = managedfile.File{Path: filepath.Join(dir, unitName), Content: unit, Mode: 0o644, Open: "# "}
	m.probe = command("show", "--property=Version")
	m.start = [][]string{command("daemon-reload"), command("enable", unitName), command("restart", unitName)}
	m.stop = [][]string{command("disable", "--now", unitName)}
	m.gone = [][]string{command("daemon-reload")}
	m.logs = func(lines string, follow bool) []string {
		argv := append(slices.Clone(journal), "--unit="+unitName, "--lines="+lines, "--no-pager",
			"--output=short-iso", "--quiet")
		if follow {
			argv = append(argv, "--follow")
		}
		return argv
	}
	m.status = func(ctx context.Context, run runner) (serviceStatus, error) {
		out, err := run(ctx, command("show", unitName,
			"--property=LoadState,ActiveState,SubState,UnitFileState,MainPID,ActiveEnterTimestamp,FragmentPath"))
		if err != nil {
			return serviceStatus{}, err
		}
		return systemdStatus(out), nil
	}
	return m, nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// systemdStatus reads what systemctl show prints: NAME=value lines.
func systemdStatus(out string) serviceStatus {
	value := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		name, v, _ := strings.Cut(line, "=")
		value[name] = strings.TrimSpace(v)
	}
	pid, _ := strconv.Atoi(value["MainPID"]) // 0 when it is no number
	return serviceStatus{
		Manager: "systemd", Unit: unitName, File: value["FragmentPath"],
		Installed: value["LoadState"] != "not-found" && value["LoadState"] != "",
		Running:   value["ActiveState"] == "active" && value["SubState"] == "running",
		State:     value["ActiveState"] + " (" + value["SubState"] + ")",
		Starts:    value["UnitFileState"] == "enabled", PID: pid, Since: value["ActiveEnterTimestamp"],
		failed: value["ActiveState"] == "failed",
	}
}

func (p *program) launchd(g service.Gateway) (*manager, error) {
	if p.home == "" {
		return nil, usageErrorf("There is no home directory: set HOME.")
	}
	logs := filepath.Join(p.home, "Library", "Logs", "amtp")
	g.Log, g.PIDFile = filepath.Join(logs, "amtp.log"), filepath.Join(logs, "amtp.pid")
	plist, err := g.Plist()
	if err != nil {
		return nil, usageErrorf("%s", render.Sentence(err))
	}
	domain := "gui/" + strconv.Itoa(os.Getuid())
	name := domain + "/" + service.Label
	file := filepath.Join(p.home, "Library", "LaunchAgents", service.Label+".plist")
	return &manager{
		name: "launchd", unit: service.Label, dirs: []string{logs},
		file:  managedfile.File{Path: file, Content: plist, Mode: 0o644, Open: "<!-- ", Close: " -->"},
		probe: []string{"launchctl", "print", domain},
		// A label that is loaded must be gone before it is loaded again, which
		// takes until the gateway has ended.
		start: [][]string{
			{"/bin/sh", "-c",
				`launchctl bootout "$0" 2>/dev/null; n=0; while launchctl print "$0" >/dev/null 2>&1 && [ $n -lt 45 ]; do sleep 1; n=$((n+1)); done`,
				name},
			{"launchctl", "enable", name},
			{"launchctl", "bootstrap", domain, file},
		},
		stop: [][]string{{"launchctl", "bootout", name}},
		logs: func(lines string, follow bool) []string {
			argv := []string{"tail", "-n", lines}
			if follow {
				argv = append(argv, "-F")
			}
			return append(argv, g.Log)
		},
		status: func(ctx context.Context, run runner) (serviceStatus, error) {
			out, err := run(ctx, []string{"launchctl", "print", name})
			s := serviceStatus{Manager: "launchd", Unit: service.Label, File: file, Installed: exists(file),
				State: "not loaded"}
			if err == nil {
				s.fromLaunchd(out)
			}
			return s, ctx.Err()
		},
		advice: "It runs while you are logged in. The log is " + g.Log + ".",
	}, nil
}

// fromLaunchd reads what launchctl print says: lines like "state = running".
func (s *serviceStatus) fromLaunchd(out string) {
	s.State, s.Installed, s.Starts = "loaded", true, true
	for _, line := range strings.Split(out, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch {
		case name == "state" && s.State == "loaded":
			s.State, s.Running = value, value == "running"
		case name == "pid" && s.PID == 0:
			s.PID, _ = strconv.Atoi(value) // 0 when it is no number
		}
	}
}
