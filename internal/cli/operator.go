package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
)

// asOperator runs a command that needs the admin key.
func (p *program) asOperator(cmd *cobra.Command, run func(ctx context.Context, c *amtp.Client,
	args []string) error) *cobra.Command {
	return p.operates(p.online(cmd, func(ctx context.Context, id *identity, args []string) error {
		admin, err := p.operator(id)
		if err != nil {
			return err
		}
		return run(ctx, admin, args)
	}))
}

// operates adds the flag that says which gateway of this machine is meant.
func (p *program) operates(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&p.directory, "data-dir", "",
		"data `DIR` of the gateway that is meant, which runs on this machine (default: AMTP_DATA_DIR, else the user's data directory)")
	return cmd
}

// operator speaks to a gateway as its administrator: to the one of --data-dir; else to
// the one in use, if there is an admin key for it; else to the one that runs from the
// user's data directory, wherever it listens, unless another was named.
func (p *program) operator(id *identity) (*amtp.Client, error) {
	if p.directory != "" {
		if p.gateway != "" {
			return nil, usageErrorf("Give --gateway or --data-dir, not both.")
		}
		here := p.runningHere()
		if here == "" {
			return nil, &failure{exit: exitUnreachable, code: codeUnreachable, retryable: true,
				message: fmt.Sprintf("No gateway runs from the data directory %s.", p.directory),
				hint:    "amtp serve --data-dir " + shellWord(clean(p.directory))}
		}
		p.useHere(id, here)
	}
	if admin, ok := p.admin(id); ok && id.gateway != "" {
		return admin, checkGateway(id.gateway)
	}
	named := p.gateway != "" || p.getenv("AMTP_GATEWAY_URL") != "" || id.chosenBy == byFlag && id.gateway != ""
	if here := p.runningHere(); here != "" && !named {
		if id.gateway != "" && !sameGateway(id.gateway, here) {
			p.notef("This is about %s, the gateway of this machine; for that of %s set AMTP_ADMIN_KEY and give --gateway.\n",
				clean(here), clean(id.gateway))
		}
		p.useHere(id, here)
		if admin, ok := p.admin(id); ok {
			return admin, nil
		}
	}
	if id.gateway == "" {
		f := missing(memberGateway, "Set AMTP_GATEWAY_URL env var or give --gateway.")
		f.hint = `run "amtp serve" in another terminal; where it has a data directory of its own, name that: --data-dir DIR`
		return nil, f
	}
	return nil, needAdmin()
}

// useHere has the command be about a gateway on this machine, and no more about the one
// that the profile is for, whose keys and pin stay with it.
func (p *program) useHere(id *identity, here string) {
	if sameGateway(id.gateway, here) {
		return
	}
	id.gateway, id.key, id.saves = here, "", false
	id.adminKey = p.getenv("AMTP_ADMIN_KEY")
	if id.pin != nil {
		id.pin, p.http = nil, id.unpinned
	}
}

// runningHere is where the gateway listens that runs from the data directory, "" when
// none does.
func (p *program) runningHere() string {
	dir, err := p.dataDir("")
	if err != nil {
		return ""
	}
	running, claimed := datadir.Holder(dir)
	if !claimed {
		return ""
	}
	return running.URL
}
