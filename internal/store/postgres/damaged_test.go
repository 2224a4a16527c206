package postgres

import (
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"github.com/jackc/pgx/v5"
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
		storetest.DamagedLease: `UPDATE job SET state = 42, lease = due + 3600000000, due = due + 3600000000, last_try = due, first_try = due, attempts = 1, fence = 1
			WHERE destination = 'bad.example'`,
		storetest.DamagedDead: `UPDATE delivery SET state = 42 WHERE address = 'a@dead.example'`,
	}
	var databases sync.Map // by the directory that the suite names
	storetest.RunDamaged(t, func(t *testing.T, dir string) gateway.Store {
		url, _ := databases.LoadOrStore(dir, sync.OnceValue(func() string { return database(t) }))
		return open(t, url.(func() string)())
	}, func(t *testing.T, dir string, d storetest.Damage) {
		url, _ := databases.Load(dir)
		conn, err := pgx.Connect(t.Context(), url.(func() string)())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		tag, err := conn.Exec(t.Context(), statements[d])
		if err != nil {
			t.Fatal(err)
		}
		if tag.RowsAffected() == 0 {
			t.Fatalf("no row was damaged by %s", statements[d])
		}
	})
}
