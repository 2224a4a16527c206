package cli

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/render"
)

const peerHelp = `Domains that this gateway reaches without DNS: the machine of a colleague on the
same network, for example. Both sides add the other one:

  1. amtp peer self    on each machine: prints the line for the other one
  2. amtp peer add …   on each machine: the line of the other one
  3. amtp peer check DOMAIN

DNS is asked nothing about a peer. Its gateway is called at that address and port,
even when they are on a private network, and for no other. Who it is, is known by
its certificate, and the keys that it signs with are asked of it over such a
connection. What does not verify is refused.

A change holds at once and for every gateway over the same store. The commands
need the gateway's admin key: AMTP_ADMIN_KEY, unless the gateway runs on this
machine from a data directory that you can read. docs/lan.md tells the whole way.`

func (p *program) peerCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "peer",
		Short:   "Reach other domains without DNS",
		Long:    peerHelp,
		Example: "  amtp peer self\n  amtp peer add other.lan https://192.168.1.7:8443 --pin sha256//…\n  amtp peer check other.lan",
	})
	cmd.AddCommand(p.peerAddCommand(), p.peerListCommand(), p.peerCheckCommand(), p.peerRemoveCommand(),
		p.peerSelfCommand(), p.peerCertCommand())
	return cmd
}

func (p *program) peerAddCommand() *cobra.Command {
	var n admin.NewPeer
	var caFile string
	cmd := p.asOperator(&cobra.Command{
		Use:   "add DOMAIN URL",
		Short: "Say where the gateway of a domain is",
		Long: `Say where the gateway of a domain is and by which certificate it is known:

  --pin HASH  by the public key in it: the SHA-256 that "amtp peer self" prints on
              the other machine. Who issued it, for which name and until when does
              not matter then.
  --ca FILE   by who issued it: a file with certificates in PEM form. It must be
              valid for the host in the URL.

With neither it must be one that this gateway trusts anyway.

A check follows and is printed. When nothing answers yet the peer is kept all the
same. When something else answers than what is meant it is refused with exit code
5. A peer of that domain from before is replaced.`,
		Example: "  amtp peer add other.lan https://192.168.1.7:8443 --pin sha256//w5lSXBr5Vc1hkN2sRrS8EYbr6J5nkpyL3k+eWzQZ4FE=\n  amtp peer add other.lan https://gw.other.lan:8443 --ca other-ca.pem",
		Args:    cobra.ExactArgs(2),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		d, err := amtp.ParseDomain(args[0])
		if err != nil {
			return usageErrorf("%s", render.Sentence(err))
		}
		if n.Pin != "" && caFile != "" {
			return usageErrorf("Give --pin or --ca, not both: either would be enough for whoever has the other.")
		}
		n.Domain, n.Gateway = d, args[1]
		if caFile != "" {
			pem, err := os.ReadFile(caFile)
			if err != nil {
				return usageErrorf("%s", render.Sentence(err))
			}
			n.CA = string(pem)
		}
		report, err := c.AddPeer(ctx, n)
		if err != nil {
			return err
		}
		if !p.json {
			p.printf("%s is reached at %s from now on.\n", render.Clean(string(report.Peer.Domain)),
				render.Clean(report.Peer.Gateway))
		}
		return p.printPeerReport(report, nil)
	})
	cmd.Flags().StringVar(&n.Pin, "pin", "", "`HASH` of the public key in its certificate")
	cmd.Flags().StringVar(&caFile, "ca", "", "`FILE` with the authorities of its certificate")
	cmd.Flags().BoolVar(&n.Unsigned, "unsigned", false, "it does not sign what it sends; that is taken as unverified")
	cmd.Flags().BoolVar(&n.Receipts, "receipts", false,
		"it wants to be told when agents here read or acknowledge its messages")
	return cmd
}

