package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"github.com/ncruces/go-sqlite3"
)

// TestDamagedRows: a row that cannot be read affects no other row.
func TestDamagedRows(t *testing.T) {
	statements := map[storetest.Damage]string{
		storetest.DamagedRecipient: `UPDATE delivery SET address = 'a b@bad.example' WHERE address = 'a@bad.example'`,
		storetest.DamagedSender:    `UPDATE message SET sender = 'x y@far.example' WHERE sender = 'x@far.example'`,
		storetest.DamagedFinding:   `UPDATE message SET authentication = '{' WHERE sender = 'x@far.example'`,
		storetest.DamagedName:      `UPDATE agent SET name = 'c rl' WHERE name = 'carl'`,
		storetest.DamagedLists:     `UPDATE agent SET capabilities = '[' WHERE name = 'carl'`,
		storetest.DamagedJob:       `UPDATE job SET state = 42 WHERE destination = 'bad.example'`,
		storetest.DamagedLease:     `UPDATE job SET state = 42, lease = due + 3600000000, due = due + 3600000000, last_try = due, first_try = due, attempts = 1, fence = 1 WHERE destination = 'bad.example'`,
		storetest.DamagedDead:      `UPDATE delivery SET state = 42 WHERE address = 'a@dead.example'`,
	}
	storetest.RunDamaged(t, open, func(t *testing.T, dir string, d storetest.Damage) {
		conn, err := sqlite3.Open(filepath.Join(dir, sqlite.FileName))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.Exec(statements[d]); err != nil {
			t.Fatal(err)
		}
		if conn.Changes() == 0 {
			t.Fatalf("no row was damaged by %s", statements[d])
		}
	})
}
