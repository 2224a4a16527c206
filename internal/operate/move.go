package operate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// The reasons for which a move is refused.
var (
	ErrOtherData    = postgres.ErrOccupied
	ErrAlreadyMoved = postgres.ErrMoved
)

// Progress says how far the move of one table is.
type Progress struct {
	Table string
	Done  int64 // rows
	Of    int64
	Check bool // the rows are compared, not copied
}

// MovedTable says what was moved of one table: its rows, and the hash over all rows,
// which is the same in both stores.
type MovedTable struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	Hash string `json:"sha256"`
}

// move copies the data of a data directory into a PostgreSQL.
type move struct {
	dir  string
	to   config.DSN
	tell func(Progress)
	note datadir.Moved

	from *sqlite.Export
	into *postgres.Import
}

// MoveStore copies everything in the data directory, on which no gateway may run, into
// an empty PostgreSQL, and compares both row by row. A note that it leaves in the
// directory keeps gateways from starting there. It does not change the directory's
// database. After an interruption, a second call continues.
func MoveStore(ctx context.Context, dir string, to config.DSN, tell func(Progress)) (tables []MovedTable, err error) {
	m := &move{dir: dir, to: to, tell: tell}
	if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	claim, err := datadir.Acquire(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, claim.Release()) }()
	if m.from, err = sqlite.OpenExport(dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.from.Close()) }()
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.into.Close(context.WithoutCancel(ctx))) }()
	for _, t := range store.Tables() {
		if err := m.bring(ctx, &t); err != nil {
			return nil, err
		}
	}
	for _, t := range store.Tables() {
		moved, err := m.compare(ctx, &t)
		if err != nil {
			return nil, err
		}
		tables = append(tables, moved)
	}
	return tables, m.finish(ctx)
}

// begin claims the target database and then leaves the note. From here on no gateway
// may start on either side.
func (m *move) begin(ctx context.Context) error {
	note, noted, err := datadir.ReadMoved(m.dir)
	if err != nil {
		return err
	}
	if !noted {
		note = datadir.Moved{ID: rand.Text()}
	}
	m.note = note
	m.note.To = m.to.String()
	m.into, err = postgres.OpenImport(ctx, string(m.to), note.ID)
	if errors.Is(err, ErrAlreadyMoved) {
		return errors.Join(err, m.leave(ctx)) // the note may not say yet that the move is complete
	}
	if err != nil {
		return err
	}
	note = m.note
	note.At, note.Done = time.Now().UTC().Truncate(time.Second), false
	if err := note.Write(m.dir); err != nil {
		return errors.Join(fmt.Errorf("leave a note in the data directory: %w", err), m.into.Close(ctx))
	}
	return nil
}

// bring copies the rows of a table that the target does not have yet.
func (m *move) bring(ctx context.Context, t *store.Table) error {
	all, err := m.from.Count(t)
	if err != nil {
		return err
	}
	done, err := m.into.Count(ctx, t)
	if err != nil {
		return err
	}
	after, err := m.into.Last(ctx, t)
	if err != nil {
		return err
	}
	m.tell(Progress{Table: t.Name, Done: done, Of: all})
	var batch store.Batch
	put := func() error {
		if err := m.into.Put(ctx, t, batch.Rows); err != nil {
			return err
		}
		done += int64(len(batch.Rows))
		batch = store.Batch{}
		m.tell(Progress{Table: t.Name, Done: done, Of: all})
		return nil
	}
	err = m.from.Each(ctx, t, after, func(row []any) error {
		if batch.Add(row) {
			return put()
		}
		return nil
	})
	if err == nil && len(batch.Rows) > 0 {
		err = put()
	}
	return err
}

// compare reports whether both sides have the same rows.
func (m *move) compare(ctx context.Context, t *store.Table) (MovedTable, error) {
	moved := MovedTable{Name: t.Name}
	var here, there store.Digest
	err := m.from.Each(ctx, t, nil, func(row []any) error {
		here.Add(row)
		return nil
	})
	if err != nil {
		return moved, err
	}
	m.tell(Progress{Table: t.Name, Of: here.Rows, Check: true})
	err = m.into.Each(ctx, t, func(row []any) error {
		there.Add(row)
		return nil
	})
	if err != nil {
		return moved, err
	}
	m.tell(Progress{Table: t.Name, Done: there.Rows, Of: here.Rows, Check: true})
	sum := here.Sum()
	moved.Rows, moved.Hash = here.Rows, hex.EncodeToString(sum[:])
	if here.Rows != there.Rows || sum != there.Sum() {
		return moved,
			fmt.Errorf("%s: the data directory has %d rows with the hash %x and the database %d with %x: another program wrote to the database meanwhile; empty it and move again",
				t.Name, here.Rows, sum, there.Rows, there.Sum())
	}
	return moved, nil
}

// finish lets gateways start on the database, with the keys of the directory.
func (m *move) finish(ctx context.Context) error {
	counters, err := m.from.Counters()
	if err != nil {
		return err
	}
	if err := m.into.Finish(ctx, counters); err != nil {
		return err
	}
	return m.leave(ctx)
}

// leave records in the directory that its data is elsewhere.
func (m *move) leave(ctx context.Context) error {
	if err := m.handKeys(ctx); err != nil {
		return err
	}
	m.note.Done, m.note.At = true, time.Now().UTC().Truncate(time.Second)
	return m.note.Write(m.dir)
}

// handKeys stores a mark of the directory's seal key, so that no gateway starts on the
// database with another one. It also stores the administrator's key.
func (m *move) handKeys(ctx context.Context) (err error) {
	cfg := config.Config{DataDir: m.dir, Database: config.Database{URL: m.to}}
	if _, err := os.Stat(SealFile(cfg)); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever sealed, or the key is kept elsewhere
	}
	seal, err := OpenSeal(cfg)
	if err != nil {
		return err
	}
	s, err := OpenStore(cfg, slog.New(slog.DiscardHandler), wallclock.Clock{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := markSeal(ctx, s, seal); err != nil {
		return err
	}
	name := filepath.Join(m.dir, datadir.AdminKeyFile)
	if _, err := os.Stat(name); err != nil {
		return nil // the administrator's key was always in the configuration
	}
	_, err = shareAdminKey(ctx, s, seal, func() (string, error) { return ownAdminKey(name) })
	return err
}

// refuseMoved refuses a data directory whose data is elsewhere.
func refuseMoved(dir string) error {
	note, moved, err := datadir.ReadMoved(dir)
	name := filepath.Join(dir, datadir.MovedFile)
	switch {
	case err != nil || !moved:
		return err
	case note.Done:
		return fmt.Errorf("the data in %s was moved to %s on %s: start with AMTP_DATABASE_URL. To use the data as of then, delete %s",
			dir, note.To, note.At.Format(time.DateOnly), name)
	}
	return fmt.Errorf("a move of the data in %s to %s has begun and is not done: run amtp migrate-store again, or delete %s to give it up",
		dir, note.To, name)
}

// refuseHalf refuses a database into which a move is not complete.
func refuseHalf(ctx context.Context, s *postgres.Store) error {
	incomplete, err := s.Incomplete(ctx)
	if err == nil && incomplete {
		err = postgres.ErrHalf
	}
	return err
}
