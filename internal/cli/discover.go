package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const discoverHelp = `List the agents that are shown in discovery: those of your gateway, or those of
another DOMAIN, whose gateway yours asks. That needs a key, and the other gateway
may ignore what you choose by. What agents say about themselves is data, not
instructions.

Role, capabilities and description are below the address; --json has all that is
said. The agents are in the order of their addresses. More than a gateway shows at
once are asked for page by page, up to --limit; --all lists everything.`

const discoverExamples = `  amtp discover
  amtp discover shop.example
  amtp discover --capability translation --active
  amtp discover --schema "agntcy:commerce.*" --json`

func (p *program) discoverCommand() *cobra.Command {
	var q amtp.AgentQuery
	var l listing
	var cmd *cobra.Command
	cmd = p.online(&cobra.Command{
		Use:     "discover [DOMAIN]",
		Short:   "List the agents of your gateway, or of another domain",
		Long:    discoverHelp,
		Example: discoverExamples,
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if err := id.Need(profile.MemberGateway); err != nil {
			return err
		}
		if err := l.check(cmd); err != nil {
			return err
		}
		var domain amtp.Domain
		if len(args) == 1 {
			d, err := amtp.ParseDomain(args[0])
			if err != nil {
				return usageErrorf("%q is not a domain: %v.", args[0], err)
			}
			domain = d
		}
		list, err := discoverPages(ctx, p.client(id), domain, q, &l)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		p.printAgents(list, &l)
		return nil
	})
	flags := cmd.Flags()
	l.flags(cmd, pageSize, "agents", false)
	flags.StringVar(&q.Address, "address", "", "only the agent with this `ADDRESS`")
	flags.StringVar(&q.Role, "role", "", "only agents with this `ROLE`")
	flags.StringVar(&q.Capability, "capability", "", "only agents with this `CAPABILITY`")
	flags.StringVar(&q.Schema, "schema", "", "only agents that say they take this `SCHEMA`, or a pattern of schemas")
	flags.StringVar(&q.DeliveryMode, "mode", "", "only agents with this delivery `MODE`, pull or push")
	flags.BoolVar(&q.ActiveOnly, "active", false, "only agents that were seen within 30 days")
	return cmd
}

// discoverPages asks for as many agents as the user wants.
func discoverPages(ctx context.Context, c *amtp.Client, domain amtp.Domain, q amtp.AgentQuery,
	l *listing) (all amtp.AgentList, err error) {
	err = l.each(func(limit int, cursor string) (page, error) {
		if q.Limit, q.Cursor = limit, cursor; limit == pageSize {
			q.Limit = 0 // a gateway that knows no pages need not know the word
		}
		next, err := c.Discover(ctx, domain, q)
		if err != nil {
			return page{}, err
		}
		agents := joined(all.Agents, next.Agents)
		count := max(all.AgentCount, next.AgentCount, len(agents))
		capped := next.CountCapped || all.CountCapped && next.HasMore
		all = next
		all.Agents, all.AgentCount, all.CountCapped = agents, count, capped
		return page{len(next.Agents), next.HasMore, next.NextCursor}, nil
	})
	return all, err
}

func (p *program) printAgents(list amtp.AgentList, l *listing) {
	if len(list.Agents) == 0 {
		p.printf("No agents found.\n")
	} else {
		p.printf("Discovered %s:\n\n", shownOf(len(list.Agents), list.AgentCount, list.CountCapped,
			list.HasMore, "agent"))
	}
	for _, a := range list.Agents {
		p.printf("%s\n", agentLine(a))
		p.printAbout(a)
	}
	if list.NextCursor != "" {
		p.notef("There are more: %s\n", l.goesOn(list.NextCursor))
	}
}

// shownOf says how many entries of how many are shown.
func shownOf(shown, of int, capped, more bool, what string) string {
	if !more || of <= shown {
		return render.Plural(shown, what)
	}
	return strconv.Itoa(shown) + " of " + render.Counted(of, capped, what)
}

// printAbout writes the texts in which an agent describes itself, to help a user
// choose. Each is on a separate line, no longer than the terminal is wide.
func (p *program) printAbout(a amtp.Agent) {
	const indent = 6
	line := func(text string) {
		if shown, cut := render.OneLine(text, render.PreviewLength); cut {
			p.printf("%*s%s\n", indent, "", p.fitted(indent+1, shown)+"…")
		} else if shown != "" {
			p.printf("%*s%s\n", indent, "", p.fitted(indent, shown))
		}
	}
	if a.Role != "" {
		line("Role: " + a.Role)
	}
	if len(a.Capabilities) > 0 {
		line("Capabilities: " + strings.Join(a.Capabilities, ", "))
	}
	line(a.Description)
}

// agentLine writes an agent as the reference program lists it.
func agentLine(a amtp.Agent) string {
	mode := a.DeliveryMode
	if mode == "" {
		mode = "?"
	}
	line := "  - " + render.Address(a.Address) + "  (" + render.Clean(mode) + ")"
	if len(a.SupportedSchemas) > 0 {
		line += " schemas=[" + render.Clean(strings.Join(a.SupportedSchemas, ", ")) + "]"
	}
	return line
}
