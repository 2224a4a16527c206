package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const unregisterHelp = `Remove this agent from the gateway, with its keys, and forget its saved key, or
the profile that it was. Its inbox ends with it: an agent that is registered
later under the same name does not get its messages. It cannot be undone, so --yes
is required; nothing is asked.

A project's file .amtp.toml never says which agent: where one names a profile, give
--profile.`

func (p *program) unregisterCommand() *cobra.Command {
	var yes bool
	cmd := p.online(&cobra.Command{
		Use:     "unregister --yes",
		Short:   "Remove agent from gateway",
		Long:    unregisterHelp,
		Example: "  amtp unregister --yes\n  amtp unregister --yes --profile helper",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		if err := id.Need(profile.MemberGateway, profile.MemberName); err != nil {
			return err
		}
		if err := p.given().NotByProject(); err != nil {
			return err
		}
		if !yes {
			return usageErrorf("This removes %s with its inbox and its key, and cannot be undone: add --yes.",
				cmp.Or(id.Address, id.Name))
		}
		return p.unregister(ctx, id)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove it")
	return cmd
}

func (p *program) unregister(ctx context.Context, id *profile.Identity) error {
	if !p.json {
		p.notef("Unregistering agent \"%s\"...\n", render.Clean(id.Name))
	}
	err := p.manageSelf(id, "delete "+id.Name+" --yes",
		func(c *amtp.Client) error { return c.DeleteAgent(ctx, id.Name) })
	if err != nil {
		return err
	}
	if err := p.forget(id, id.Name); err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"result": "removed", "agent_name": id.Name, "gateway_url": id.Gateway})
	}
	p.printf("Agent \"%s\" removed from gateway.\n", render.Clean(id.Name))
	return nil
}

// forget removes the agent's identity from the file if it is the one there.
func (p *program) forget(id *profile.Identity, name string) error {
	if !id.Saves || !profile.SameAgent(id.Saved(profile.MemberName), name) {
		return nil
	}
	gone := profile.Without(map[string]string{}, profile.OfAgent)
	if id.Named() && id.Saved(profile.MemberAdminKey) == "" {
		gone = profile.Without(gone, profile.OfGateway) // nothing else of the profile is left
	}
	return id.Save(gone)
}

// manage calls with the key that may manage the named agent: the user's own if this is
// that agent and the key works, else the administrator's.
func (p *program) manage(id *profile.Identity, name string, call func(*amtp.Client) error) error {
	if id.Key == "" || !profile.SameAgent(id.Name, name) || p.directory != "" {
		admin, err := p.operator(id)
		if err != nil {
			return err
		}
		return call(&admin.Client)
	}
	admin, isAdmin := p.admin(id)
	err := call(p.client(id))
	var refused *amtp.Error
	if isAdmin && errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return call(&admin.Client)
	}
	return err
}

// manageMeant changes the agent that the arguments name, with a key that may. Without a
// name it changes the user's own agent, only with its own key.
func (p *program) manageMeant(
	id *profile.Identity,
	args []string,
	command string,
	call func(*amtp.Client) error,
) error {
	if len(args) > 0 {
		return p.manage(id, args[0], call)
	}
	return p.manageSelf(id, command+" "+id.Name, call)
}

// manageSelf calls only with the user's own key: a name whose key does not work may be
// another agent's by now. The command asAdmin of "amtp agent" is for a user who means
// that agent.
func (p *program) manageSelf(id *profile.Identity, asAdmin string, call func(*amtp.Client) error) error {
	if err := id.Need(profile.MemberKey); err != nil {
		return err
	}
	err := call(p.client(id))
	var refused *amtp.Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		f := p.explain(err)
		f.hint = fmt.Sprintf(
			"401 Unauthorized: the API key may have expired; run %q for a new one, or as administrator %q",
			"amtp setup --name "+id.Name,
			"amtp agent "+asAdmin,
		)
		return f
	}
	return err
}

// needAdmin says that the agent's own key is not enough.
func needAdmin() error {
	f := profile.Missing(profile.MemberAdminKey, "Set AMTP_ADMIN_KEY env var.")
	f.Hint = "without it an agent manages itself only; the gateway keeps it in admin.key in its data directory"
	return f
}
