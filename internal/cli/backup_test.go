package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
)

// gatewayIn runs a gateway on the directory for the length of a test, or until
// the returned function is called.
func gatewayIn(t *testing.T, dir string) (url string, stop func()) {
	t.Helper()
	return gatewayLogging(t, dir, io.Discard)
}

// gatewayLogging is gatewayIn with a place for the gateway's log.
func gatewayLogging(t *testing.T, dir string, log io.Writer) (url string, stop func()) {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0",
		"AMTP_DATA_DIR=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(stop)
	return a.URL(), stop
}

// does runs a command and checks its exit code and its output.
func (u *user) does(exit int, inOutput string, args ...string) outcome {
	u.t.Helper()
	got := u.run(args...)
	if got.exit != exit || !strings.Contains(got.stdout+got.stderr, inOutput) {
		u.t.Fatalf("amtp %s: got exit %d\nstdout:\n%s\nstderr:\n%s\nwant exit %d and %q",
			strings.Join(args, " "), got.exit, got.stdout, got.stderr, exit, inOutput)
	}
	return got
}

func TestBackupAndRestore(t *testing.T) {
	u := newUser(t)
	dir, file := filepath.Join(u.home, "data"), filepath.Join(u.home, "amtp.backup")
	url, stop := gatewayIn(t, dir)
	u.does(0, "registered", "setup", "--name", "alice", "--gateway", url)
	u.does(0, "", "send", "--to", "alice@localhost", "--text", "kept")
	u.does(4, "There is no database of a gateway in", "backup", file, "--data-dir", u.home)
	u.does(2, "Wrong arguments", "backup")
	u.does(0, "Messages:   1", "backup", file)
	u.does(5, "exists already", "backup", file)
	got := u.does(0, "", "backup", file, "--force", "--json")
	var b operate.Backup
	if err := json.Unmarshal([]byte(got.stdout), &b); err != nil || b.Messages != 1 || b.Deliveries != 1 ||
		b.Agents != 1 || b.Size == 0 || b.Schema == 0 {
		t.Errorf("backup --json = %s, %v; want one of everything", got.stdout, err)
	}
	u.does(0, "All in order.", "check")
	u.does(1, "is in use by the gateway at "+url, "restore", file, "--force")
	u.does(0, "was not paused", "restore", "--confirm")
	stop()
	u.does(5, "exists already", "restore", file)
	u.does(2, "Give the backup's FILE, or --database, or --confirm", "restore")
	u.does(2, "Give the backup's FILE, or --database, or --confirm", "restore", file, "--confirm")
	u.does(4, "There is no file", "restore", file+".none", "--force")

	elsewhere := filepath.Join(u.home, "new")
	u.does(0, `"paused":true`, "restore", file, "--data-dir", elsewhere, "--json")
	u.does(1, "✗ delivery: paused since", "check", elsewhere)
	var log bytes.Buffer
	url, stop = gatewayLogging(t, elsewhere, &log)
	u.env = append(u.env, "AMTP_GATEWAY_URL="+url, "AMTP_API_KEY="+u.config()["apiKey"])
	u.does(0, "kept", "inbox")
	components := func() string {
		t.Helper()
		h, err := (&amtp.Client{URL: url}).Health(t.Context())
		ready, err2 := (&amtp.Client{URL: url}).Ready(t.Context())
		if err := errors.Join(err, err2); err != nil || !*ready.Ready {
			t.Fatalf("health and readiness: %v, %+v; want both, and ready", err, ready)
		}
		return h.Components["delivery"]
	}
	if got := components(); got != "paused" {
		t.Errorf("delivery in /health = %q, want paused", got)
	}
	u.does(6, "restored from a backup", "send", "--to", "alice@localhost", "--text", "new")
	u.does(3, "Missing config: the gateway's admin key", "restore", "--confirm", "--gateway", url)
	u.does(0, "accepts messages.", "restore", "--confirm", "--data-dir", elsewhere)
	u.does(0, "", "send", "--to", "alice@localhost", "--text", "new")
	if got := components(); got != "" {
		t.Errorf("delivery in /health = %q, want nothing", got)
	}
	stop()
	if want := `msg="the pause was ended: messages are accepted" request=`; strings.Count(log.String(), want) != 1 ||
		!strings.Contains(log.String(), "by=admin") {
		t.Errorf("the log of the gateway says %q, want one line with %s and by=admin", log.String(), want)
	}

	if strings.Contains(log.String(), "request failed") {
		t.Errorf("the log of a paused gateway says %q, want that it is paused, once", log.String())
	}

	// A stopped gateway is confirmed in its directory.
	u.does(0, "The former database: ", "restore", file, "--data-dir", elsewhere, "--force")
	u.does(0, `{"was_paused":true}`, "restore", "--confirm", "--data-dir", elsewhere, "--json")
	u.does(0, "All in order.", "check", elsewhere)
	u.does(4, "There is no database of a gateway in", "restore", "--confirm", "--data-dir",
		filepath.Join(u.home, "nowhere"))
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	u := newUser(t)
	dir := filepath.Join(u.home, "data")
	_, stop := gatewayIn(t, dir)
	u.does(0, "✓ gateway: runs at http://127.0.0.1:", "check", dir)
	stop()
	if err := os.Chmod(filepath.Join(dir, "admin.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	u.does(1, "chmod 600 "+filepath.Join(dir, "admin.key"), "check")
	got := u.does(1, "", "check", "--json")
	var answer struct {
		OK       bool              `json:"ok"`
		Findings []operate.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || answer.OK || len(answer.Findings) < 10 {
		t.Errorf("check --json = %s, %v", got.stdout, err)
	}
	u.does(1, "is not a directory", "check", filepath.Join(u.home, "nowhere"))
	u.does(1, "✗ database: cannot be opened", "check", u.home)
}
