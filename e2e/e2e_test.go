// Package e2e runs the program as people and their assistants do: the built
// binary, one home directory per person, a gateway on a free port. Each file in
// testdata is one story.
//
// Beside the commands of testscript a story has these:
//
//	gateway [FLAG...]   start a gateway on this story's data directory; sets URL and AMTP_GATEWAY_URL
//	halt                stop it as an operator would (SIGTERM); testscript's own stop ends the story
//	crash               kill it (SIGKILL)
//	as NAME             the commands that follow are typed by NAME
//	amtp ARG...         run the program; it must succeed
//	exit N amtp ARG...  run the program; its exit code must be N
//	until REGEXP amtp ARG...  run the program again and again until its stdout matches
//	keep VAR REGEXP     set VAR to what the regexp's first group finds in stdout
//	prints FILE         stdout must be FILE, see normal
//	complains FILE      stderr must be FILE
//	mode OCTAL FILE     the file's permissions
//	fill FILE           replace $VAR in the file by what the story's variable is
//
// Until a gateway was started, AMTP_GATEWAY_URL is $NOWHERE, where nothing answers. The
// usual port may belong to a real gateway.
package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/test/nowhere"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestStories(t *testing.T) { testscript.Run(t, stories(t, build(t), "testdata")) }

// build makes the program and returns its directory.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	lookAtSources(t)
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "amtp"),
		"../cmd/amtp").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// stories returns the stories in dir, run with the program in bin.
func stories(t *testing.T, bin, dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("AMTP_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("NOWHERE", "http://"+nowhere.Address(t).String())
			env.Setenv("AMTP_GATEWAY_URL", env.Getenv("NOWHERE"))
			s := &server{mirror: mirror{t: t}}
			env.Values[serverKey{}] = s
			env.Values[workerKey{}] = new(workerOutput)
			env.Defer(func() { s.end(os.Kill) })
			env.Defer(func() { killService(filepath.Join(env.WorkDir, "service.pid")) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gateway": startGateway,
			"halt": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(serverOf(ts).end(syscall.SIGTERM))
			},
			"crash":     func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(serverOf(ts).end(os.Kill)) },
			"as":        as,
			"amtp":      func(ts *testscript.TestScript, _ bool, args []string) { exits(ts, 0, args) },
			"exit":      exit,
			"until":     until,
			"keep":      keep,
			"prints":    func(ts *testscript.TestScript, _ bool, args []string) { same(ts, "stdout", args) },
			"complains": func(ts *testscript.TestScript, _ bool, args []string) { same(ts, "stderr", args) },
			"mode":      mode,
			"fill":      fill,
		},
	}
}

// lookAtSources makes go test cache a result only for the same sources. By itself go
// test does not notice the files that a go build inside a test reads.
func lookAtSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".git" {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			_, err = os.Stat(name)
		}
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how long the test waits for one event, also on a busy machine. Only a
// test that fails waits that long.
const patience = 5 * time.Minute

// server is the gateway of one story.
type server struct {
	mirror mirror
	cmd    *exec.Cmd
	url    string      // where it listens
	output chan string // its output, once it has ended
}

type serverKey struct{}

func serverOf(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

// startGateway starts the program and waits until it prints its address.
func startGateway(ts *testscript.TestScript, _ bool, args []string) {
	s := serverOf(ts)
	if s.cmd != nil {
		ts.Fatalf("a gateway runs already")
	}
	path, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"),
		string(filepath.ListSeparator))[0], "amtp"))
	ts.Check(err)
	base, err := s.start(path, args, ts.Getenv("AMTP_DATA_DIR"), "HOME="+ts.Getenv("WORK"),
		"AMTP_ADMIN_KEY="+ts.Getenv("GATEWAY_ADMIN_KEY"),
		"AMTP_OUTBOUND_ALLOW="+ts.Getenv("GATEWAY_OUTBOUND_ALLOW"),
		"AMTP_SIGNATURE_PRIVATE_KEY_FILE="+ts.Getenv("GATEWAY_SIGNATURE_PRIVATE_KEY_FILE"),
		"AMTP_SIGNATURE_KEY_ID="+ts.Getenv("GATEWAY_SIGNATURE_KEY_ID"),
		"AMTP_DATABASE_URL="+ts.Getenv("GATEWAY_DATABASE_URL"), "AMTP_QUEUE_LEASE="+ts.Getenv("GATEWAY_QUEUE_LEASE"))
	ts.Check(err)
	ts.Setenv("URL", base)
	ts.Setenv("AMTP_GATEWAY_URL", base)
}

