package service_test

import (
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/service"
)

// odd has every character that one of the formats gives a meaning to.
const odd = `a b"c\d%h$HOME${x}'e;f<&>#g`

func TestUnitQuotes(t *testing.T) {
	unit, err := service.Gateway{Program: "/opt/" + odd + "/amtp",
		Args:    []string{"--domain=" + odd, "--address=[::1]:8080", "--log-level=debug", ""},
		DataDir: "/data/" + odd}.Unit()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Environment="AMTP_DATA_DIR=/data/a b\"c\\d%%h$HOME${x}'e;f<&>#g"`,
		`ExecStart="/opt/a b\"c\\d%%h$HOME${x}'e;f<&>#g/amtp" serve "--domain=a b\"c\\d%%h$$HOME$${x}'e;f<&>#g" "--address=[::1]:8080" --log-level=debug ""`,
	} {
		if !slices.Contains(strings.Split(string(unit), "\n"), want) {
			t.Errorf("the unit has no line\n%s\n%s", want, unit)
		}
	}
}

// TestUnitStartsItAgain: systemd counts the end by SIGPIPE or SIGHUP as a wish, so
// that only always starts the gateway again.
func TestUnitStartsItAgain(t *testing.T) {
	for _, system := range []bool{false, true} {
		unit, err := service.Gateway{Program: "/usr/bin/amtp", DataDir: "/data", System: system}.Unit()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Restart=always", "RestartPreventExitStatus=2 5"} {
			if !slices.Contains(strings.Split(string(unit), "\n"), want) {
				t.Errorf("the unit has no line %s; for the machine: %v\n%s", want, system, unit)
			}
		}
	}
}

// TestUnitsAreValid asks systemd itself, where it is installed.
func TestUnitsAreValid(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("NOT VERIFIED: systemd-analyze is not installed, so systemd was not asked whether the units are valid")
	}
	dir := filepath.Join(t.TempDir(), "a b%c")
	program := filepath.Join(dir, "amtp")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, system := range []bool{false, true} {
		unit, err := service.Gateway{Program: program, Args: []string{"--log-level=debug",
			"--config=" + dir + "/$x \"y\".yaml"}, DataDir: dir, System: system}.Unit()
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "amtp.service")
		if err := os.WriteFile(name, unit, 0o644); err != nil {
			t.Fatal(err)
		}
		manager := "--user"
		if system {
			manager = "--system"
		}
		cmd := exec.Command(analyze, manager, "--man=no", "--recursive-errors=no", "verify", name)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze %s verify: %v\n%s\n%s", manager, err, out, unit)
		}
	}
}

// TestThePackagesUnitIsAsStrict keeps the unit of the Debian package and the one
// that amtp installs for the machine alike in what they forbid.
func TestThePackagesUnitIsAsStrict(t *testing.T) {
	packaged, err := os.ReadFile("../../packaging/amtp.service")
	if err != nil {
		t.Fatal(err)
	}
	unit, err := service.Gateway{Program: "/usr/bin/amtp", DataDir: service.StateDir, System: true}.Unit()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := restrictions(packaged), restrictions(unit); !reflect.DeepEqual(got, want) {
		t.Errorf("packaging/amtp.service has\n%s\nand the unit of amtp service install\n%s", strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
}

// restrictions are the lines of a unit that keep the process from something, and
// that say when it is started again.
func restrictions(unit []byte) []string {
	list := []string{}
	for _, line := range strings.Split(string(unit), "\n") {
		for _, start := range []string{"Ambient", "Capability", "Lock", "Memory", "NoNew", "Private", "Protect",
			"Restart", "Restrict", "SystemCall", "UMask", "LimitNOFILE", "TimeoutStop", "StateDirectory"} {
			if strings.HasPrefix(line, start) {
				list = append(list, line)
			}
		}
	}
	slices.Sort(list)
	return list
}

func TestPlist(t *testing.T) {
	g := service.Gateway{Program: "/opt/" + odd + "/amtp", Args: []string{"--domain=" + odd}, DataDir: "/data/" + odd,
		Log: "/l/amtp.log", PIDFile: "/l/a b.pid"}
	plist, err := g.Plist()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Dict struct {
			Keys  []string `xml:"key"`
			Array []string `xml:"array>string"`
			Dict  struct {
				Keys    []string `xml:"key"`
				Strings []string `xml:"string"`
			} `xml:"dict"`
			Strings []string `xml:"string"`
		} `xml:"dict"`
	}
	if err := xml.Unmarshal(plist, &doc); err != nil {
		t.Fatalf("%v\n%s", err, plist)
	}
	d := doc.Dict
	wantKeys := []string{"Label", "ProgramArguments", "EnvironmentVariables", "RunAtLoad", "KeepAlive",
		"ThrottleInterval", "ExitTimeOut", "Umask", "ProcessType", "StandardOutPath", "StandardErrorPath"}
	if !slices.Equal(d.Keys, wantKeys) {
		t.Errorf("keys %q\nwant %q", d.Keys, wantKeys)
	}
	if want := []string{"/bin/sh", "-c", `echo $$ >"$0" && exec "$@"`, g.PIDFile, g.Program, "serve",
		g.Args[0]}; !slices.Equal(d.Array, want) {
		t.Errorf("arguments %q\nwant %q", d.Array, want)
	}
	if !slices.Equal(d.Dict.Strings, []string{g.DataDir}) || !slices.Equal(d.Dict.Keys, []string{"AMTP_DATA_DIR"}) {
		t.Errorf("environment %q %q", d.Dict.Keys, d.Dict.Strings)
	}
	if want := []string{service.Label, "Standard", g.Log, g.Log}; !slices.Equal(d.Strings, want) {
		t.Errorf("texts %q\nwant %q", d.Strings, want)
	}
}

// TestThePlistsCommand runs what launchd would run: the number that is written
// down is the program's own.
func TestThePlistsCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b")
	program := filepath.Join(dir, "amtp")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(program, []byte("#!/bin/sh\necho $$ \"$@\"\n"),
		0o755)); err != nil {
		t.Fatal(err)
	}
	plist, err := service.Gateway{Program: program, Args: []string{"--domain=a  b"},
		PIDFile: filepath.Join(dir, "pid")}.Plist()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Array []string `xml:"dict>array>string"`
	}
	if err := xml.Unmarshal(plist, &doc); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(doc.Array[0], doc.Array[1:]...).Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if want := strings.TrimSpace(string(pid)) + " serve --domain=a  b\n"; err != nil || string(out) != want {
		t.Errorf("it printed %q, %v; want %q", out, err, want)
	}
}

func TestControlCharactersAreRefused(t *testing.T) {
	for _, s := range []string{"/a\nExecStart=/bin/evil", "/a\x00", "/a\x7f", "/a\xff"} {
		for _, g := range []service.Gateway{{Program: s}, {DataDir: s}, {Args: []string{s}}, {Log: s}, {PIDFile: s}} {
			if _, err := g.Unit(); !errors.Is(err, service.ErrText) {
				t.Errorf("Unit of %+v = %v, want ErrText", g, err)
			}
			if _, err := g.Plist(); !errors.Is(err, service.ErrText) {
				t.Errorf("Plist of %+v = %v, want ErrText", g, err)
			}
		}
	}
}
