package cli

import "github.com/spf13/cobra"

const domainHelp = `Give the gateway a domain of its own, so that agents of other domains can write to
NAME@DOMAIN, and check that it works. The whole way: docs/federation.md.`

func (p *program) domainCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "domain",
		Short:   "Set up the gateway's domain, or check any domain",
		Long:    domainHelp,
		Example: "  amtp domain setup example.com\n  amtp domain check\n  amtp domain check shop.example --json",
	})
	cmd.AddCommand(p.domainSetupCommand(), p.domainCheckCommand())
	return cmd
}
