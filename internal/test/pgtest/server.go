package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a separate PostgreSQL. It syncs its commits as in production, because the
// gateway refuses a server that does not.
type Server struct {
	bin      string
	dir      string // of its socket, its log and, unless disk names another, its data
	disk     string // of its data
	journal  string // where the journal is, if it is not with the data
	settings []string
	crashed  bool           // whether an earlier life did not end in order
	cmd      *exec.Cmd      // the current life, nil between two
	broom    *exec.Cmd      // ends the server and removes dir
	lifeline io.WriteCloser // the broom waits until it is closed
}

// directoryPrefix begins the names of the servers' directories.
const directoryPrefix = "amtp-pg-"

// startTime is how long a server may take to answer. After a crash it reads its journal
// first.
const startTime = 5 * time.Minute

// Start starts a server with more settings, as name=value. The server ends with this
// process, unless it is stopped before.
func Start(settings ...string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	return StartIn(bin, parent(), settings...)
}

// StartIn starts a server that keeps its files in a new directory in parent. bin is the
// directory of its programs; "" means to find them.
func StartIn(bin, parent string, settings ...string) (*Server, error) {
	if bin == "" {
		var err error
		if bin, err = find(); err != nil {
			return nil, err
		}
	}
	return begin(&Server{bin: bin, settings: settings}, parent)
}

// StartOn starts a server that keeps its data on one disk and its journal, in files of
// a megabyte, on another. disk and journal are directories on these disks. Its log and
// its socket are on neither, so they work also when a disk is full.
func StartOn(disk, journal string, settings ...string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if s.disk, err = os.MkdirTemp(disk, directoryPrefix); err != nil {
		return nil, err
	}
	if s.journal, err = os.MkdirTemp(journal, directoryPrefix); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return begin(s, parent())
}

