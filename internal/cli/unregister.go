package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
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
	}, func(ctx context.Context, id *identity, _ []string) error {
		if err := id.need(memberGateway, memberName); err != nil {
			return err
		}
		if err := p.noProjectSpeaks(); err != nil {
			return err
		}
		if !yes {
			return usageErrorf("This removes %s with its inbox and its key, and cannot be undone: add --yes.",
				firstOf(id.address, id.name))
		}
		return p.unregister(ctx, id)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove it")
	return cmd
}

func (p *program) unregister(ctx context.Context, id *identity) error {
	if !p.json {
		p.notef("Unregistering agent \"%s\"...\n", clean(id.name))
	}
	err := p.manageSelf(id, "delete "+id.name+" --yes",
		func(c *amtp.Client) error { return c.DeleteAgent(ctx, id.name) })
	if err != nil {
		return err
	}
	if err := p.forget(id, id.name); err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"result": "removed", "agent_name": id.name, "gateway_url": id.gateway})
	}
	p.printf("Agent \"%s\" removed from gateway.\n", clean(id.name))
	return nil
}

// forget removes the agent's identity from the file if it is the one there.
func (p *program) forget(id *identity, name string) error {
	if !id.saves || !sameAgent(id.saved(memberName), name) {
		return nil
	}
	gone := without(map[string]string{}, ofAgent)
	if id.named() && id.saved(memberAdminKey) == "" {
		gone = without(gone, ofGateway) // nothing of the profile is left
	}
	return id.save(gone)
}

// manage calls with the key that may manage the named agent: its own if this
// is it and the key works, else the administrator's.
func (p *program) manage(id *identity, name string, call func(*amtp.Client) error) error {
	if id.key == "" || !sameAgent(id.name, name) || p.directory != "" {
		admin, err := p.operator(id)
		if err != nil {
			return err
		}
		return call(admin)
	}
	admin, isAdmin := p.admin(id)
	err := call(p.client(id))
	var refused *amtp.Error
	if isAdmin && errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return call(admin)
	}
	return err
}

// manageMeant changes the agent that the arguments name, with the key that may;
// without a name the user's own, with its own key only.
func (p *program) manageMeant(id *identity, args []string, command string, call func(*amtp.Client) error) error {
	if len(args) > 0 {
		return p.manage(id, args[0], call)
	}
	return p.manageSelf(id, command+" "+id.name, call)
}

// manageSelf calls with the user's own key only: under a name whose key does not
// work there may be another agent by now, which nobody meant. The command
// asAdmin of "amtp agent" says that it is meant.
func (p *program) manageSelf(id *identity, asAdmin string, call func(*amtp.Client) error) error {
	if err := id.need(memberKey); err != nil {
		return err
	}
	err := call(p.client(id))
	var refused *amtp.Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		f := p.explain(err)
		f.hint = fmt.Sprintf("401 Unauthorized: the API key may have expired; run %q for a new one, or as administrator %q",
			"amtp setup --name "+id.name, "amtp agent "+asAdmin)
		return f
	}
	return err
}

// needAdmin says that the agent's own key is not enough.
func needAdmin() error {
	f := missing(memberAdminKey, "Set AMTP_ADMIN_KEY env var.")
	f.hint = "without it an agent manages itself only; the gateway keeps it in admin.key in its data directory"
	return f
}
