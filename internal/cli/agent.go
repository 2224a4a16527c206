package cli

import (
	"context"
	"maps"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const agentHelp = `Look at agents and manage them. An agent manages itself with its own key; for
others set AMTP_ADMIN_KEY, unless the gateway runs on this machine from a data
directory that you can read.

NAME is a name or an address; without it the agent that you are is meant.`

const agentExamples = `  amtp agent list
  amtp agent show
  amtp agent update --role seller --capability quotes
  amtp agent rotate-key`

func (p *program) agentCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "agent",
		Short:   "Manage agents and their keys",
		Long:    agentHelp,
		Example: agentExamples,
	})
	for _, sub := range []*cobra.Command{
		p.agentListCommand(), p.agentShowCommand(), p.agentUpdateCommand(), p.agentDeleteCommand(),
		p.agentRotateKeyCommand(), p.agentRevokeKeyCommand(), p.agentPushSecretCommand(),
	} {
		cmd.AddCommand(p.operates(sub))
	}
	return cmd
}

// meant returns the agent that the arguments name, else the user's own.
func meant(id *profile.Identity, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return id.Name, id.Need(profile.MemberGateway, profile.MemberName)
}

func (p *program) agentListCommand() *cobra.Command {
	var l listing
	var cmd *cobra.Command
	cmd = p.online(&cobra.Command{
		Use:     "list",
		Short:   "List the agents of the gateway",
		Long:    "List the agents of the gateway by address, those that are not listed in discovery\ntoo. It needs the gateway's admin key.",
		Example: "  amtp agent list\n  amtp agent list --all --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		if err := l.check(cmd); err != nil {
			return err
		}
		all, err := agentPages(ctx, c, &l)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(all)
		}
		p.printAgentMap(all, &l)
		return nil
	})
	l.flags(cmd, pageSize, "agents", false)
	return cmd
}

// agentPages asks for as many agents as the user wants.
func agentPages(ctx context.Context, c *admin.Client, l *listing) (all admin.AgentMap, err error) {
	all.Agents = make(map[string]amtp.Agent)
	err = l.each(func(limit int, cursor string) (page, error) {
		q := admin.AgentPageQuery{Limit: limit, Cursor: cursor}
		if limit == pageSize {
			q.Limit = 0
		}
		next, err := c.AgentsPage(ctx, q)
		if err != nil {
			return page{}, err
		}
		maps.Copy(all.Agents, next.Agents)
		all.Count, all.HasMore, all.NextCursor = next.Count, next.HasMore, next.NextCursor
		return page{len(next.Agents), next.HasMore, next.NextCursor}, nil
	})
	return all, err
}

func (p *program) printAgentMap(all admin.AgentMap, l *listing) {
	if len(all.Agents) == 0 {
		p.printf("No agents.\n")
		return
	}
	p.printf("%s:\n\n", shownOf(len(all.Agents), all.Count, false, all.HasMore, "agent"))
	for _, address := range sortedKeys(all.Agents) {
		a := all.Agents[address]
		line := agentLine(a)
		if !a.Listed {
			line += " (unlisted)"
		}
		p.printf("%s\n", line)
		p.printAbout(a)
	}
	if all.NextCursor != "" {
		p.notef("There are more: %s\n", l.goesOn(all.NextCursor))
	}
}

func (p *program) agentShowCommand() *cobra.Command {
	return p.online(&cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show an agent and its keys",
		Long:    "Show what is said of an agent, and the ids of its keys. The keys themselves\ncannot be shown: the gateway keeps only their hashes.",
		Example: "  amtp agent show\n  amtp agent show bob --json",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		name, err := meant(id, args)
		if err != nil {
			return err
		}
		var a amtp.Agent
		var keys amtp.AgentKeys
		err = p.manage(id, name, func(c *amtp.Client) (err error) {
			if a, err = c.Agent(ctx, name); err != nil {
				return err
			}
			keys, err = c.Keys(ctx, name)
			return err
		})
		if err != nil {
			return err
		}
		return p.printAgent(a, &keys)
	})
}

