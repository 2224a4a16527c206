package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/test/pgtest"
)

// TestMigrateStore moves a gateway to PostgreSQL by the commands, and finds the
// other commands of a data directory pointing there.
func TestMigrateStore(t *testing.T) {
	u := newUser(t)
	dir, database := filepath.Join(u.home, "data"), pgtest.Database(t, "empty", nil)
	url, stop := gatewayIn(t, dir)
	u.does(0, "registered", "setup", "--name", "alice", "--gateway", url)
	u.does(0, "", "send", "--to", "alice@localhost", "--text", "kept")
	u.does(1, "is in use by the gateway at "+url, "migrate-store", "--to", database)
	stop()
	u.does(2, "Say where to", "migrate-store")
	u.does(2, "is not the address of a PostgreSQL", "migrate-store", "--to", "mysql://u:p@h/d")
	u.does(4, "There is no database of a gateway in", "migrate-store", "--from", u.home, "--to", database)
	got := u.does(0, "Moved and compared:\n  agent              1  sha256:", "migrate-store", "--to", database)
	if !strings.Contains(got.stderr, "message: 1 of 1 rows compared (100 %)\n") {
		t.Errorf("progress is\n%s\nwant the comparison of messages", got.stderr)
	}
	u.does(5, "Everything was moved already", "migrate-store", "--to", database)
	other := newUser(t)
	_, stop = gatewayIn(t, filepath.Join(other.home, "data"))
	stop()
	other.does(5, "The database holds other data", "migrate-store", "--to", database)
	got = other.does(0, "", "migrate-store", "--to", pgtest.Database(t, "empty", nil), "--json")
	var said struct {
		From, To string
		Tables   []operate.MovedTable
	}
	if err := json.Unmarshal([]byte(got.stdout), &said); err != nil || len(said.Tables) < 9 ||
		said.From != filepath.Join(other.home, "data") {
		t.Errorf("migrate-store --json = %s, %v", got.stdout, err)
	}
}

// TestFilesOfAGatewayElsewhere: a command for files in a data directory says what to
// use for a gateway on PostgreSQL.
func TestFilesOfAGatewayElsewhere(t *testing.T) {
	u := newUser(t)
	u.env = append(u.env, "AMTP_DATABASE_URL=postgres://amtp:canary@db.lan/amtp")
	for _, args := range [][]string{{"backup", "file"}, {"restore", "file"}, {"check"}} {
		got := u.does(2, "The data of this gateway is in PostgreSQL (postgres://amtp:(set)@db.lan/amtp)", args...)
		if !strings.Contains(got.stderr, "docs/operations-postgres.md") || strings.Contains(got.stderr, "canary") {
			t.Errorf("amtp %v says\n%s\nwant the page, and no password", args, got.stderr)
		}
	}
	// A named directory with SQLite takes precedence.
	dir := filepath.Join(u.home, "data")
	_, stop := gatewayIn(t, dir)
	stop()
	u.does(0, "All in order.", "check", dir)
	u.does(0, "Backup written", "backup", filepath.Join(u.home, "copy"), "--data-dir", dir)
}
