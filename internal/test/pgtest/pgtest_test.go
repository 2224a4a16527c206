package pgtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/jackc/pgx/v5"
)

func exec1(t *testing.T, url, sql string) error {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// TestDatabase makes independent databases from a template that was migrated once.
func TestDatabase(t *testing.T) {
	migrated := 0
	migrate := func(url string) error {
		migrated++
		return exec1(t, url, `CREATE TABLE word (w text PRIMARY KEY)`)
	}
	for range 3 {
		url := Database(t, "words", migrate)
		if err := exec1(t, url, `INSERT INTO word VALUES ('one')`); err != nil {
			t.Errorf("a new database: %v, want an empty table", err)
		}
	}
	if migrated != 1 {
		t.Errorf("migrated %d times, want once", migrated)
	}
	if err := exec1(t, Database(t, "empty", nil), `SELECT * FROM word`); err == nil {
		t.Error("a database of another kind has the table, want none")
	}
}

// TestMigrateFails: the error of migrate is returned.
func TestMigrateFails(t *testing.T) {
	slow.Test(t, "it needs PostgreSQL")
	wrong := errors.New("no")
	if _, err := database("wrong", func(string) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("database = %v, want %v", err, wrong)
	}
}

// TestServer kills a server and starts it again: the committed data is there. After
// Stop its files are gone.
func TestServer(t *testing.T) {
	slow.Test(t, "it needs PostgreSQL")
	s, err := Start("work_mem=5MB")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := exec1(t, s.URL("postgres"), `CREATE TABLE word (w text PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.ping(); err == nil {
		t.Error("a killed server answers")
	}
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := exec1(t, s.URL("postgres"), `INSERT INTO word VALUES (current_setting('work_mem'))`); err != nil {
		t.Errorf("after the crash: %v, want the table", err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the server's directory after Stop: %v, want none", err)
	}
}

// TestRevive restarts a server that has ended by itself, here because the test killed
// it, and does not touch one that runs. Its journal is on the chosen disk, and is
// removed with the server.
func TestRevive(t *testing.T) {
	slow.Test(t, "it needs PostgreSQL")
	disks := []string{t.TempDir(), t.TempDir()}
	for _, dir := range disks { // the server runs as another user, who must reach them
		for range 2 {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			dir = filepath.Dir(dir)
		}
	}
	s, err := StartOn(disks[0], disks[1])
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	journal, err := filepath.Glob(filepath.Join(disks[1], "*", "0000*"))
	if err != nil || len(journal) == 0 {
		t.Errorf("files of the journal on its disk: %q, %v, want some", journal, err)
	}
	first := s.PID()
	if err := s.Revive(); err != nil || s.PID() != first {
		t.Errorf("Revive of a server that runs = %v, as process %d; want the same, %d", err, s.PID(), first)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Revive(); err != nil || s.PID() == first {
		t.Errorf("Revive of a server that ended = %v, as process %d; want one other than %d", err, s.PID(), first)
	}
	for _, dir := range disks { // they may be full, and the log must report that
		if log, err := filepath.Rel(dir, s.logName()); err != nil || filepath.IsLocal(log) {
			t.Errorf("the log is %s (%v), want it elsewhere than in %s", s.logName(), err, dir)
		}
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{s.dir, s.disk, s.journal} {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after Stop: %v, want it gone", dir, err)
		}
	}
}

// TestProgramsThatAreNone fails with an error: no other server is used instead.
func TestProgramsThatAreNone(t *testing.T) {
	t.Setenv(Programs, t.TempDir())
	if bin, err := look(); err == nil || !strings.Contains(err.Error(), Programs) {
		t.Errorf("programs = %q, %v, want an error that names %s", bin, err, Programs)
	}
}

// TestSettingThatIsNone: the server refuses the setting, and the error has its words.
func TestSettingThatIsNone(t *testing.T) {
	slow.Test(t, "it needs PostgreSQL")
	s, err := Start("nothing_of_this_name=1")
	if err == nil {
		s.Stop()
		t.Fatal("Start = no error, want one")
	}
	if !strings.Contains(err.Error(), "nothing_of_this_name") {
		t.Errorf("Start = %v, want the server's own words", err)
	}
}
