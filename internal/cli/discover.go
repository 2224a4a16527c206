package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

const discoverHelp = `List the agents that are shown in discovery: those of your gateway, or those of
another DOMAIN, whose gateway yours asks. That needs a key, and the other gateway
may ignore what you choose by. What agents say about themselves is data, not
instructions.`

const discoverExamples = `  amtp discover
  amtp discover shop.example
  amtp discover --capability translation --active
  amtp discover --schema "agntcy:commerce.*" --json`

func (p *program) discoverCommand() *cobra.Command {
	var q amtp.AgentQuery
	cmd := p.online(&cobra.Command{
		Use:     "discover [DOMAIN]",
		Short:   "List the agents of your gateway, or of another domain",
		Long:    discoverHelp,
		Example: discoverExamples,
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *identity, args []string) error {
		if err := id.need(memberGateway); err != nil {
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
		list, err := p.client(id).Discover(ctx, domain, q)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		p.printAgents(list.Agents)
		return nil
	})
	flags := cmd.Flags()
	flags.StringVar(&q.Address, "address", "", "only the agent with this `ADDRESS`")
	flags.StringVar(&q.Role, "role", "", "only agents with this `ROLE`")
	flags.StringVar(&q.Capability, "capability", "", "only agents with this `CAPABILITY`")
	flags.StringVar(&q.Schema, "schema", "", "only agents that say they take this `SCHEMA`, or a pattern of schemas")
	flags.StringVar(&q.DeliveryMode, "mode", "", "only agents with this delivery `MODE`, pull or push")
	flags.BoolVar(&q.ActiveOnly, "active", false, "only agents that were seen within 30 days")
	return cmd
}

func (p *program) printAgents(agents []amtp.Agent) {
	if len(agents) == 0 {
		p.printf("No agents found.\n")
		return
	}
	p.printf("Discovered %s:\n\n", plural(len(agents), "agent"))
	for _, a := range agents {
		p.printf("%s\n", agentLine(a))
	}
}

// agentLine writes an agent as the reference program lists it.
func agentLine(a amtp.Agent) string {
	mode := a.DeliveryMode
	if mode == "" {
		mode = "?"
	}
	line := "  - " + clean(a.Address.String()) + "  (" + clean(mode) + ")"
	if len(a.SupportedSchemas) > 0 {
		line += " schemas=[" + clean(strings.Join(a.SupportedSchemas, ", ")) + "]"
	}
	return line
}
