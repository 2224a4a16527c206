package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const whoamiHelp = `Show current configuration: which agent these commands act as, at which gateway.
Of keys only the beginning is shown. With --check the gateway is asked whether
the key works.`

func (p *program) whoamiCommand() *cobra.Command {
	var check bool
	cmd := p.online(&cobra.Command{
		Use:     "whoami",
		Short:   "Show current configuration",
		Long:    whoamiHelp,
		Example: "  amtp whoami\n  amtp whoami --check",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		return p.whoami(ctx, id, check)
	})
	cmd.Flags().BoolVar(&check, "check", false, "ask the gateway whether the key works")
	return cmd
}

func (p *program) whoami(ctx context.Context, id *profile.Identity, check bool) error {
	var who *amtp.Identity
	var err error
	if check {
		if err = id.Need(profile.MemberGateway, profile.MemberKey); err == nil {
			var found amtp.Identity
			found, err = p.client(id).WhoAmI(ctx)
			who = &found
		}
	}
	if p.json {
		if err != nil {
			return err
		}
		return p.printJSON(struct {
			GatewayURL   string         `json:"gateway_url"`
			AgentName    string         `json:"agent_name"`
			AgentAddress string         `json:"agent_address"`
			APIKey       string         `json:"api_key"`
			AdminKey     string         `json:"admin_key"`
			ConfigFile   string         `json:"config_file"`
			Profile      string         `json:"profile"`
			Checked      *amtp.Identity `json:"checked,omitempty"`
		}{id.Gateway, id.Name, id.Address, beginning(id.Key), beginning(id.AdminKey), id.Path, id.Profile, who})
	}
	p.printf("AMTP Configuration:\n")
	show := func(label, value string) {
		if value == "" {
			value = "(not set)"
		}
		p.printf("  %-16s %s\n", label, render.Clean(value))
	}
	show("Gateway URL:", id.Gateway)
	show("Agent Name:", id.Name)
	show("Agent Address:", id.Address)
	show("API Key:", beginning(id.Key))
	show("Admin Key:", beginning(id.AdminKey))
	show("Config File:", id.Path)
	if id.Named() {
		show("Profile:", id.Profile)
	}
	if who != nil && err == nil {
		show("Checked:", render.Address(who.Address)+", "+render.Counted(who.Pending, who.CountsCapped, "message")+" waiting, "+
			render.Counted(who.Unread, who.CountsCapped && who.Unread >= who.Pending, "unread message"))
		for _, box := range who.Mailboxes {
			show("Member of:", render.Address(box))
		}
		if saved, err := amtp.ParseAddress(id.Address); err == nil && !saved.Equal(who.Address) {
			p.notef("The agent's address is now %s. To save that: amtp setup --name %s%s\n",
				render.Address(who.Address), render.Clean(who.Address.Local()), p.again())
		}
	}
	return err
}

// beginning is as much of a key as may be shown.
func beginning(key string) string {
	const shown = 8
	switch {
	case key == "":
		return ""
	case len(key) < 2*shown:
		return "..."
	}
	return key[:shown] + "..."
}
