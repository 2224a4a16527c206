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
	log    string // the file for what all lives print
	cmd    *exec.Cmd

	// What the next life is given: where it listens, and more of its
	// environment as NAME=value.
	Address     string
	Environment []string

	mu  sync.Mutex
	url string        // "" until the present life listens
	up  chan struct{} // closed once url is set
}

// poll is how often a file or a URL is looked at while something is awaited.
const poll = 2 * time.Millisecond

// Build makes the program in dir.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "amtp")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/amtp-go/amtp/cmd/amtp")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// NewGateway returns a gateway with its data and its log below dir. It does not
// run yet.
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

// environment is ours without what would configure the gateway.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AMTP_") {
			env = append(env, v)
		}
	}
	return env
}

// AwaitReady returns when the gateway says that it is ready. Its URL is given
// out earlier, as soon as it listens.
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
		return err // half written
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

// leave says that nobody listens any more.
func (g *Gateway) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.url != "" {
		g.url, g.up = "", make(chan struct{})
	}
}

// Terminate ends the present life as an operator does, and waits until it is gone.
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

// Signal sends the present life a signal.
func (g *Gateway) Signal(s os.Signal) error { return g.cmd.Process.Signal(s) }

// Log returns what all lives have printed.
func (g *Gateway) Log() string {
	b, _ := os.ReadFile(g.log)
	return string(b)
}

// Kill ends the present life with SIGKILL and waits until it is gone.
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

// URL returns where the gateway listens, waiting for its next life if need be.
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
