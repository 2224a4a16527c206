//go:build unix

package app_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
)

// TestOpenDataDirectory: a data directory into which other users may write is refused,
// unless the operator says that no other user can reach it. The log says so.
func TestOpenDataDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	start := func(log *bytes.Buffer, settings ...string) (*app.App, error) {
		cfg, _, err := config.Load(config.Sources{
			Environ: append([]string{"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + dir}, settings...),
		})
		if err != nil {
			t.Fatal(err)
		}
		return app.New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	}
	var log bytes.Buffer
	if _, err := start(&log); !errors.As(err, new(*datadir.OpenError)) {
		t.Fatalf("start in a directory of mode 0777 = %v, want an OpenError", err)
	}
	a, err := start(&log, "AMTP_DATA_DIR_OPEN=true")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "0777") {
		t.Errorf("the log says %q, want a warning with the mode", log.String())
	}
}
