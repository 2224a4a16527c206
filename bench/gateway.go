package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A gateway is the real program on a directory of its own, with its two agents.
type gateway struct {
	*process
	dir string
	url string
}

// starting bounds how long a gateway may take until it answers.
const starting = 30 * time.Second

// build makes the program as it is shipped: stripped, without paths.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "amtp")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "github.com/amtp-go/amtp/cmd/amtp")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// startGateway starts the program on dir, which may hold an earlier gateway's
// data, and waits until it is ready. What it logs goes to DIR.log.
func startGateway(ctx context.Context, binary, dir string) (*gateway, error) {
	log, err := os.OpenFile(dir+".log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, "serve", "--address", "127.0.0.1:0", "--data-dir", dir)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &gateway{dir: dir, process: &process{name: gatewayServer, pid: cmd.Process.Pid, cmd: cmd}}
	if err := g.awaitReady(ctx); err != nil {
		text, _ := os.ReadFile(dir + ".log")
		return nil, errors.Join(err, g.stop(), fmt.Errorf("its log:\n%s", text))
	}
	return g, nil
}

// environment is the caller's without the variables that configure a gateway,
// so that the defaults are measured.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AMTP_") {
			env = append(env, v)
		}
	}
	return env
}

// awaitReady reads where the gateway listens and asks it until it is ready.
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
	b, err := os.ReadFile(filepath.Join(g.dir, "gateway.json"))
	if err != nil {
		return err
	}
	var at struct {
		URL string `json:"url"`
		PID int    `json:"pid"`
	}
	if err := json.Unmarshal(b, &at); err != nil {
		return err
	}
	if at.PID != g.pid {
		return fmt.Errorf("gateway.json names process %d, not %d", at.PID, g.pid)
	}
	u, err := url.Parse(at.URL)
	if err != nil {
		return err
	}
	g.url, g.addr = at.URL, u.Host
	return g.call(ctx, request{method: "GET", path: "/ready"}, nil)
}

// register makes the two agents.
func (g *gateway) register(ctx context.Context) error {
	key, err := os.ReadFile(filepath.Join(g.dir, "admin.key"))
	if err != nil {
		return err
	}
	admin := strings.TrimSpace(string(key))
	for name, a := range map[string]*agent{"alice": &g.sender, "bob": &g.recipient} {
		body := fmt.Appendf(nil, `{"address":%q,"delivery_mode":"pull"}`, name)
		if err := g.call(ctx, request{method: "POST", path: "/v1/admin/agents", admin: admin, body: body}, a); err != nil {
			return err
		}
	}
	return nil
}

// A request is one outside the measured load.
type request struct {
	method, path string
	key, admin   string // at most one of them
	body         []byte
}

// call makes one request and decodes a successful answer into out, if given.
func (g *gateway) call(ctx context.Context, q request, out any) error {
	r, err := http.NewRequestWithContext(ctx, q.method, g.url+q.path, bytes.NewReader(q.body))
	if err != nil {
		return err
	}
	if q.key != "" {
		r.Header.Set("Authorization", "Bearer "+q.key)
	}
	if q.admin != "" {
		r.Header.Set("X-Admin-Key", q.admin)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %s", q.method, q.path, answer.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// inbox returns the ids of all messages in the recipient's inbox, page by page
// as a client reads them. An id that stands in it twice is an error.
func (g *gateway) inbox(ctx context.Context) ([]string, error) {
	var ids []string
	known := make(map[string]bool)
	for after := ""; ; {
		var page struct {
			Messages []struct {
				ID string `json:"message_id"`
			} `json:"messages"`
			HasMore bool   `json:"has_more"`
			Next    string `json:"next_cursor"`
		}
		path := "/v1/inbox/" + g.recipient.Address + "?limit=1000&after=" + url.QueryEscape(after)
		if err := g.call(ctx, request{method: "GET", path: path, key: g.recipient.Key}, &page); err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			if known[m.ID] {
				return nil, fmt.Errorf("message %s is in the inbox twice", m.ID)
			}
			known[m.ID] = true
			ids = append(ids, m.ID)
		}
		if !page.HasMore {
			return ids, nil
		}
		if page.Next == after {
			return nil, errors.New("the inbox has more, but its cursor does not move")
		}
		after = page.Next
	}
}

// verify checks that the inbox holds exactly n messages, all those that were
// acknowledged with 202 and no others.
func (g *gateway) verify(ctx context.Context, n int) error {
	ids, err := g.inbox(ctx)
	if err != nil {
		return err
	}
	if len(ids) != n {
		return fmt.Errorf("the gateway acknowledged %d messages; its inbox has %d", n, len(ids))
	}
	return nil
}

// fill sends n messages as fast as it can be done.
func (g *gateway) fill(ctx context.Context, n, payload int) error {
	_, err := submissions(g.process, 64, n, payload).drive(ctx)
	return err
}
