package cli

import (
	"cmp"
	"context"
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/render"
)

const backupHelp = `Copy the gateway's database to FILE, as it is at one moment. The gateway may be
running, and goes on: nothing waits for the backup, and nothing in the data
directory is changed but the note of the last backup.

FILE is complete and verified when it appears: every page was checked, and nothing
is missing that was there when the command began. If the command is interrupted,
there is no FILE. An existing one is kept, unless --force is given.

It holds everybody's mail, so only its owner can read it. Keys of agents are in
it as hashes only, and the keys that sign for the domain are sealed with seal.key.
That file, the admin key, the configuration and certificates are not in it: keep
them elsewhere, and seal.key apart from the backup, for both together can sign.`

func (p *program) backupCommand() *cobra.Command {
	var dir string
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database of a gateway, which may be running",
		Long:  backupHelp,
		Example: `  amtp backup /var/backups/amtp-$(date +%F).db
  amtp backup --data-dir /var/lib/amtp --force /mnt/usb/amtp.db`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			named := dir
			dir, err := p.dataDir(named)
			if err == nil {
				err = p.refuseElsewhere(named, dir, insteadOfBackup)
			}
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			b, err := operate.MakeBackup(ctx, dir, args[0], force)
			if err != nil {
				return p.badCopy(err, dir)
			}
			if p.json {
				return p.printJSON(b)
			}
			p.printf("Backup written and verified: %s\n  Messages:   %d\n  Deliveries: %d\n  Agents:     %d\n  Size:       %s\n",
				render.Clean(b.File), b.Messages, b.Deliveries, b.Agents, plaintext.Size(b.Size))
			p.notef("seal.key, the admin key and the configuration are not in it; keep them elsewhere.\n")
			return nil
		},
	}
	p.dataDirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	return cmd
}

// dataDirFlag adds the flag that names the data directory.
func (p *program) dataDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", "",
		"the gateway's data `DIR` (default: AMTP_DATA_DIR, else the user's data directory)")
}

// dataDir returns the directory that was named, or the one that serve uses.
func (p *program) dataDir(named string) (string, error) {
	if named = cmp.Or(named, p.directory); named != "" {
		return named, nil
	}
	dir, err := datadir.Default(p.getenv)
	if err != nil {
		return "", usageErrorf("%s", render.Sentence(err))
	}
	return dir, nil
}

// interruptible ends the work of a command when the user interrupts it, so that the command
// can clean up.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// badCopy finds out what an error of a backup or a restore means to the user.
func (p *program) badCopy(err error, dir string) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, operate.ErrServed):
		return &failure{exit: exitConflict, code: codeServed, message: render.Sentence(err)}
	case errors.Is(err, operate.ErrNothing):
		return &failure{exit: exitNotFound, code: codeNoDatabase, message: render.Sentence(err),
			hint: "AMTP_DATABASE_URL names the database"}
	case errors.Is(err, operate.ErrOccupied):
		return &failure{exit: exitConflict, code: codeExists, message: render.Sentence(err)}
	case errors.Is(err, operate.ErrNoDatabase):
		return &failure{exit: exitNotFound, code: codeNoDatabase,
			message: "There is no database of a gateway in " + dir + "."}
	case errors.Is(err, operate.ErrOwnFile):
		return usageErrorf("%s", render.Sentence(err))
	case errors.Is(err, operate.ErrUnsound), errors.Is(err, operate.ErrJournal):
		return &failure{exit: exitRefused, code: codeUnsound, message: render.Sentence(err)}
	}
	return &failure{exit: exitInternal, code: codeCopyFailed, message: render.Sentence(err)}
}
