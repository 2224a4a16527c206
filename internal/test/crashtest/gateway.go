package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
)

// A Gateway is the real program on one data directory, through all its lives.
// One goroutine starts and kills it; any number may ask for its URL.
type Gateway struct {
	binary string
	dir    string
	log    string // the file for the output of all lives
	cmd    *exec.Cmd

	// Settings of the next life: its listen address, and more of its environment as
	// NAME=value.
	Address     string
	Environment []string

	mu  sync.Mutex
	url string        // "" until the present life listens
	up  chan struct{} // closed once url is set
}

// poll is how often a file or a URL is checked during a wait.
const poll = 2 * time.Millisecond

// Build compiles the program in dir.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "amtp")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/amtp-go/amtp/cmd/amtp")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// NewGateway returns a gateway with its data and its log below dir. It does not run
// yet.
func NewGateway(binary, dir string) *Gateway {
	return &Gateway{
		binary: binary, dir: filepath.Join(dir, "data"), log: filepath.Join(dir, "log"),
		up: make(chan struct{}), Address: "127.0.0.1:0",
	}
}

// Launch starts the next life and returns as soon as the process exists.
func (g *Gateway) Launch() error {
	log, err := os.OpenFile(g.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	g.cmd = exec.Command(g.binary, "serve", "--address", g.Address, "--data-dir", g.dir)
	g.cmd.Env = append(environment(), g.Environment...)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	return g.cmd.Start()
}

// environment is this process's environment without the variables that configure a
// gateway.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AMTP_") {
			env = append(env, v)
		}
	}
	return env
}

// AwaitReady returns when the gateway says that it is ready. Its URL is available
// earlier, as soon as it listens.
func (g *Gateway) AwaitReady(ctx context.Context) error {
	again := time.NewTicker(poll)
	defer again.Stop()
	for {
		err := g.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(g.log)
			return fmt.Errorf("the gateway is not ready: %w; it says:\n%.4000s", err, log)
		case <-again.C:
		}
	}
}

func (g *Gateway) ready(ctx context.Context) error {
	b, err := os.ReadFile(filepath.Join(g.dir, datadir.GatewayFile))
	if err != nil {
		return err
	}
	var here datadir.Running
	if err := json.Unmarshal(b, &here); err != nil {
		return err // the file is not complete yet
	}
	if here.PID != g.cmd.Process.Pid {
		return errors.New("it does not listen yet")
	}
	g.publish(here.URL)
	health, err := (&amtp.Client{URL: here.URL, Retries: -1}).Ready(ctx)
	if err == nil && (health.Ready == nil || !*health.Ready) {
		err = fmt.Errorf("it says that it is %q", health.Status)
	}
	return err
}

func (g *Gateway) publish(url string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.url == "" {
		g.url = url
		close(g.up)
	}
}

// leave records that the gateway no longer listens.
func (g *Gateway) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.url != "" {
		g.url, g.up = "", make(chan struct{})
	}
}

// Terminate ends the current life as an operator does, and waits until its process has
// ended.
func (g *Gateway) Terminate() error {
	g.leave()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("the gateway was gone before it was asked to end: %w", err)
	}
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("the gateway was asked to end: %w", err)
	}
	return nil
}

// Signal sends the current life a signal.
func (g *Gateway) Signal(s os.Signal) error { return g.cmd.Process.Signal(s) }

// Log returns the output of all lives.
func (g *Gateway) Log() string {
	b, _ := os.ReadFile(g.log)
	return string(b)
}

// Kill ends the current life with SIGKILL and waits until its process has ended.
func (g *Gateway) Kill() error {
	g.leave()
	if err := g.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("the gateway was gone before it was killed: %w", err)
	}
	var exit *exec.ExitError
	if err := g.cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		return fmt.Errorf("the gateway ended by itself before it was killed: %w", err)
	}
	return nil
}

// URL returns the URL of the gateway. It waits for the next life if the gateway is
// down.
func (g *Gateway) URL(ctx context.Context) (string, error) {
	for {
		g.mu.Lock()
		url, up := g.url, g.up
		g.mu.Unlock()
		if url != "" {
			return url, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// AdminKey returns the administrator's key of the running gateway.
func (g *Gateway) AdminKey(ctx context.Context) (string, error) {
	url, err := g.URL(ctx)
	if err != nil {
		return "", err
	}
	key, ok := datadir.AdminKey(g.dir, url)
	if !ok {
		return "", fmt.Errorf("there is no administrator's key in %s", g.dir)
	}
	return key, nil
}
