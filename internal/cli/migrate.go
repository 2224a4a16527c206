package cli

import (
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/render"
)

const migrateHelp = `Move everything in a data directory to a PostgreSQL: messages, inboxes with their
cursors, what is queued and what failed, agents and their keys, domains, idempotency
keys and signing keys. No message is lost and none is repeated.

The gateway must not be running, and the database must be a new one. Both sides are
then compared row by row. The database in the directory is not changed; a note
next to it keeps a gateway from starting there by mistake. If the command is
interrupted, give it again: it goes on where it was.

Afterwards start gateways with AMTP_DATABASE_URL, each with the same seal.key (see
"amtp help config", seal_key_file). AMTP_DATABASE_URL serves here too, in place of
--to, and --to - reads it from stdin: a command line can be seen by every user of
the machine.`

func (p *program) migrateCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "migrate-store",
		Short: "Move a gateway's data to PostgreSQL",
		Long:  migrateHelp,
		Example: `  export AMTP_DATABASE_URL=postgres://amtp:password@db.example.com/amtp
  amtp migrate-store --from /var/lib/amtp`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := p.dataDir(from)
			if err != nil {
				return err
			}
			if to, err = p.secretArgument(to); err != nil {
				return err
			}
			url, err := p.moveTo(to)
			if err != nil {
				return err
			}
			if err := p.checkLink(url); err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			tables, err := operate.MoveStore(ctx, dir, url, p.progress())
			switch {
			case errors.Is(err, operate.ErrOtherData), errors.Is(err, operate.ErrAlreadyMoved):
				return &failure{exit: exitConflict, code: codeExists, message: render.Sentence(err),
					hint: "where everything was moved, start the gateways with AMTP_DATABASE_URL; to move it elsewhere, name an empty database: --to"}
			case err != nil:
				return p.badCopy(err, dir)
			case p.json:
				return p.printJSON(struct {
					From   string               `json:"from"`
					To     string               `json:"to"`
					Tables []operate.MovedTable `json:"tables"`
				}{dir, url.String(), tables})
			}
			p.printf("Moved and compared:\n")
			for _, t := range tables {
				p.printf("  %-10s %9d  sha256:%.16s\n", t.Name, t.Rows, t.Hash)
			}
			p.printf("Start the gateways with AMTP_DATABASE_URL. %s stays as it is, and no gateway starts there.\n",
				render.Clean(dir))
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "",
		"the gateway's data `DIR` (default: AMTP_DATA_DIR, else the user's data directory)")
	cmd.Flags().StringVar(&to, "to", "", "the `URL` of the PostgreSQL (default: AMTP_DATABASE_URL)")
	return cmd
}

// moveTo returns the database that was named.
func (p *program) moveTo(named string) (config.DSN, error) {
	environ := p.environ[:len(p.environ):len(p.environ)]
	if named != "" {
		environ = append(environ, "AMTP_DATABASE_URL="+named)
	}
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		return "", badConfig(err)
	}
	if cfg.Database.URL == "" {
		return "", usageErrorf("Say where to: --to postgres://user:password@host/database, or AMTP_DATABASE_URL.")
	}
	return cfg.Database.URL, nil
}

// progress returns a function that tells the user the progress of a move: at the beginning
// and end of every table, and once a second.
func (p *program) progress() func(operate.Progress) {
	var last time.Time
	return func(at operate.Progress) {
		if at.Of == 0 {
			return
		}
		if now := p.now(); at.Done == at.Of || now.Sub(last) >= time.Second {
			last = now
			verb := "moved"
			if at.Check {
				verb = "compared"
			}
			p.notef("%s: %d of %d rows %s (%d %%)\n", at.Table, at.Done, at.Of, verb, at.Done*100/max(at.Of, 1))
		}
	}
}

// checkLink refuses a database on another machine that would not prove its identity.
func (p *program) checkLink(url config.DSN) error {
	cfg := config.Config{Database: config.Database{URL: url}}
	cfg.Database.Unverified, _ = strconv.ParseBool(p.getenv("AMTP_DATABASE_UNVERIFIED")) // any other text means false
	if err := operate.CheckLink(cfg); err != nil {
		return usageErrorf("%s", render.Sentence(err))
	}
	return nil
}