func begin(s *Server, parent string) (_ *Server, err error) {
	if s.dir, err = os.MkdirTemp(parent, directoryPrefix); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if err := s.sweepLater(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if err := s.Launch(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// parent returns the directory for the files of servers. It is in memory if there is
// room. Otherwise it has a short name, because the path of a socket must be short.
func parent() string {
	const enough = 2 << 30
	if freeBytes("/dev/shm") > enough {
		return "/dev/shm"
	}
	return "/tmp"
}

func inMemory(dir string) bool { return strings.HasPrefix(dir, "/dev/shm/") }

// directories returns the directories that were made for the server, and are removed
// with it.
func (s *Server) directories() []string {
	return slices.DeleteFunc([]string{s.dir, s.disk, s.journal}, func(dir string) bool { return dir == "" })
}

func (s *Server) data() string { return filepath.Join(cmp.Or(s.disk, s.dir), "data") }

// prepare makes the files of the server. The server refuses to run as root, so the
// files belong to another user when we are root.
func (s *Server) prepare() error {
	for _, dir := range s.directories() {
		if err := giveAway(dir); err != nil {
			return err
		}
	}
	cmd := s.command("initdb", "-D", s.data(), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8",
		"--locale=C")
	if s.journal != "" {
		cmd.Args = append(cmd.Args, "--waldir="+s.journal, "--wal-segsize=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	asAnother(cmd)
	return cmd
}

// remove removes the server's files.
func (s *Server) remove() error {
	var all error
	for _, dir := range s.directories() {
		all = errors.Join(all, os.RemoveAll(dir))
	}
	return all
}

// broom waits until its input ends, which happens when this process ends. Then it ends
// the server and removes its files. $1 is the data directory, the others are the
// server's directories.
const broom = `read -r _
pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null)
shift
if [ -n "$pid" ]; then
	kill -QUIT "$pid" 2>/dev/null
	n=0
	while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.05; done
fi
cd / && rm -rf "$@"`

func (s *Server) sweepLater() (err error) {
	s.broom = exec.Command("/bin/sh", append([]string{"-c", broom, "sh", s.data()}, s.directories()...)...)
	s.broom.Dir = s.dir
	asAnother(s.broom)
	if s.lifeline, err = s.broom.StdinPipe(); err != nil {
		return err
	}
	return s.broom.Start()
}

// Launch starts the next life of a server that was killed, and waits until it answers.
func (s *Server) Launch() error {
	log, err := os.OpenFile(s.logName(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	deadline := time.Now().Add(startTime)
	for {
		s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir)
		for _, setting := range append([]string{
			"listen_addresses=", "jit=off", "max_connections=200", "max_wal_size=256MB",
		}, s.settings...) {
			s.cmd.Args = append(s.cmd.Args, "-c", setting)
		}
		s.cmd.Stdout, s.cmd.Stderr = log, log
		if err := s.cmd.Start(); err != nil {
			return err
		}
		ended, err := s.await(deadline)
		if err == nil {
			return nil
		}
		if !ended || !s.crashed || time.Now().After(deadline) {
			out := s.Log()
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, out[max(0, len(out)-2000):])
		}
		// The processes of the earlier life hold its memory for a moment.
		_ = s.cmd.Wait() // the server's log says how it ended
		pause(50 * time.Millisecond)
	}
}

// await waits until the server answers, or has ended.
func (s *Server) await(deadline time.Time) (ended bool, err error) {
	for {
		if err = s.ping(); err == nil {
			return false, nil
		}
		if hasEnded(s.cmd) {
			return true, errors.New("it ended at once")
		}
		if time.Now().After(deadline) {
			return false, err
		}
		pause(5 * time.Millisecond)
	}
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func pause(d time.Duration) { <-time.After(d) }

// URL returns the address of a database of the server.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database,
		RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String()
}

// NewDatabase makes an empty database and returns its address.
func (s *Server) NewDatabase() (string, error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	name := newName()
	_, err = conn.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE template0`)
	return s.URL(name), err
}

// PID returns the process that starts all other processes of the server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server like a crash.
func (s *Server) Kill() error {
	s.crashed = true
	return s.end(os.Kill)
}

// Standby makes a copy of the current data, for which the server is restarted. takeOver
// ends the server and goes on from the copy on a timeline of its own, like a promoted
// standby that was behind.
func (s *Server) Standby() (takeOver func() error, err error) {
	if err := s.Kill(); err != nil {
		return nil, err
	}
	behind := filepath.Join(s.dir, "behind")
	if err := s.shell(`cp -a "$1" "$2" && rm -f "$2/postmaster.pid"`, s.data(), behind); err != nil {
		return nil, err
	}
	s.settings = append(s.settings, "restore_command=false")
	return func() error {
		err := s.Kill()
		if err == nil {
			err = s.shell(`rm -rf "$1" && mv "$2" "$1" && touch "$1/recovery.signal"`, s.data(), behind)
		}
		if err == nil {
			err = s.Launch()
		}
		return err
	}, s.Launch()
}

// shell runs a script as the user to whom the files belong.
func (s *Server) shell(script string, args ...string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir = s.dir
	asAnother(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	err := s.end(syscall.SIGQUIT)
	if s.broom != nil {
		err = errors.Join(err, s.lifeline.Close())
		_ = s.broom.Wait() // it may not be allowed to remove its working directory
		err = errors.Join(err, s.remove())
	}
	return err
}

// Revive starts the next life of a server that has ended by itself. It waits until the
// server answers.
func (s *Server) Revive() error {
	if ended, err := s.await(time.Now().Add(startTime)); !ended {
		return err
	}
	s.crashed = true
	_ = s.cmd.Wait() // the server's log says how it ended
	return s.Launch()
}

// Log returns the output of the server in all its lives.
func (s *Server) Log() string {
	out, _ := os.ReadFile(s.logName())
	return string(out)
}

func (s *Server) logName() string { return filepath.Join(s.dir, "log") }

func (s *Server) end(how os.Signal) error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	err := s.cmd.Process.Signal(how)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	_ = s.cmd.Wait() // it was told to end, so an error is expected
	s.cmd = nil
	return err
}
