package cli

import (
	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/render"
)

const checkHelp = `Look at a data directory and its database, and say line by line what is in order
and what is not, with the way to fix it. A gateway may be running there; nothing
is changed. The exit code is 0 when all is in order, else 1.

The whole database is read: with a million messages that takes some seconds.`

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "check [DIR]",
		Short:   "Say whether a data directory is in order",
		Long:    checkHelp,
		Example: "  amtp check\n  amtp check /var/lib/amtp --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			named := ""
			if len(args) > 0 {
				named = args[0]
			}
			dir, err := p.dataDir(named)
			if err == nil {
				err = p.refuseElsewhere(named, dir, insteadOfCheck)
			}
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			list := operate.Check(ctx, dir, p.now())
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return p.printFindings(dir, list)
		},
	}
}

func (p *program) printFindings(dir string, list []operate.Finding) error {
	bad := 0
	for _, f := range list {
		if !f.OK {
			bad++
		}
	}
	var verdict error
	if bad > 0 {
		verdict = told(exitInternal)
	}
	if p.json {
		if err := p.printJSON(struct {
			OK        bool              `json:"ok"`
			Directory string            `json:"directory"`
			Findings  []operate.Finding `json:"findings"`
		}{bad == 0, dir, list}); err != nil {
			return err
		}
		return verdict
	}
	for _, f := range list {
		mark := p.mark(f.OK)
		p.printf("%s %s: %s\n", mark, f.Name, render.Clean(f.Text))
		if f.Mend != "" {
			p.printf("    %s\n", render.Clean(f.Mend))
		}
	}
	if bad > 0 {
		p.printf("%s of %d not in order.\n", render.Plural(bad, "point"), len(list))
	} else {
		p.printf("All in order.\n")
	}
	return verdict
}