// printPeerReport prints the result of a check and returns the verdict.
func (p *program) printPeerReport(r admin.PeerReport, verdict error) error {
	if p.json {
		if err := p.printJSON(r); err != nil {
			return err
		}
		return verdict
	}
	for _, point := range r.Points {
		p.printPoint(point.OK, point.Name, point.Text, point.Mend)
	}
	return verdict
}

// printPoint prints one line of a check.
func (p *program) printPoint(ok bool, name, text, mend string) {
	p.printf("%s %s: %s\n", p.mark(ok), render.Clean(name), render.Clean(text))
	if mend != "" && !ok {
		p.printf("    %s\n", render.Clean(mend))
	}
}

func (p *program) peerListCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:     "list",
		Short:   "List the domains that are reached without DNS",
		Long:    "List the domains that are reached without DNS, with how their gateway is known and\nwhen they last wrote here, to the hour; and how many messages of other domains were\ntaken without proof, if any, while federation.unsigned is flag.",
		Example: "  amtp peer list\n  amtp peer list --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		list, err := c.Peers(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		if f := list.Flagged; f.Unsigned+f.Invalid+f.KeyUnavailable > 0 {
			defer p.printf("\nTaken from other domains without proof since the gateway's start: %d unsigned, %d invalid, %d with a key that could not be obtained.\n",
				f.Unsigned, f.Invalid, f.KeyUnavailable)
		}
		if len(list.Peers) == 0 {
			p.printf("No peers.\n")
			return nil
		}
		rows := [][]string{{"DOMAIN", "GATEWAY", "KNOWN BY", "LAST WROTE"}}
		for i := range list.Peers {
			n := &list.Peers[i]
			rows = append(rows, []string{string(n.Domain), n.Gateway, knownBy(&n.NewPeer),
				cmp.Or(p.timeText(n.LastSeen.Time), "never")})
		}
		p.printTable(rows)
		return nil
	})
}

// knownBy says how a peer proves its identity.
func knownBy(n *admin.NewPeer) string {
	by := "its certificate"
	switch {
	case n.Pin != "":
		by = n.Pin
	case n.CA != "":
		by = "an authority of its own"
	}
	if n.Unsigned {
		by += ", unsigned"
	}
	if n.Receipts {
		by += ", receipts"
	}
	return by
}

func (p *program) peerCheckCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:   "check DOMAIN",
		Short: "Try what works between this gateway and a peer",
		Long: `Try what works between this gateway and a peer: from here to there (address,
certificate, domain, keys, clock), and then, by a signed question, from there to
here (them). Each line says what is so and, where something is wrong, what to do
next. Exit code 0 when all is well, else 1.

Nothing is stored anywhere, and no message is sent. A gateway that was just
repaired may look broken to the other one for half a minute.`,
		Example: "  amtp peer check other.lan\n  amtp peer check other.lan --json",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		report, err := c.CheckPeer(ctx, amtp.Domain(args[0]))
		if err != nil {
			return p.peersHint(err)
		}
		var verdict error
		if !report.OK {
			verdict = told(exitInternal)
		}
		return p.printPeerReport(report, verdict)
	})
}

// peersHint says where the peers are listed, for a command line that named none of them.
func (p *program) peersHint(err error) error {
	f := p.explain(err)
	if f.code == amtp.CodeDomainNotFound {
		f.hint = `"amtp peer list" shows those that there are`
	}
	return f
}

func (p *program) peerRemoveCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:     "remove DOMAIN",
		Short:   "Ask DNS for a domain again",
		Long:    "Forget how a domain is reached: DNS is asked again, for its gateway and its keys.\nThat it has signed is remembered for 30 days all the same.",
		Example: "  amtp peer remove other.lan",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		if err := c.RemovePeer(ctx, amtp.Domain(args[0])); err != nil {
			return p.peersHint(err)
		}
		if p.json {
			return p.printJSON(map[string]string{"removed": args[0]})
		}
		p.printf("%s is no longer a peer.\n", render.Clean(args[0]))
		return nil
	})
}
