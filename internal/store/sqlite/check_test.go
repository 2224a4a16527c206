package sqlite

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// wrong returns the names of the findings that are not OK.
func wrong(list []Finding) (names []string) {
	for _, f := range list {
		if !f.OK {
			names = append(names, f.Name)
		}
	}
	return names
}

func TestCheckOfARunningStore(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(20)
	short := gateway.DefaultRetention()
	short.Unacknowledged = time.Microsecond
	if _, err := o.Purge(t.Context(), short, time.Now().Add(time.Hour), 0, 10); err != nil {
		t.Fatal(err)
	}
	if list := Check(t.Context(), o.dir); len(wrong(list)) > 0 || len(list) != 18 {
		t.Errorf("Check = %+v, want 18 findings in order", list)
	}
	o.fill(1)
}

// TestCheckFinds makes one fault at a time. The check must find it, and no other.
func TestCheckFinds(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(20)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), o.dir, file, false); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string][]string{
		`SELECT 1`:                                                                        nil,
		`DELETE FROM delivery WHERE seq = 7`:                                              {"messages"},
		`DELETE FROM message WHERE id = 7`:                                                {"deliveries", "keys"},
		`UPDATE delivery SET agent = 99`:                                                  {"deliveries"},
		`UPDATE message SET body = NULL`:                                                  {"bodies"},
		`UPDATE dedup SET message = 999`:                                                  {"keys"},
		`UPDATE agent SET removed = 1`:                                                    {"agent keys"},
		`INSERT INTO setting VALUES ('paused', '1')`:                                      {"delivery"},
		`UPDATE agent SET name = 'c rl' WHERE id = 1`:                                     {"rows"},
		`UPDATE agent SET capabilities = '['`:                                             {"rows"},
		`UPDATE agent SET schemas = '{}'`:                                                 {"rows"},
		`UPDATE message SET authentication = '{' WHERE id = 7`:                            {"rows"},
		`UPDATE message SET sender_agent = NULL, sender = 'x y@far.example' WHERE id = 7`: {"rows"},
		`UPDATE message SET uuid = x'00' WHERE id = 7`:                                    {"rows"},
		`UPDATE delivery SET agent = 0, address = 'a b@far.example' WHERE seq = 7`:        {"rows"},
		`UPDATE delivery SET state = 42 WHERE seq = 7`:                                    {"rows"},
		`INSERT INTO label VALUES (999, 1, 'x')`:                                          {"labels"},
		`INSERT INTO alias VALUES ('x', 0, '', x'', 999)`:                                 {"aliases"},
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`:           {"schema"},
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, FileName)
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := alone(name, sql); err != nil {
			t.Fatal(err)
		}
		if got := wrong(Check(t.Context(), dir)); !slices.Equal(got, want) {
			t.Errorf("Check after %q finds %v, want %v", sql, got, want)
		}
	}
}

func TestCheckOfDamage(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(300)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(o.dir, FileName)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 3*pageSize), info.Size()/4*3/pageSize*pageSize); err != nil {
		t.Fatal(err)
	}
	if got := wrong(Check(t.Context(), o.dir)); !slices.Contains(got, "integrity") {
		t.Errorf("Check of a damaged file finds %v, want integrity among them", got)
	}
	if err := os.WriteFile(name, []byte("Dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := wrong(Check(t.Context(), o.dir)); len(got) == 0 {
		t.Errorf("Check of no database finds nothing wrong")
	}
	if got := wrong(Check(t.Context(), t.TempDir())); !slices.Equal(got, []string{"database"}) {
		t.Errorf("Check of an empty directory finds %v, want database", got)
	}
}
