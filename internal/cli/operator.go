package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// asOperator runs a command that needs the admin key.
func (p *program) asOperator(cmd *cobra.Command, run func(ctx context.Context, c *admin.Client,
	args []string) error) *cobra.Command {
	return p.operates(p.online(cmd, func(ctx context.Context, id *profile.Identity, args []string) error {
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		return run(ctx, c, args)
	}))
}

// operates adds the flag that names the gateway of this machine.
func (p *program) operates(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&p.directory, "data-dir", "",
		"data `DIR` of the gateway that is meant, which runs on this machine (default: AMTP_DATA_DIR, else the user's data directory)")
	return cmd
}

// operator returns a client of the gateway's operator. It calls the gateway of
// --data-dir; else the one in use, if there is an admin key for it; else the one that
// runs from the user's data directory, at any address, unless another was named.
func (p *program) operator(id *profile.Identity) (*admin.Client, error) {
	if p.directory != "" {
		if p.gateway != "" {
			return nil, usageErrorf("Give --gateway or --data-dir, not both.")
		}
		here := p.runningHere()
		if here == "" {
			return nil, &failure{exit: exitUnreachable, code: codeUnreachable, retryable: true,
				message: fmt.Sprintf("No gateway runs from the data directory %s.", p.directory),
				hint:    "amtp serve --data-dir " + render.ShellWord(render.Clean(p.directory))}
		}
		p.useHere(id, here)
	}
	if c, ok := p.admin(id); ok && id.Gateway != "" {
		return c, profile.CheckGateway(id.Gateway)
	}
	named := p.gateway != "" || p.getenv("AMTP_GATEWAY_URL") != "" || id.ChosenBy == profile.ByFlag && id.Gateway != ""
	if here := p.runningHere(); here != "" && !named {
		if id.Gateway != "" && !profile.SameGateway(id.Gateway, here) {
			p.notef("This is about %s, the gateway of this machine; for that of %s set AMTP_ADMIN_KEY and give --gateway.\n",
				render.Clean(here), render.Clean(id.Gateway))
		}
		p.useHere(id, here)
		if c, ok := p.admin(id); ok {
			return c, nil
		}
	}
	if id.Gateway == "" {
		f := profile.Missing(profile.MemberGateway, "Set AMTP_GATEWAY_URL env var or give --gateway.")
		f.Hint = `run "amtp serve" in another terminal; where it has a data directory of its own, name that: --data-dir DIR`
		return nil, f
	}
	return nil, needAdmin()
}

// useHere points the command at a gateway on this machine. The profile's keys and pin
// are not used then, because they are for the profile's gateway.
func (p *program) useHere(id *profile.Identity, here string) {
	if profile.SameGateway(id.Gateway, here) {
		return
	}
	id.Gateway, id.Key, id.Saves = here, "", false
	id.AdminKey = p.getenv("AMTP_ADMIN_KEY")
	if id.Pin != nil {
		id.Pin, p.http = nil, p.unpinned
	}
}

// runningHere returns the URL of the gateway that runs from the data directory, "" if
// none runs.
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
