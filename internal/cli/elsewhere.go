package cli

import (
	"os"
	"path/filepath"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
)

// storeOf returns the configuration of the gateway with the data directory, to find out
// where its data is. It ignores mistakes in other settings: the start of the gateway
// reports those.
func (p *program) storeOf(dir string) config.Config {
	environ := append(p.environ[:len(p.environ):len(p.environ)], "AMTP_DATA_DIR="+dir)
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		return config.Config{DataDir: dir}
	}
	return cfg
}

// refuseElsewhere refuses to work on the files of a gateway whose data is in PostgreSQL,
// and says what to use instead. A directory that was named and holds a database takes
// precedence over the environment.
func (p *program) refuseElsewhere(named, dir, instead string) error {
	url := p.storeOf(dir).Database.URL
	if url == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, operate.DatabaseFile)); named != "" && err == nil {
		return nil
	}
	f := usageErrorf("The data of this gateway is in PostgreSQL (%s), and this command works on files in a data directory.",
		url)
	f.hint = instead + "; see docs/operations-postgres.md. For a directory with SQLite: --data-dir DIR"
	return f
}

// What to use for a gateway on PostgreSQL.
const (
	insteadOfBackup  = "back it up as any PostgreSQL, such as with pg_dump --format=custom"
	insteadOfRestore = "restore it as any PostgreSQL, such as with pg_restore, and then: amtp restore --database"
	insteadOfCheck   = "look at GET /ready of every gateway, and at the database with pg_amcheck"
)
