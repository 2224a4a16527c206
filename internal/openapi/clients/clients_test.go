// Package clients makes clients from the API's document, with common generators and the
// commands of docs/clients.md. Each client is compiled and plays the same story at a
// real gateway. An error of a generator in reading the document fails the test. The
// package downloads the generators, so it needs the network.
package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/openapi"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// story is what each client prints; NAME is the client's own part of every name.
const story = `setup: ann-NAME@localhost by pull
setup: bob-NAME@localhost by pull
send: delivered to bob-NAME@localhost
status: delivered, next retry null
list: 1 sent by ann-NAME@localhost
inbox: 1, unread, local, {"text":"What do 500 bolts cost?"}
read: read
ack: acknowledged
status: read true, acknowledged true
discover: 1, bob-NAME@localhost
unknown recipient: 404 AGENT_UNKNOWN, whole: true
another's inbox: 403 ACCESS_DENIED, whole: true
no path: 404 NOT_FOUND, whole: true
`

// TestGo makes clients with oapi-codegen and ogen.
func TestGo(t *testing.T) {
	slow.Test(t, "it makes and builds two clients, with downloads")
	t.Parallel()
	url := gateway(t)
	dir := copied(t, "testdata/go")
	twice(t, dir, "go", "mod", "download")
	for _, generator := range []string{"oapi-codegen", "ogen"} {
		t.Run(generator, func(t *testing.T) {
			in := filepath.Join(dir, generator)
			fetch(t, url, in)
			twice(t, in, "sh", "-ec", command(t, generator))
			program := filepath.Join(t.TempDir(), "story")
			run(t, in, "go", "build", "-o", program, ".")
			told(t, generator, run(t, in, program, url, generator))
		})
	}
}

// TestNode makes a client in TypeScript and runs the linters. npm installs the versions
// that package-lock.json names.
func TestNode(t *testing.T) {
	slow.Test(t, "npm downloads generators and linters")
	t.Parallel()
	dir := copied(t, "testdata/npm")
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), openapi.Source(), 0o600); err != nil {
		t.Fatal(err)
	}
	twice(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	t.Run("redocly", func(t *testing.T) {
		found := run(t, dir, "node_modules/.bin/redocly", "lint", "--format=json", "openapi.yaml")
		var report struct {
			Totals   struct{ Errors, Warnings, Ignored int }
			Problems []any
		}
		if err := json.Unmarshal([]byte(found), &report); err != nil ||
			report.Totals.Errors+report.Totals.Warnings+report.Totals.Ignored > 0 {
			t.Errorf("redocly lint: %v\n%s", err, found)
		}
		t.Logf("redocly lint: %+v", report.Totals)
	})
	t.Run("spectral", func(t *testing.T) {
		t.Log(run(t, dir, "node_modules/.bin/spectral", "lint", "--fail-severity=warn", "openapi.yaml"))
	})
	t.Run("openapi-typescript", func(t *testing.T) {
		url := gateway(t)
		fetch(t, url, dir)
		run(t, dir, "sh", "-ec", command(t, "openapi-typescript"))
		run(t, dir, "node_modules/.bin/tsc", "--strict", "--noUncheckedIndexedAccess", "--module", "nodenext",
			"--target", "es2022", "--lib", "es2022,dom,dom.iterable", "story.ts")
		told(t, "typescript", run(t, dir, "node", "story.js", url, "typescript"))
	})
}

func told(t *testing.T, name, said string) {
	t.Helper()
	if want := strings.ReplaceAll(story, "NAME", name); said != want {
		t.Errorf("the client printed\n%s\nwant\n%s", said, want)
	}
	t.Logf("the client printed\n%s", said)
}

// gateway runs a gateway in the development profile and returns its URL.
func gateway(t *testing.T) string {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0",
		"AMTP_DATA_DIR=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a.URL()
}

// fetch writes the document that the gateway serves into dir, as openapi.json.
func fetch(t *testing.T, url, dir string) {
	t.Helper()
	answer, err := http.Get(url + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	doc, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET /v1/openapi.json: %s, %v", answer.Status, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
}

// command returns the command that docs/clients.md shows for a generator.
func command(t *testing.T, generator string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n([^`]*" + generator + "@v?[0-9][^`]*)```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/clients.md shows no command with %s@VERSION", generator)
	}
	return string(block[1])
}

// copied returns a new directory with the files of another one.
func copied(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// twice runs a program that downloads; when it fails, twice runs it once more.
func twice(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	if out, err := try(t, dir, program, args...); err != nil {
		t.Logf("once more: %v\n%s", err, out)
		run(t, dir, program, args...)
	}
}

// run runs a program in dir and returns what it prints.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, program, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func try(t *testing.T, dir, program string, args ...string) (string, error) {
	t.Helper()
	if strings.Contains(program, "node_modules") {
		program = filepath.Join(dir, program)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	// npx must not fetch a program that is not installed: its version could differ from
	// those in the page and in package.json.
	cmd.Env = append(os.Environ(), "GOFLAGS=-p=2", "GOWORK=off", "REDOCLY_TELEMETRY=off",
		"REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	if program != "npm" {
		cmd.Env = append(cmd.Env, "npm_config_offline=true")
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %.200s: %w: %s", program, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}
