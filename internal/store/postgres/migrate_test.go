package postgres

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// first is the migration that creates the schema. No gateway serves before it.
const first = "migrations/00001"

// TestMigrationsLockNothing: gateways serve while a later migration runs. So it is not
// a transaction, and it builds an index on an existing table without blocking writes.
// Until there is a later migration, only the judgement itself is tested.
func TestMigrationsLockNothing(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations are %v, %v", names, err)
	}
	for _, name := range names {
		doc, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		if name[:len(first)] == first {
			continue
		}
		for _, fault := range locksOf(string(doc)) {
			t.Errorf("%s: %s", name, fault)
		}
	}
	const apart = "-- +goose NO TRANSACTION\n-- +goose Up\n"
	for _, c := range []struct{ name, migration, fault string }{
		{"a transaction", "-- +goose Up\nALTER TABLE message ADD COLUMN size bigint;\n", "it is one transaction"},
		{"a column", apart + "ALTER TABLE message ADD COLUMN size bigint;\n", ""},
		{"an index of an existing table", apart + "CREATE INDEX message_size\n  ON message (size);\n",
			"it blocks writes while it builds the index message_size"},
		{"an index that an interruption leaves invalid", apart +
			"CREATE INDEX CONCURRENTLY IF NOT EXISTS message_size ON message (size);\n", "it cannot be run again"},
		{"an index that can be built again", apart + "DROP INDEX CONCURRENTLY IF EXISTS message_size;\n" +
			"CREATE INDEX CONCURRENTLY message_size ON message (size);\n", ""},
		{"a unique index of a new table", apart + "CREATE TABLE IF NOT EXISTS label (id bigint);\n" +
			"CREATE UNIQUE INDEX IF NOT EXISTS label_id ON label (id);\n", ""},
	} {
		faults := locksOf(c.migration)
		if (len(faults) == 0) != (c.fault == "") || len(faults) > 1 ||
			len(faults) == 1 && !strings.HasPrefix(faults[0], c.fault) {
			t.Errorf("%s: the faults are %q, want %q", c.name, faults, c.fault)
		}
	}
}

var index = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+)\s+ON (\w+)`)

// locksOf returns why gateways cannot serve while a migration runs.
func locksOf(migration string) (faults []string) {
	if !strings.HasPrefix(migration, "-- +goose NO TRANSACTION\n") {
		faults = append(faults, "it is one transaction, which holds its locks to its end")
	}
	for _, found := range index.FindAllStringSubmatch(migration, -1) {
		isNew := strings.Contains(migration, "CREATE TABLE IF NOT EXISTS "+found[3]+" ")
		if found[1] == "" && !isNew {
			faults = append(faults, "it blocks writes while it builds the index "+found[2]+" on "+found[3])
		}
		if found[1] != "" && !strings.Contains(migration, "DROP INDEX CONCURRENTLY IF EXISTS "+found[2]+";") {
			faults = append(faults, "it cannot be run again after it was interrupted: the index "+found[2]+
				" may be there, and not be valid")
		}
	}
	return faults
}
