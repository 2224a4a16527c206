package app_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// running is a gateway on a directory, and how it ended.
type running struct {
	*app.App
	dir   string
	ended chan error
}

func configIn(t *testing.T, dir string) config.Config {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0",
		"AMTP_DATA_DIR=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func runIn(t *testing.T, dir string) *running {
	t.Helper()
	a, err := app.New(configIn(t, dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &running{a, dir, make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	go func() { r.ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		a.Close()
	})
	return r
}

// TestTakenFilesEndTheGateway: a gateway whose files are deleted or replaced ends and
// says why. It removes no file of another gateway. The next one starts where the files
// allow it.
func TestTakenFilesEndTheGateway(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows lets nobody delete or replace a file that is open")
	}
	remove := func(name string) func(*testing.T, string) error {
		return func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	for name, tt := range map[string]struct {
		take   func(t *testing.T, dir string) error
		why    string
		starts bool // whether the next gateway starts
	}{
		"lock":     {remove("amtp.lock"), "amtp.lock was ", true},
		"database": {remove("amtp.db"), "amtp.db was deleted", false},
		"journal":  {remove("amtp.db-wal"), "amtp.db-wal was deleted", true},
		"index":    {remove("amtp.db-shm"), "amtp.db-shm was deleted", true},
		"everything": {func(_ *testing.T, dir string) error {
			return errors.Join(os.Rename(dir, dir+".moved"), os.Mkdir(dir, 0o700))
		}, "was deleted", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			r := runIn(t, dir)
			if err := tt.take(t, dir); err != nil {
				t.Fatal(err)
			}
			if name != "everything" {
				if _, err := app.New(configIn(t, dir), slog.New(slog.DiscardHandler)); err == nil {
					t.Error("a second gateway started beside the first")
				}
			}
			select {
			case err := <-r.ended:
				if !errors.Is(err, gateway.ErrTaken) || !strings.Contains(err.Error(), tt.why) {
					t.Errorf("Run = %v, want %q", err, tt.why)
				}
			case <-time.After(time.Minute):
				t.Fatal("the gateway goes on")
			}
			if _, err := http.Get(r.URL() + "/health"); err == nil {
				t.Error("the gateway answers still")
			}
			others := datadir.Running{URL: "http://127.0.0.1:9", PID: 9}
			if err := datadir.Record(dir, others); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Logf("close: %v", err) // files are gone
			}
			if !datadir.Recorded(dir, others) {
				t.Error("the gateway removed the note of another gateway")
			}
			next, err := app.New(configIn(t, dir), slog.New(slog.DiscardHandler))
			if (err == nil) != tt.starts {
				t.Errorf("the next start = %v, want it to start: %t", err, tt.starts)
			}
			if err == nil {
				next.Close()
			}
		})
	}
}

// TestNoteIsPutBack: the note by which commands find the gateway is put back after it
// was deleted.
func TestNoteIsPutBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := runIn(t, dir)
	name := filepath.Join(dir, datadir.GatewayFile)
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if here, claimed := datadir.Holder(dir); claimed && here.URL == r.URL() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the note is not put back")
		}
		runtime.Gosched()
	}
	for deadline := time.Now().Add(time.Minute); ; { // the time is set after the note was written
		now, err := os.Stat(name)
		if err == nil && now.ModTime().Sub(before.ModTime()).Abs() < time.Second {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the note says that the gateway began at %v, want %v (%v)", now.ModTime(), before.ModTime(), err)
		}
		runtime.Gosched()
	}
}

// TestEveryFileIsForeign: every file that a gateway keeps in its data directory is
// known, so that no command overwrites it.
func TestEveryFileIsForeign(t *testing.T) {
	if datadir.DatabaseFile != sqlite.FileName {
		t.Errorf("the database is %s to the directory and %s to the store", datadir.DatabaseFile, sqlite.FileName)
	}
	dir := filepath.Join(t.TempDir(), "data")
	runIn(t, dir)
	if _, err := operate.MakeBackup(t.Context(), dir, filepath.Join(t.TempDir(), "backup.db"), false); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".tmp") ||
			strings.HasPrefix(filepath.Base(name), ".new-") {
			return err
		}
		found++
		if !errors.Is(datadir.Foreign(name), datadir.ErrOwn) {
			t.Errorf("%s is in no list of the gateway's own files", name)
		}
		return nil
	})
	if err != nil || found < 6 {
		t.Errorf("%d files, %v", found, err)
	}
}
