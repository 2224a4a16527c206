package postgres

import (
	"context"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/jackc/pgx/v5"
)

// released is the last migration that a release has.
const released = "migrations/003"

// TestMigrationsLockNothing: gateways serve while a later migration runs. So it is no
// transaction, and an index on a table that was there is built beside those who write.
func TestMigrationsLockNothing(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) < 7 {
		t.Fatalf("migrations are %v, %v", names, err)
	}
	index := regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+)\s+ON (\w+)`)
	for _, name := range names {
		doc, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		if name[:len(released)] <= released {
			continue
		}
		text := string(doc)
		if !strings.HasPrefix(text, "-- +goose NO TRANSACTION\n") {
			t.Errorf("%s is one transaction, which holds its locks to its end", name)
		}
		for _, found := range index.FindAllStringSubmatch(text, -1) {
			isNew := strings.Contains(text, "CREATE TABLE IF NOT EXISTS "+found[3]+" ")
			if found[1] == "" && !isNew {
				t.Errorf("%s builds the index %s while nobody may write to %s", name, found[2], found[3])
			}
			if found[1] != "" && !strings.Contains(text, "DROP INDEX CONCURRENTLY IF EXISTS "+found[2]+";") {
				t.Errorf("%s cannot be run again after it was interrupted: the index %s may be there, and not be valid",
					name, found[2])
			}
		}
	}
}

// TestMigrationsAgain: migrations that were interrupted before their end was noted are
// run again, beside a gateway that serves, and leave every index valid.
func TestMigrationsAgain(t *testing.T) {
	url, ctx := database(t), t.Context()
	s := open(t, url)
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	mustAccept(t, s, letterTo(t, alice, "k", bob, "a@far.example"))
	for _, sql := range []string{
		`DELETE FROM goose_db_version WHERE version_id > 3`,
		`UPDATE job SET turn = 0`,
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'delivery_to'::regclass`,
	} {
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	c, err := configure(Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(ctx, c); err != nil {
		t.Fatalf("migrate = %v, want no error", err)
	}
	var turn, invalid, again int64
	err = s.pool.QueryRow(ctx, `SELECT (SELECT turn FROM job), (SELECT count(*) FROM pg_index WHERE NOT indisvalid),
			(SELECT count(*) FROM setting WHERE name = $1)`, againSetting).Scan(&turn, &invalid, &again)
	if err != nil || turn != int64(alice.ID) || invalid != 0 || again != 1 {
		t.Errorf("the job has turn %d, %d indexes are not valid, %d notes for the purge, %v; want %d, none and one",
			turn, invalid, again, err, alice.ID)
	}
	mustAccept(t, s, letterTo(t, alice, "k2", bob))
}

// TestPurgeAfterAnUpgrade: what a gateway of the release before does to a message at
// which the purge has looked is found once the upgrade is over.
func TestPurgeAfterAnUpgrade(t *testing.T) {
	s, ctx := open(t, database(t)), t.Context()
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	first := mustAccept(t, s, letterTo(t, alice, "first", bob))
	mustAccept(t, s, letterTo(t, alice, "newest", bob))
	keep := gateway.DefaultRetention()
	purge := func(now time.Time) gateway.Purged {
		t.Helper()
		out, err := s.Purge(ctx, keep, now, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	day := 24 * time.Hour
	now := dawn.Add(40 * day)
	if purge(now); slices.Contains(turnsDue(t, s, now.Add(day)), 1) {
		t.Fatal("the first message is looked at again within a day, so that this test shows nothing")
	}
	// The release before writes no turn. Acknowledged long ago, the body is due at once.
	if _, err := s.pool.Exec(ctx, `UPDATE delivery SET state = 6, acked = changed WHERE message = 1`); err != nil {
		t.Fatal(err)
	}
	if out := purge(now.Add(time.Hour)); out.Bodies != 0 {
		t.Errorf("before its turn Purge = %+v, want no body", out)
	}
	if _, err := s.pool.Exec(ctx, `INSERT INTO setting VALUES ($1, $2)`, againSetting,
		strconv.FormatInt(now.Add(2*time.Hour).UnixMicro(), 10)); err != nil {
		t.Fatal(err)
	}
	if out := purge(now.Add(time.Hour)); out.Bodies != 0 {
		t.Errorf("before the upgrade is over Purge = %+v, want no body", out)
	}
	if out := purge(now.Add(3 * time.Hour)); out.Bodies != 1 {
		t.Errorf("when it is over Purge = %+v, want one body", out)
	}
	if r, err := s.Message(ctx, gateway.Reader{Everyone: true}, first.ID); err != nil || r.Body != nil {
		t.Errorf("Message = %v, %v, want it without a body", r, err)
	}
	if out := purge(now.Add(4 * time.Hour)); out.Looked > 1 {
		t.Errorf("after that Purge = %+v, want that it does not begin anew again", out)
	}
}

// turnsDue are the messages that the purge looks at until then.
func turnsDue(t *testing.T, s *Store, until time.Time) []int64 {
	t.Helper()
	rows, err := s.pool.Query(context.Background(), `SELECT message FROM purge_turn WHERE due <= $1`, until.UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	return list
}
