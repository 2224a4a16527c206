package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const joinHelp = `Become the agent for which somebody made an invitation with "amtp invite", and save
its identity in ~/.amtp-config.json. The code says which gateway, and for which
name; no other key is needed. It counts once, within ten minutes. With - in place of
the code it is read from stdin: other users of the machine can see a command line.

A profile that has an identity already is not overwritten: --profile NAME makes
another one. See "amtp help profile".`

func (p *program) joinCommand() *cobra.Command {
	var about agentFlags
	var given string // the code
	cmd := p.online(&cobra.Command{
		Use:     "join CODE",
		Short:   "Become an agent by an invitation",
		Long:    joinHelp,
		Example: "  amtp join amtp_invite_AWZvb2…\n  amtp join amtp_invite_AWZvb2… --profile work --description \"Quotes prices\"",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		code, err := amtp.ParseInviteCode(given)
		if err != nil {
			return usageErrorf("%s", render.Sentence(err))
		}
		u, _, err := about.update()
		if err != nil {
			return err
		}
		return p.joinBy(ctx, id, code, u)
	})
	about.words(cmd)
	ask := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if p.gateway != "" {
			return usageErrorf("The code says which gateway; give it without --gateway.")
		}
		var err error
		if given, err = p.secretArgument(args[0]); err != nil {
			return err
		}
		code, err := amtp.ParseInviteCode(given)
		if err != nil {
			return usageErrorf("%s", render.Sentence(err))
		}
		p.gateway = code.Gateway
		if code.Pin != nil {
			p.pin = code.Pin.String()
		}
		return ask(cmd, args)
	}
	return cmd
}

// joinBy uses the code and saves the new identity. It tests first that the identity can be
// saved, because the code works once.
func (p *program) joinBy(ctx context.Context, id *profile.Identity, code amtp.InviteCode, u amtp.AgentUpdate) error {
	if id.Saved(profile.MemberKey) != "" {
		return id.Taken("give the new identity a profile of its own: --profile NAME; the code was not used")
	}
	if err := id.Save(map[string]string{}); err != nil {
		return err
	}
	p.meeting(id) // the code works once, and its sender can end it
	got, err := (&amtp.Client{URL: code.Gateway, HTTP: p.reach(code.Gateway),
		UserAgent: userAgent()}).Join(ctx, amtp.Join{
		Secret: code.Secret, Description: given(u.Description), Role: given(u.Role),
		Capabilities: given(u.Capabilities), SupportedSchemas: given(u.SupportedSchemas), Listed: u.Listed,
	})
	if err != nil {
		f := p.explain(err)
		if f.code == amtp.CodeAuthenticationFailed {
			f.hint = "ask whoever sent the code for another one: amtp invite NAME"
		}
		return f
	}
	return p.settle(id, got.Address.Local(), member{address: got.Address, key: got.APIKey, how: got.Result})
}
