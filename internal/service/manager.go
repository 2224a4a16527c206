package service

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/managedfile"
)

// Manager describes how one service manager runs the gateway: a file, and the commands
// that tell the manager about it.
type Manager struct {
	Name     string // systemd or launchd
	Unit     string // the manager's name for the service
	File     managedfile.File
	Start    [][]string // the commands after the file was written
	Packaged string     // the file that a package of the system would have installed, "" for none
	Advice   string     // advice for the user after the installation, "" for none

	dirs   []string   // directories that must exist before it starts
	probe  []string   // succeeds when the manager answers
	stop   [][]string // before the file is removed
	gone   [][]string // after that
	logs   func(lines string, follow bool) []string
	status func(ctx context.Context, run Runner) (Status, error)
}

// Status is the state of the service that the manager reports.
type Status struct {
	Manager   string `json:"manager"`
	Unit      string `json:"unit"`
	File      string `json:"file"`
	Installed bool   `json:"installed"`
	Running   bool   `json:"running"`
	State     string `json:"state"` // in the manager's words
	Starts    bool   `json:"starts_by_itself"`
	PID       int    `json:"pid"` // 0 for no process
	Since     string `json:"since,omitempty"`

	failed bool // the manager does not try again
}

// Runner runs a command of the manager and returns what it printed.
type Runner func(ctx context.Context, argv []string) (string, error)

// Commands runs commands with an environment.
func Commands(environ []string) Runner {
	return func(ctx context.Context, argv []string) (string, error) {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = environ
		out, err := cmd.Output()
		return string(out), err
	}
}

// CommandError is a command that the manager refused.
type CommandError struct {
	Argv []string
	Err  error
}

func (e *CommandError) Error() string { return strings.Join(e.Argv, " ") + ": " + Said(e.Err) }

func (e *CommandError) Unwrap() error { return e.Err }

// Said is the message of a failed command: the first line on its stderr, without a full
// stop, else the error itself.
func Said(err error) string {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		if said := strings.TrimSpace(string(failed.Stderr)); said != "" {
			first, _, _ := strings.Cut(said, "\n")
			return strings.TrimSuffix(first, ".")
		}
	}
	return err.Error()
}

// Answers fails when the manager does not answer.
func (m *Manager) Answers(ctx context.Context, run Runner) error {
	_, err := run(ctx, m.probe)
	return err
}

// Install writes the file, makes the manager start the service, and returns the steps
// for the file. The manager must answer. A running service is restarted.
func (m *Manager) Install(ctx context.Context, run Runner) ([]managedfile.Step, error) {
	for _, dir := range m.dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	steps, err := m.File.Put(false)
	if err != nil {
		return nil, err
	}
	return steps, runAll(ctx, run, m.Start)
}

// Remove makes the manager stop the service and removes the file. The manager must
// answer. A file that was changed gets another name.
func (m *Manager) Remove(ctx context.Context, run Runner) ([]managedfile.Step, error) {
	if err := runAll(ctx, run, m.stop); err != nil {
		return nil, err
	}
	steps, err := m.File.Take(false, false)
	if err != nil {
		return nil, err
	}
	return steps, runAll(ctx, run, m.gone)
}

// runAll runs commands one after the other, until one fails: a [CommandError].
func runAll(ctx context.Context, run Runner, commands [][]string) error {
	for _, argv := range commands {
		if _, err := run(ctx, argv); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &CommandError{argv, err}
		}
	}
	return nil
}

// Status asks the manager for the state of the service.
func (m *Manager) Status(ctx context.Context, run Runner) (Status, error) { return m.status(ctx, run) }

// Logs is the command that prints the last lines of the service's log and, with follow, the
// lines that are added to it.
func (m *Manager) Logs(lines string, follow bool) []string { return m.logs(lines, follow) }

// startTime is how long a gateway may take until it listens. The longest start opens a
// large database after a crash.
const startTime = 15 * time.Second

// Await waits until the service's gateway listens for the data directory, and returns
// its URL. It returns "" when the manager gave up, or after 15 seconds.
func (m *Manager) Await(ctx context.Context, run Runner, dataDir string, now func() time.Time) (url string, s Status,
	err error) {
	for until := now().Add(startTime); ; {
		running, claimed := datadir.Holder(dataDir)
		if s, err = m.status(ctx, run); err != nil {
			return "", s, err
		}
		if claimed && s.Running && running.PID == s.PID {
			return running.URL, s, nil
		}
		if s.failed || !now().Before(until) {
			return "", s, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return "", s, ctx.Err()
		}
	}
}
