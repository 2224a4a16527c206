package cli

import (
	"cmp"
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const inviteHelp = `Invite somebody on another machine to become an agent of this gateway, without the
admin key. The code that is printed is for the agent of that name, counts for ten
minutes and once; whoever has it can use it, so send it by a way that others do not
read. The other one types: amtp join CODE

An invitation for the same name from before ends. With --existing the agent exists
already, and who joins gets one more key of it: on a second machine, or where the
key was lost.

The code says where the gateway is: at --url, else at --gateway or the saved URL
when other machines reach it, else where the gateway says that it is
(server.public_url). It must be https; of a gateway on this machine only, the code
is for this machine only.`

func (p *program) inviteCommand() *cobra.Command {
	var n admin.NewInvite
	var at string
	cmd := p.operates(p.online(&cobra.Command{
		Use:     "invite NAME",
		Short:   "Let somebody become an agent without the admin key",
		Long:    inviteHelp,
		Example: "  amtp invite carol\n  amtp invite carol --url https://amtp.example.com\n  amtp invite carol --existing",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		n.Name = args[0]
		return p.invite(ctx, c, id, n, at)
	}))
	cmd.Flags().StringVar(&at, "url", "", "`URL` of the gateway as the other one reaches it")
	cmd.Flags().BoolVar(&n.Existing, "existing", false, "one more key for an agent that there is already")
	return cmd
}

func (p *program) invite(
	ctx context.Context,
	c *admin.Client,
	id *profile.Identity,
	n admin.NewInvite,
	at string,
) error {
	if at != "" && !mayCarry(at) {
		return usageErrorf("An invitation is for an https URL, and %q is not one.", at)
	}
	made, err := c.Invite(ctx, n)
	if err != nil {
		return err
	}
	code := amtp.InviteCode{Gateway: cmp.Or(at, inviteURL(c.URL, made.Gateway)), Secret: made.Secret, Pin: id.Pin}
	if pin, err := amtp.ParsePin(made.Pin); err == nil {
		code.Pin = &pin
	}
	if _, err := amtp.ParseInviteCode(code.String()); err != nil {
		return &failure{exit: exitUsage, code: codeUsage,
			message: "The invitation was made, and cannot be used: the gateway's URL " + code.Gateway +
				" is no https URL.",
			hint: "give the URL at which the other one reaches it: --url https://…"}
	}
	p.ifLost = "make room where the result goes, then run it again: that ends the invitation which nobody saw"
	if p.json {
		return p.printJSON(struct {
			Address     amtp.Address `json:"address"`
			Code        string       `json:"code"`
			GatewayURL  string       `json:"gateway_url"`
			Expires     amtp.Time    `json:"expires_at"`
			ThisMachine bool         `json:"this_machine_only"`
		}{made.Address, code.String(), code.Gateway, made.Expires, loopback.IsURL(code.Gateway)})
	}
	p.printf("amtp join %s\n", code)
	p.notef("\nTyped once, before %s, that makes the one who types it %s at %s.\n", p.timeText(made.Expires.Time),
		render.Address(made.Address), render.Clean(code.Gateway))
	if loopback.IsURL(code.Gateway) {
		p.notef("That is this machine only; for another one: --url https://…\n")
	}
	return nil
}

// mayCarry reports whether a code may go to a gateway at the URL.
func mayCarry(at string) bool {
	u, err := url.Parse(at)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback.IsURL(at))
}

// inviteURL returns the URL of the gateway for another machine. It is our own URL, if
// that is no loopback address, else the one that the gateway names.
func inviteURL(ours, said string) string {
	if !loopback.IsURL(ours) {
		return ours
	}
	return cmp.Or(said, ours)
}
