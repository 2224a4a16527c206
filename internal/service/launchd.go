package service

import (
	"context"
	"encoding/xml"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp/internal/managedfile"
)

// Label is the name of the gateway for launchd.
const Label = "amtp.gateway"

// Plist returns the property list for launchd: an agent of the user.
//
// A shell writes the number of the process to a file and becomes the program: newsyslog
// needs that number to rotate the log.
func (g Gateway) Plist() ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
`)
	key := func(name string, values ...string) {
		b.WriteString("\t<key>" + name + "</key>\n")
		for _, v := range values {
			b.WriteString("\t" + v + "\n")
		}
	}
	key("Label", text(Label))
	arguments := []string{"/bin/sh", "-c", `echo $$ >"$0" && exec "$@"`, g.PIDFile, g.Program, "serve"}
	key("ProgramArguments", "<array>")
	for _, a := range append(arguments, g.Args...) {
		b.WriteString("\t\t" + text(a) + "\n")
	}
	b.WriteString("\t</array>\n")
	key("EnvironmentVariables", "<dict>", "\t<key>AMTP_DATA_DIR</key>", "\t"+text(g.DataDir), "</dict>")
	key("RunAtLoad", "<true/>")
	key("KeepAlive", "<true/>")
	key("ThrottleInterval", "<integer>10</integer>")
	key("ExitTimeOut", "<integer>40</integer>") // the gateway lets requests that are under way take 25 seconds
	key("Umask", "<integer>63</integer>")       // 077
	key("ProcessType", text("Standard"))
	key("StandardOutPath", text(g.Log))
	key("StandardErrorPath", text(g.Log))
	b.WriteString("</dict>\n</plist>\n")
	return []byte(b.String()), nil
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder accepts every write
	return "<string>" + b.String() + "</string>"
}

// Launchd is the manager of an agent of the user with the home directory.
func Launchd(g Gateway, home string) (*Manager, error) {
	logs := filepath.Join(home, "Library", "Logs", "amtp")
	g.Log, g.PIDFile = filepath.Join(logs, "amtp.log"), filepath.Join(logs, "amtp.pid")
	plist, err := g.Plist()
	if err != nil {
		return nil, err
	}
	domain := "gui/" + strconv.Itoa(os.Getuid())
	name := domain + "/" + Label
	file := filepath.Join(home, "Library", "LaunchAgents", Label+".plist")
	return &Manager{
		Name: "launchd", Unit: Label, dirs: []string{logs},
		File:  managedfile.File{Path: file, Content: plist, Mode: 0o644, Open: "<!-- ", Close: " -->"},
		probe: []string{"launchctl", "print", domain},
		// A loaded label must be gone before it is loaded again. That takes until the
		// gateway has ended.
		Start: [][]string{
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
		status: func(ctx context.Context, run Runner) (Status, error) {
			out, err := run(ctx, []string{"launchctl", "print", name})
			_, absent := os.Lstat(file)
			s := Status{Manager: "launchd", Unit: Label, File: file, Installed: absent == nil, State: "not loaded"}
			if err == nil {
				s.fromLaunchd(out)
			}
			return s, ctx.Err()
		},
		Advice: "It runs while you are logged in. The log is " + g.Log + ".",
	}, nil
}

// fromLaunchd reads the output of launchctl print: lines like "state = running".
func (s *Status) fromLaunchd(out string) {
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
