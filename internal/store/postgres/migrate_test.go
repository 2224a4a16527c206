package postgres

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// first is the migration that creates the schema. No gateway serves before it.
const first = "migrations/001"

// TestMigrationsLockNothing: gateways serve while a later migration runs. So it is not
// a transaction, and it builds an index on an existing table without blocking writes.
func TestMigrationsLockNothing(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations are %v, %v", names, err)
	}
	index := regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+)\s+ON (\w+)`)
	for _, name := range names {
		doc, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		if name[:len(first)] <= first {
			continue
		}
		text := string(doc)
		if !strings.HasPrefix(text, "-- +goose NO TRANSACTION\n") {
			t.Errorf("%s is one transaction, which holds its locks to its end", name)
		}
		for _, found := range index.FindAllStringSubmatch(text, -1) {
			isNew := strings.Contains(text, "CREATE TABLE IF NOT EXISTS "+found[3]+" ")
			if found[1] == "" && !isNew {
				t.Errorf("%s blocks writes while it builds the index %s on %s", name, found[2], found[3])
			}
			if found[1] != "" && !strings.Contains(text, "DROP INDEX CONCURRENTLY IF EXISTS "+found[2]+";") {
				t.Errorf("%s cannot be run again after it was interrupted: the index %s may be there, and not be valid",
					name, found[2])
			}
		}
	}
}