func (p *program) agentUpdateCommand() *cobra.Command {
	var about agentFlags
	var listed bool
	var receipts string
	var deliveries int
	cmd := p.online(&cobra.Command{
		Use:     "update [NAME]",
		Short:   "Change what is said of an agent",
		Long:    "Change what is said of an agent. What no flag names stays as it is; a list that\na flag names is replaced as a whole, and emptied by the empty text.\n\nWith --push messages are posted to an endpoint, with --pull they go to the inbox;\nthose under way follow. After an endpoint answered 410 its agent has an inbox;\ngive --push again when it is back.\n\nThe gateways of other domains may be told when the agent reads or acknowledges\ntheir messages (amtp ack --help). --receipts never tells nobody; always tells\nevery domain whose signature was verified, unless the operator turned receipts\noff; default follows federation.receipts.",
		Example: "  amtp agent update --description \"Quotes prices\" --capability quotes\n  amtp agent update --unlisted\n  amtp agent update --receipts never\n  amtp agent update --max-deliveries 5\n  amtp agent update --capability \"\"\n  amtp agent update --push https://hooks.example.com/amtp",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		name, err := meant(id, args)
		if err != nil {
			return err
		}
		about.capabilities, about.schemas = notEmpty(about.capabilities), notEmpty(about.schemas)
		u, changed, err := about.update()
		if err != nil {
			return err
		}
		if listed && about.unlisted {
			return usageErrorf("Give --listed or --unlisted, not both.")
		}
		if listed {
			u.Listed, changed = &listed, true
		}
		if about.given("receipts") {
			u.Receipts, changed = &receipts, true
		}
		if about.given("max-deliveries") {
			u.MaxDeliveries, changed = &deliveries, true
		}
		if !changed {
			return usageErrorf("Nothing to change. Usage: amtp agent update [NAME] --description TEXT | --role ROLE | …")
		}
		var a amtp.Agent
		err = p.manageMeant(id, args, "update", func(c *amtp.Client) (err error) {
			a, err = c.UpdateAgent(ctx, name, u)
			return err
		})
		if err != nil {
			return err
		}
		return p.printAgent(a, nil)
	})
	about.flags(cmd)
	cmd.Flags().StringVar(&receipts, "receipts", "",
		"whether senders in other domains are told that the agent has read or acknowledged their messages: default, always or never")
	cmd.Flags().IntVar(&deliveries, "max-deliveries", 0,
		"after `N` claims a message becomes a dead letter and its sender gets a report; 0 for no bound (see amtp claim)")
	cmd.Flags().BoolVar(&listed, "listed", false, "show the agent in discovery")
	cmd.Flags().BoolVar(&about.endpoint.pull, "pull", false,
		"messages go to the agent's inbox, and no more to its endpoint")
	return cmd
}

func notEmpty(list []string) []string {
	kept := []string{}
	for _, s := range list {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

func (p *program) agentDeleteCommand() *cobra.Command {
	var yes bool
	cmd := p.online(&cobra.Command{
		Use:     "delete NAME --yes",
		Short:   "Remove an agent from the gateway",
		Long:    "Remove an agent from the gateway, with its keys and its inbox. It cannot be\nundone, so --yes is required; nothing is asked.",
		Example: "  amtp agent delete bob --yes",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		name, err := meant(id, args)
		if err != nil {
			return err
		}
		if err := p.given().NotByProject(); err != nil {
			return err
		}
		if !yes {
			return usageErrorf("This removes %s with its inbox and cannot be undone: add --yes.", render.Clean(name))
		}
		err = p.manage(id, name, func(c *amtp.Client) error { return c.DeleteAgent(ctx, name) })
		if err == nil {
			err = p.forget(id, name)
		}
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(map[string]string{"result": "removed", "agent_name": name, "gateway_url": id.Gateway})
		}
		p.printf("Agent \"%s\" removed from gateway.\n", render.Clean(name))
		return nil
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove it")
	return cmd
}
