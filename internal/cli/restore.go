package cli

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const restoreHelp = `Make a backup the database of a gateway, which must not be running. The backup is
verified first. A database that is there already is refused, or moved aside with
--force; it is never deleted.

A gateway that is restored starts paused: it accepts no message until you say
  amtp restore --confirm
For a backup is a look into the past. Messages that were acknowledged after it
was made are unread again, retries of what was sent after it are not recognised,
and what arrived after it is gone. And the gateway that it was made of may still
be running: a copy for tests must not answer in its place. While it is paused,
agents can read and acknowledge, and senders are asked to come back later, so
nothing is lost while you look around.

A PostgreSQL is restored with its own tools, such as pg_restore. Before the first
gateway starts on it, say
  amtp restore --database
It makes the database ready for a gateway that starts paused, and has what comes
next be numbered behind all that readers have seen. No gateway may be connected.
AMTP_DATABASE_URL names the database.

--confirm ends the pause, of a running gateway or of a stopped one. If the
gateway has an admin key of its own, set AMTP_ADMIN_KEY.`

// restoring is the command line of one restore.
type restoring struct {
	dir     string
	gateway string
	force   bool
	confirm bool
	shared  bool // a PostgreSQL is restored, and already was by its own tools
}

func (p *program) restoreCommand() *cobra.Command {
	var r restoring
	cmd := &cobra.Command{
		Use:   "restore FILE | --database | --confirm",
		Short: "Make a backup the database of a gateway",
		Long:  restoreHelp,
		Example: `  amtp restore /var/backups/amtp-2026-11-22.db --data-dir ./new
  amtp restore --confirm --data-dir ./new
  amtp restore --database`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := p.dataDir(r.dir)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			switch {
			case r.shared && !r.confirm && !r.force && len(args) == 0:
				return p.restoreDatabase(ctx, dir)
			case r.confirm && !r.shared && len(args) == 0:
				return p.confirmRestore(ctx, dir, r.gateway)
			case !r.confirm && !r.shared && len(args) == 1:
				if err := p.refuseElsewhere(r.dir, dir, insteadOfRestore); err != nil {
					return err
				}
				return p.restore(ctx, dir, args[0], r.force)
			}
			return usageErrorf("Give the backup's FILE, or --database, or --confirm. Usage: %s", cmd.UseLine())
		},
	}
	p.dataDirFlag(cmd, &r.dir)
	flags := cmd.Flags()
	flags.BoolVar(&r.force, "force", false, "move a database that is there aside")
	flags.BoolVar(&r.shared, "database", false, "make a PostgreSQL ready that was restored")
	flags.BoolVar(&r.confirm, "confirm", false, "end the pause after a restore")
	flags.StringVar(&r.gateway, "gateway", "",
		"`URL` of the gateway to confirm, if it is not the one of the data directory")
	return cmd
}

func (p *program) restore(ctx context.Context, dir, file string, force bool) error {
	done, err := operate.RestoreBackup(ctx, dir, file, force)
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{exit: exitNotFound, code: codeNoBackup, message: "There is no file " + file + "."}
	}
	if err != nil {
		return p.badCopy(err, dir)
	}
	if p.json {
		return p.printJSON(struct {
			Directory string `json:"directory"`
			Paused    bool   `json:"paused"`
			Aside     string `json:"former_database,omitempty"`
			Messages  int64  `json:"messages"`
			Delivered int64  `json:"deliveries"`
			Agents    int64  `json:"agents"`
		}{dir, true, done.Aside, done.Messages, done.Deliveries, done.Agents})
	}
	p.printf("Restored to %s: %s, %s.\n", render.Clean(dir), render.Plural(int(done.Messages), "message"),
		render.Plural(int(done.Agents), "agent"))
	if done.Aside != "" {
		p.printf("  The former database: %s\n", render.Clean(done.Aside))
	}
	p.printf("The gateway starts paused. To have it accept messages: %s\n", p.confirm(dir))
	return nil
}

// restoreDatabase prepares a PostgreSQL that was restored to an earlier moment.
func (p *program) restoreDatabase(ctx context.Context, dir string) error {
	url := p.storeOf(dir).Database.URL
	if url == "" {
		return usageErrorf("Say which database: set AMTP_DATABASE_URL. To restore a gateway with SQLite give the backup's FILE.")
	}
	if err := p.checkLink(url); err != nil {
		return err
	}
	done, err := operate.RestoreDatabase(ctx, url)
	if err != nil {
		return p.badCopy(err, dir)
	}
	if p.json {
		return p.printJSON(struct {
			Database  string `json:"database"`
			Paused    bool   `json:"paused"`
			Messages  int64  `json:"messages"`
			Delivered int64  `json:"deliveries"`
			Agents    int64  `json:"agents"`
		}{url.String(), true, done.Messages, done.Deliveries, done.Agents})
	}
	p.printf("Ready: %s, %s in %s.\n", render.Plural(int(done.Messages), "message"), render.Plural(int(done.Agents), "agent"), url)
	p.printf("The gateways start paused. To have them accept messages: amtp restore --confirm\n")
	return nil
}

// confirmRestore ends the pause: through the gateway if one runs, else in its
// directory.
func (p *program) confirmRestore(ctx context.Context, dir, base string) error {
	running, claimed := datadir.Holder(dir)
	if base == "" {
		base = running.URL
	}
	var was bool
	var err error
	if base == "" && !claimed {
		was, err = operate.Resume(ctx, p.storeOf(dir))
	} else {
		was, err = p.confirmRunning(ctx, dir, base)
	}
	if errors.Is(err, operate.ErrNoDatabase) {
		return p.badCopy(err, dir)
	}
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]bool{"was_paused": was})
	}
	which := "The gateway in " + dir
	if base != "" {
		which = "The gateway at " + base
	}
	if was {
		p.printf("Confirmed. %s accepts messages.\n", render.Clean(which))
	} else {
		p.printf("%s was not paused.\n", render.Clean(which))
		p.notef("For another one: amtp restore --confirm --data-dir DIR\n")
	}
	return nil
}

func (p *program) confirmRunning(ctx context.Context, dir, base string) (bool, error) {
	key := p.getenv("AMTP_ADMIN_KEY")
	if key == "" {
		key, _ = datadir.AdminKey(dir, base)
	}
	if key == "" {
		f := profile.Missing(profile.MemberAdminKey, "Set AMTP_ADMIN_KEY env var.")
		f.Hint = "or give the gateway's data directory: --data-dir DIR"
		return false, f
	}
	c := &admin.Client{Client: amtp.Client{URL: base, AdminKey: key, HTTP: p.reachIn(dir, base),
		UserAgent: userAgent()}}
	return c.Resume(ctx)
}
