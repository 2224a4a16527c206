package service

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp/internal/managedfile"
)

// StateDir is where a unit for the machine keeps its data.
const StateDir = "/var/lib/amtp"

// EnvironmentFile is the file with the settings of a unit for the machine that no other
// user should see on a command line.
const EnvironmentFile = "/etc/default/amtp"

// Unit returns the unit for systemd.
//
// A unit for the machine runs as a separate user, amtp, which systemd generates if
// there is none, and sees of the file system only its data directory. A unit for a user
// has only those restrictions that a user's manager can enforce on every system.
func (g Gateway) Unit() ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	command := quote(g.Program, false) + " serve"
	for _, a := range g.Args {
		command += " " + quote(a, true)
	}
	manager, after, user, target := "systemctl --user", []string(nil), []string(nil), "default.target"
	if g.System {
		manager, after, user, target = "systemctl", network, ofItsOwn, "multi-user.target"
	}
	lines := slices.Concat(
		[]string{
			"# Changes of your own belong in a drop-in, which an update leaves alone:",
			"# " + manager + " edit amtp",
			"[Unit]",
			"Description=AMTP gateway: messages between AI agents",
		},
		after,
		[]string{
			"",
			"[Service]",
			"Type=exec",
			"Environment=" + quote("AMTP_DATA_DIR="+g.DataDir, false),
		},
		user,
		[]string{"ExecStart=" + command},
		life,
		everywhere,
	)
	if g.System {
		lines = append(lines, forSystem...)
	}
	lines = append(lines, "", "[Install]", "WantedBy="+target)
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

// network makes a gateway for others wait for the network when the machine starts.
var network = []string{"Wants=network-online.target", "After=network-online.target"}

// ofItsOwn configures a user that the administrator does not need to create.
var ofItsOwn = []string{
	"EnvironmentFile=-" + EnvironmentFile,
	"DynamicUser=yes",
	"User=amtp",
	"StateDirectory=amtp",
	"StateDirectoryMode=0700",
}

// life says how the process ends and restarts.
var life = []string{
	"UMask=0077",
	"# Whatever ends the gateway, a signal too, it is started again; a bad configuration",
	"# stays bad (2), and so does another domain than before (5).",
	"Restart=always",
	"RestartSec=2",
	"RestartPreventExitStatus=2 5",
	"# Requests that are under way have 25 seconds.",
	"TimeoutStopSec=40",
	"LimitNOFILE=65536",
	"",
}

// everywhere are restrictions that every manager enforces: they need no right to
// mount.
var everywhere = []string{
	"LockPersonality=yes",
	"MemoryDenyWriteExecute=yes",
	"NoNewPrivileges=yes",
	"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
	"RestrictNamespaces=yes",
	"RestrictRealtime=yes",
	"RestrictSUIDSGID=yes",
	"SystemCallArchitectures=native",
	"SystemCallFilter=@system-service",
}

// forSystem are restrictions that need the machine's manager.
var forSystem = []string{
	"# A port below 1024 needs the first line. Nothing else is needed.",
	"AmbientCapabilities=CAP_NET_BIND_SERVICE",
	"CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
	"PrivateDevices=yes",
	"PrivateTmp=yes",
	"ProtectClock=yes",
	"ProtectControlGroups=yes",
	"ProtectHome=yes",
	"ProtectHostname=yes",
	"ProtectKernelLogs=yes",
	"ProtectKernelModules=yes",
	"ProtectKernelTunables=yes",
	"ProtectProc=invisible",
	"ProtectSystem=strict",
}

// quote writes a word so that systemd reads it unchanged. In the arguments of a command
// systemd would also replace $NAME.
func quote(word string, argument bool) string {
	word = strings.ReplaceAll(word, "%", "%%")
	if argument {
		word = strings.ReplaceAll(word, "$", "$$")
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("%$_./:=@,+-", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// unitName is the name of the unit.
const unitName = "amtp.service"

// SystemUnits is the directory for units of the machine that come from no package.
const SystemUnits = "/etc/systemd/system"

// Systemd is the manager of a unit in the directory: [SystemUnits] for a unit of the
// machine.
func Systemd(g Gateway, units string) (*Manager, error) {
	unit, err := g.Unit()
	if err != nil {
		return nil, err
	}
	ctl, journal := []string{"systemctl"}, []string{"journalctl"}
	m := &Manager{Name: "systemd", Unit: unitName}
	if g.System {
		m.Packaged = "/usr/lib/systemd/system/" + unitName
	} else {
		ctl, journal = append(ctl, "--user"), append(journal, "--user")
		m.Advice = `It stops when you log out, unless "loginctl enable-linger" was run once.`
	}
	command := func(args ...string) []string { return append(slices.Clone(ctl), args...) }
	m.File = managedfile.File{Path: filepath.Join(units, unitName), Content: unit, Mode: 0o644, Open: "# "}
	m.probe = command("show", "--property=Version")
	m.Start = [][]string{command("daemon-reload"), command("enable", unitName), command("restart", unitName)}
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
	m.status = func(ctx context.Context, run Runner) (Status, error) {
		out, err := run(ctx, command("show", unitName,
			"--property=LoadState,ActiveState,SubState,UnitFileState,MainPID,ActiveEnterTimestamp,FragmentPath"))
		if err != nil {
			return Status{}, err
		}
		return systemdStatus(out), nil
	}
	return m, nil
}

// systemdStatus reads the output of systemctl show: NAME=value lines.
func systemdStatus(out string) Status {
	value := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		name, v, _ := strings.Cut(line, "=")
		value[name] = strings.TrimSpace(v)
	}
	pid, _ := strconv.Atoi(value["MainPID"]) // 0 when it is no number
	return Status{
		Manager: "systemd", Unit: unitName, File: value["FragmentPath"],
		Installed: value["LoadState"] != "not-found" && value["LoadState"] != "",
		Running:   value["ActiveState"] == "active" && value["SubState"] == "running",
		State:     value["ActiveState"] + " (" + value["SubState"] + ")",
		Starts:    value["UnitFileState"] == "enabled", PID: pid, Since: value["ActiveEnterTimestamp"],
		failed: value["ActiveState"] == "failed",
	}
}
