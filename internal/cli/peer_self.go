package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/render"
)

func (p *program) peerSelfCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:   "self",
		Short: "Print the line with which another gateway adds this one",
		Long: `Print the line that makes this gateway a peer of another one, to be typed there. It
has the pin of the certificate that the gateway shows now. Where the gateway does not
know its own URL (server.public_url) there is one line for each address of its
machine; the right one is the one that the other machine reaches.`,
		Example: "  amtp peer self",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		list, err := c.Peers(ctx)
		if err != nil {
			return err
		}
		if list.Self.Pin == "" {
			return &failure{exit: exitUsage, code: codeUsage,
				message: "This gateway shows no certificate of its own, so there is no pin of it.",
				hint:    `"amtp peer cert" makes a certificate; where a proxy speaks TLS for the gateway, others add it with the proxy's`}
		}
		return p.printSelf(list.Domain, list.Self)
	})
}

func (p *program) printSelf(d amtp.Domain, self admin.GatewaySelf) error {
	if p.json {
		return p.printJSON(struct {
			Domain amtp.Domain `json:"domain"`
			admin.GatewaySelf
		}{d, self})
	}
	p.notef("On the other machine:\n\n")
	for _, at := range self.Gateways {
		p.printf("amtp peer add %s %s --pin %s\n", render.Clean(string(d)), render.Clean(at), render.Clean(self.Pin))
	}
	return nil
}
