package cli

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const rotateHelp = `Issue a new key for an agent, save it, and then end its other keys. One's own new
key goes into the config file; another agent's goes into the file that --save
names, which is then a config file for that agent. No key is ever printed.

Stopped at any moment, it leaves a key that works in the file.`

func (p *program) agentRotateKeyCommand() *cobra.Command {
	var save string
	var keep bool
	cmd := p.online(&cobra.Command{
		Use:     "rotate-key [NAME]",
		Short:   "Replace an agent's key",
		Long:    rotateHelp,
		Example: "  amtp agent rotate-key\n  amtp agent rotate-key bob --save bob.json",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		name, err := meant(id, args)
		if err != nil {
			return err
		}
		if save == "" && !(id.Saves && profile.SameAgent(id.Saved(profile.MemberName), name)) {
			return usageErrorf("The key of %s would be lost: say where it goes with --save FILE.", render.Clean(name))
		}
		return p.rotateKey(ctx, id, args, save, keep)
	})
	cmd.Flags().StringVar(&save, "save", "", "config `FILE` that gets the new key")
	cmd.Flags().BoolVar(&keep, "keep-others", false, "do not end the agent's other keys")
	return cmd
}

func (p *program) rotateKey(ctx context.Context, id *profile.Identity, args []string, save string, keep bool) error {
	name, err := meant(id, args)
	if err != nil {
		return err
	}
	target := id
	if save != "" {
		other := *p
		other.configFile, other.profile = save, ""
		if target, err = other.identity(); err != nil {
			return err
		}
		if err := target.MayBecome(name, id.Gateway); err != nil {
			return err
		}
	}
	var issued amtp.IssuedKey
	err = p.manageMeant(id, args, "rotate-key", func(c *amtp.Client) (err error) {
		issued, err = c.IssueKey(ctx, name, false)
		return err
	})
	if err != nil {
		return err
	}
	err = target.Become(name, id.Gateway, map[string]string{
		profile.MemberGateway: id.Gateway,
		profile.MemberName:    issued.Address.Local(),
		profile.MemberAddress: issued.Address.String(),
		profile.MemberKey:     issued.APIKey,
		profile.MemberPin:     id.PinText(),
		profile.MemberUser:    p.runsAs,
	})
	if err != nil {
		return err
	}
	ended := 0
	if !keep {
		holder := &amtp.Client{URL: id.Gateway, Key: issued.APIKey, HTTP: p.reach(id.Gateway), UserAgent: userAgent()}
		if ended, err = endOthers(ctx, holder, name, issued.ID); err != nil {
			return err
		}
	}
	if p.json {
		return p.printJSON(struct {
			Address    amtp.Address `json:"address"`
			KeyID      string       `json:"key_id"`
			Revoked    int          `json:"revoked"`
			ConfigFile string       `json:"config_file"`
		}{issued.Address, issued.ID, ended, target.Path})
	}
	p.printf(
		"New key %s for %s; %s ended.\n  Config saved to: %s\n",
		render.Clean(issued.ID),
		render.Address(issued.Address),
		render.Plural(ended, "other key"),
		target.Path,
	)
	return nil
}

// endOthers ends all keys of the agent but one.
func endOthers(ctx context.Context, c *amtp.Client, name, but string) (ended int, err error) {
	list, err := c.Keys(ctx, name)
	if err != nil {
		return 0, err
	}
	for _, k := range list.Keys {
		if k.ID == but {
			continue
		}
		if err := c.RevokeKey(ctx, name, k.ID); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}

func (p *program) agentRevokeKeyCommand() *cobra.Command {
	return p.online(&cobra.Command{
		Use:     "revoke-key [NAME] KEY-ID",
		Short:   "End one key of an agent",
		Long:    "End one key of an agent at once. \"amtp agent show\" lists the ids.",
		Example: "  amtp agent revoke-key KEY-ID\n  amtp agent revoke-key bob KEY-ID",
		Args:    cobra.RangeArgs(1, 2),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		keyID := args[len(args)-1]
		name, err := meant(id, args[:len(args)-1])
		if err != nil {
			return err
		}
		if err := p.manageMeant(id, args[:len(args)-1], "revoke-key", func(c *amtp.Client) error {
			return c.RevokeKey(ctx, name, keyID)
		}); err != nil {
			return err
		}
		if p.json {
			return p.printJSON(map[string]string{"result": "revoked", "agent_name": name, "key_id": keyID})
		}
		p.printf("Key %s of %s revoked.\n", render.Clean(keyID), render.Clean(name))
		return nil
	})
}

// printAgent prints an agent, and its keys if they are known.
func (p *program) printAgent(a amtp.Agent, keys *amtp.AgentKeys) error {
	if a.PushSecret != "" {
		p.ifLost = renewSecret
	}
	if p.json {
		var list []amtp.AgentKey
		if keys != nil {
			list = keys.Keys
		}
		return p.printJSON(struct {
			amtp.Agent
			Keys []amtp.AgentKey `json:"keys,omitempty"`
		}{a, list})
	}
	line := func(label, value string) {
		p.printf("  %-14s %s\n", label, render.Clean(cmp.Or(value, "(none)")))
	}
	p.printf("%s\n", render.Address(a.Address))
	if a.Kind != "" {
		line("Kind:", a.Kind)
		line("Members:", membersLine(a))
	}
	line("Description:", a.Description)
	line("Role:", a.Role)
	line("Delivery:", a.DeliveryMode)
	if a.PushTarget != "" && a.DeliveryMode == "push" {
		line("Endpoint:", a.PushTarget)
	}
	line("Capabilities:", strings.Join(a.Capabilities, ", "))
	line("Schemas:", strings.Join(a.SupportedSchemas, ", "))
	line("Listed:", map[bool]string{true: "yes", false: "no"}[a.Listed])
	if a.MaxDeliveries > 0 {
		line("Max deliveries:", strconv.Itoa(a.MaxDeliveries))
	}
	if a.Receipts != "" {
		line("Receipts:", a.Receipts)
	}
	line("Registered:", p.timeText(a.CreatedAt.Time))
	line("Last active:", p.timeText(a.LastActive.Time))
	p.printPushSecret(a.PushSecret)
	if keys != nil {
		for _, k := range keys.Keys {
			line("Key:", k.ID+", made "+p.timeText(k.CreatedAt.Time)+", last used "+
				cmp.Or(p.timeText(k.LastUsed.Time), "never"))
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