// start runs the program as a gateway on a free port, behind a mirror whose address
// stays the same, and returns the mirror's URL.
func (s *server) start(program string, flags []string, dataDir string, environ ...string) (string, error) {
	if err := s.run(program, append([]string{"serve", "--address", "127.0.0.1:0"}, flags...),
		append(environ, "AMTP_DATA_DIR="+dataDir)); err != nil {
		return "", err
	}
	return s.mirror.stand(s.url, dataDir)
}

// run starts the program as a gateway and waits until it prints its address.
func (s *server) run(program string, args, environ []string) error {
	cmd := exec.Command(program, args...)
	cmd.Env = environ
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.output = cmd, make(chan string, 1)
	url := make(chan string, 1)
	go func() {
		var said strings.Builder
		defer func() { s.output <- said.String() }()
		defer close(url)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if m := regexp.MustCompile(`msg="the gateway runs" url=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
				url <- m[1]
			}
		}
	}()
	select {
	case base, ok := <-url:
		if !ok {
			s.cmd = nil // there is no process to end
			_ = cmd.Wait()
			return fmt.Errorf("the gateway did not start:\n%s", <-s.output)
		}
		s.url = base
		return nil
	case <-time.After(patience):
		_ = cmd.Process.Kill() // then its output ends
		_ = cmd.Wait()
		s.cmd = nil
		return fmt.Errorf("the gateway did not print its address within %v, only:\n%s", patience, <-s.output)
	}
}

// terminate stops the gateway as an operator would, and kill like a power cut.
func (s *server) terminate() error { return s.end(syscall.SIGTERM) }
func (s *server) kill() error      { return s.end(os.Kill) }

// end signals the gateway and waits for its end. It is no error if no gateway runs.
func (s *server) end(signal os.Signal) error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(signal); err != nil {
		return err
	}
	said := <-s.output
	err := cmd.Wait()
	s.mirror.leave()
	if err != nil && signal != os.Kill {
		return fmt.Errorf("the gateway ended with %w:\n%s", err, said)
	}
	return nil
}

// killService ends the gateway that a story's own service manager has started.
func killService(pidFile string) {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // it may have ended
		}
	}
}

func as(ts *testscript.TestScript, _ bool, args []string) {
	home := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(home, 0o700))
	ts.Setenv("HOME", home)
}

func exit(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if args[1] != "amtp" {
		ts.Fatalf("usage: exit N amtp ARG...")
	}
	exits(ts, want, args[2:])
}

func exits(ts *testscript.TestScript, want int, args []string) {
	err := ts.Exec("amtp", args...)
	var failed *exec.ExitError
	got := 0
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("amtp %q ended with exit code %d, want %d", args, got, want)
	}
}

// until repeats a command that waits for a later effect. Its exit code does not matter,
// but its output must match in the end.
func until(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 || args[1] != "amtp" {
		ts.Fatalf("usage: until REGEXP amtp ARG...")
	}
	want := regexp.MustCompile(`(?m)` + args[0])
	tick, late := time.NewTicker(50*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		err := ts.Exec("amtp", args[2:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("amtp %q did not print %s within %v: %v", args[2:], args[0], patience, err)
		}
	}
}

func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("stdout has nothing that matches %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

var (
	times  = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z0-9+-]+( \((\d+[a-z])+ ago\))?`)
	fences = regexp.MustCompile(`(BEGIN|END) [A-Z2-7]{26}`)
	keyIDs = regexp.MustCompile(`key_[0-9a-f]{12}`)
	keys   = regexp.MustCompile(`amtp_[A-Za-z0-9_-]{3}\.\.\.`)
)

// normal replaces the parts of an output that differ between two runs.
func normal(s string) string {
	s = times.ReplaceAllString(s, "TIME")
	s = fences.ReplaceAllString(s, "$1 NONCE")
	s = keys.ReplaceAllString(s, "KEY...")
	return keyIDs.ReplaceAllString(s, "KEY-ID")
}

// same compares the output of the last command with a file. In the file, $VAR stands
// for variables of the story. TIME, NONCE, KEY-ID and KEY... stand for text that
// differs between runs.
func same(ts *testscript.TestScript, stream string, args []string) {
	got := normal(ts.ReadFile(stream))
	want := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	if got != want {
		ts.Fatalf("%s is\n%s\nwant %s:\n%s", stream, got, args[0], want)
	}
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if info.Mode().Perm() != os.FileMode(want) {
		ts.Fatalf("%s has mode %o, want %o", args[1], info.Mode().Perm(), want)
	}
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// run runs the program and returns its output, stdout and stderr in order, and its exit
// code.
func run(ctx context.Context, t *testing.T, program string, environ, args []string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environ
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
