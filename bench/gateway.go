package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/datadir"
)

// A gateway is the real program with a new directory and its two agents.
type gateway struct {
	*process
	dir  string
	url  string
	http *http.Client
}

// starting bounds how long a gateway may take until it is ready.
const starting = 30 * time.Second

// build makes the program as it is released: stripped, without paths.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "amtp")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary,
		"github.com/amtp-go/amtp/cmd/amtp")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// launch has what a gateway is started with, in addition to its directory.
type launch struct {
	settings []string     // NAME=value
	http     *http.Client // reaches the gateway; nil for the usual client
}

// startGateway starts the program on dir, which may hold an earlier gateway's data, and
// waits until it is ready. Its log goes to DIR.log.
func startGateway(ctx context.Context, binary, dir string, with launch) (*gateway, error) {
	log, err := os.OpenFile(dir+".log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, "serve", "--data-dir", dir)
	// One sender of a benchmark sends more than a domain may in its first day.
	cmd.Env = append(append(environment(), "AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_LIMITS_MESSAGES_PER_MINUTE=1000000",
		"AMTP_LIMITS_BYTES_PER_MINUTE=64GiB"),
		with.settings...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &gateway{dir: dir, http: with.http, process: &process{name: gatewayServer, pid: cmd.Process.Pid, cmd: cmd}}
	if err := g.awaitReady(ctx); err != nil {
		text, _ := os.ReadFile(dir + ".log")
		return nil, errors.Join(err, g.stop(), fmt.Errorf("its log:\n%s", text))
	}
	return g, nil
}

// environment returns the caller's environment without the variables that configure a
// gateway, so that the defaults are measured.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AMTP_") {
			env = append(env, v)
		}
	}
	return env
}

// awaitReady reads the gateway's address and asks the gateway until it is ready.
func (g *gateway) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := g.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway was not ready within %v: %w", starting, err)
		case <-again.C:
		}
	}
}

func (g *gateway) ready(ctx context.Context) error {
	b, err := os.ReadFile(filepath.Join(g.dir, datadir.GatewayFile))
	if err != nil {
		return err
	}
	var here datadir.Running
	if err := json.Unmarshal(b, &here); err != nil {
		return err
	}
	if here.PID != g.pid {
		return fmt.Errorf("%s names process %d, not %d", datadir.GatewayFile, here.PID, g.pid)
	}
	u, err := url.Parse(here.URL)
	if err != nil {
		return err
	}
	g.url, g.addr = here.URL, u.Host
	health, err := (&amtp.Client{URL: g.url, HTTP: g.http}).Ready(ctx)
	if err == nil && (health.Ready == nil || !*health.Ready) {
		err = fmt.Errorf("it says that it is %q", health.Status)
	}
	return err
}

// operator returns a client with the administrator's key.
func (g *gateway) operator() (*admin.Client, error) {
	key, ok := datadir.AdminKey(g.dir, g.url)
	if !ok {
		return nil, fmt.Errorf("%s has no administrator's key for %s", g.dir, g.url)
	}
	return &admin.Client{Client: amtp.Client{URL: g.url, Key: key, AdminKey: key, HTTP: g.http}}, nil
}

// register registers the two agents.
func (g *gateway) register(ctx context.Context) error {
	c, err := g.operator()
	if err != nil {
		return err
	}
	for name, a := range map[string]*agent{"alice": &g.sender, "bob": &g.recipient} {
		r, err := c.Register(ctx, amtp.NewAgent{Address: name})
		if err != nil {
			return err
		}
		*a = agent{r.Address, r.APIKey}
	}
	return nil
}

// inbox returns the ids of all messages in the recipient's inbox, page by page as a
// client reads them, and the cursor after the last. An id that is there twice is an
// error.
func (g *gateway) inbox(ctx context.Context) ([]amtp.MessageID, string, error) {
	c := amtp.Client{URL: g.url, Key: g.recipient.Key, HTTP: g.http}
	var ids []amtp.MessageID
	known := make(map[amtp.MessageID]bool)
	for q := (amtp.InboxQuery{Limit: 1000}); ; {
		page, err := c.Inbox(ctx, g.recipient.Address, q)
		if err != nil {
			return nil, "", err
		}
		for _, m := range page.Messages {
			if known[m.MessageID] {
				return nil, "", fmt.Errorf("message %s is in the inbox twice", m.MessageID)
			}
			known[m.MessageID] = true
			ids = append(ids, m.MessageID)
		}
		if !page.HasMore {
			return ids, page.NextCursor, nil
		}
		if page.NextCursor == q.After {
			return nil, "", errors.New("the inbox has more, but its cursor does not move")
		}
		q.After = page.NextCursor
	}
}

// verify checks that the inbox holds exactly n messages: all that were answered with
// 202, and no others.
func (g *gateway) verify(ctx context.Context, n int) error {
	ids, _, err := g.inbox(ctx)
	if err == nil && len(ids) != n {
		err = fmt.Errorf("the inbox has %d messages; %d were acknowledged", len(ids), n)
	}
	return err
}

// fill sends n messages as fast as possible.
func (g *gateway) fill(ctx context.Context, n, payload int) error {
	_, err := submissions(g.process, 64, n, payload).drive(ctx)
	return err
}
