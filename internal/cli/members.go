package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const mailboxHelp = `Shared mailboxes: one address and one inbox for several agents of this gateway.

Each member reads the inbox with its own key and --mailbox, for example
"amtp inbox --mailbox support". Members that claim messages ("amtp claim", "amtp work")
never get the same message at the same time. Answers that are sent with --mailbox go
out under the mailbox's address; the gateway records which member wrote them.

Making and changing a mailbox needs the gateway's admin key.`

const groupHelp = `Groups: one address for several agents or shared mailboxes of this gateway.

A message to a group goes to each of its members, and the sender sees the status of
each. Senders of other domains see the group only. A group has no inbox and cannot
send.

Making and changing a group needs the gateway's admin key.`

// kindWords are the words for a kind of address with members.
type kindWords struct {
	kind, short, help string
}

var (
	mailboxWords = kindWords{"mailbox", "Manage shared mailboxes and their members", mailboxHelp}
	groupWords   = kindWords{"group", "Manage groups and their members", groupHelp}
)

func (p *program) membersCommand(k kindWords) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   k.kind,
		Short: k.short,
		Long:  k.help,
		Example: strings.ReplaceAll(`  amtp KIND create support --member alice --member bob
  amtp KIND list
  amtp KIND add support carol
  amtp KIND remove support bob
  amtp KIND delete support --yes`, "KIND", k.kind),
	})
	for _, sub := range []*cobra.Command{
		p.membersCreateCommand(k), p.membersListCommand(k), p.membersShowCommand(k),
		p.membersChangeCommand(k, "add", "Add members",
			func(u *amtp.AgentUpdate, names []string) { u.AddMembers = names }),
		p.membersChangeCommand(k, "remove", "Remove members",
			func(u *amtp.AgentUpdate, names []string) { u.RemoveMembers = names }),
		p.membersDeleteCommand(k),
	} {
		cmd.AddCommand(p.operates(sub))
	}
	return cmd
}

func (p *program) membersCreateCommand(k kindWords) *cobra.Command {
	var members []string
	var description string
	var unlisted bool
	cmd := p.online(&cobra.Command{
		Use:     "create NAME --member MEMBER",
		Short:   "Make a " + k.kind,
		Long:    "Make a " + k.kind + " with these members. NAME is its name at this gateway; it has no key.",
		Example: "  amtp " + k.kind + " create support --member alice --member bob",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		listed := !unlisted
		made, err := c.Register(ctx, amtp.NewAgent{Address: args[0], DeliveryMode: "pull", Kind: k.kind,
			Members:     members,
			Description: description, Listed: &listed})
		if err != nil {
			return err
		}
		return p.printMembers(made.Agent)
	})
	cmd.Flags().StringArrayVar(&members, "member", nil, "`NAME` of a member; may repeat")
	cmd.Flags().StringVar(&description, "description", "", "one `LINE` that says what it is for")
	cmd.Flags().BoolVar(&unlisted, "unlisted", false, "do not show it in discovery")
	return cmd
}

func (p *program) membersListCommand(k kindWords) *cobra.Command {
	return p.online(&cobra.Command{
		Use:     "list",
		Short:   "List them with their members",
		Long:    "List every " + k.kind + " of the gateway with its members.",
		Example: "  amtp " + k.kind + " list --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		all, err := agentPages(ctx, c, &listing{limit: pageSize, all: true})
		if err != nil {
			return err
		}
		found := make([]amtp.Agent, 0)
		for _, address := range sortedKeys(all.Agents) {
			if a := all.Agents[address]; a.Kind == k.kind {
				found = append(found, a)
			}
		}
		if p.json {
			return p.printJSON(map[string]any{k.kind + "s": found})
		}
		if len(found) == 0 {
			p.printf("There is no %s. Make one: amtp %s create NAME --member MEMBER\n", k.kind, k.kind)
		}
		for _, a := range found {
			p.printf("%s: %s\n", render.Address(a.Address), membersLine(a))
		}
		return nil
	})
}

func (p *program) membersShowCommand(k kindWords) *cobra.Command {
	return p.online(&cobra.Command{
		Use:     "show NAME",
		Short:   "Show one with its members",
		Long:    "Show a " + k.kind + " with its members.",
		Example: "  amtp " + k.kind + " show support",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		a, err := p.withMembers(ctx, id, k, args[0])
		if err != nil {
			return err
		}
		return p.printMembers(a)
	})
}

func (p *program) membersChangeCommand(k kindWords, use, short string,
	set func(*amtp.AgentUpdate, []string)) *cobra.Command {
	return p.online(&cobra.Command{
		Use:     use + " NAME MEMBER...",
		Short:   short,
		Long:    short + " of a " + k.kind + ". The others stay.",
		Example: "  amtp " + k.kind + " " + use + " support carol",
		Args:    cobra.MinimumNArgs(2),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if _, err := p.withMembers(ctx, id, k, args[0]); err != nil {
			return err
		}
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		var u amtp.AgentUpdate
		set(&u, args[1:])
		a, err := c.UpdateAgent(ctx, args[0], u)
		if err != nil {
			return err
		}
		return p.printMembers(a)
	})
}

func (p *program) membersDeleteCommand(k kindWords) *cobra.Command {
	var yes bool
	cmd := p.online(&cobra.Command{
		Use:   "delete NAME --yes",
		Short: "Remove one",
		Long: "Remove a " + k.kind +
			" from the gateway. It cannot be undone, so --yes is required; nothing is\nasked. Its members stay.",
		Example: "  amtp " + k.kind + " delete support --yes",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if !yes {
			return usageErrorf("This removes the %s %s and cannot be undone: add --yes.", k.kind, render.Clean(args[0]))
		}
		if _, err := p.withMembers(ctx, id, k, args[0]); err != nil {
			return err
		}
		c, err := p.operator(id)
		if err != nil {
			return err
		}
		if err := c.DeleteAgent(ctx, args[0]); err != nil {
			return err
		}
		if p.json {
			return p.printJSON(map[string]string{"result": "removed", k.kind: args[0]})
		}
		p.printf("The %s %s was removed.\n", k.kind, render.Clean(args[0]))
		return nil
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove it")
	return cmd
}

// withMembers returns the mailbox or group of that name. An agent, or one of the other
// kind, is refused.
func (p *program) withMembers(ctx context.Context, id *profile.Identity, k kindWords, name string) (a amtp.Agent,
	err error) {
	c, err := p.operator(id)
	if err != nil {
		return a, err
	}
	if a, err = c.Agent(ctx, name); err != nil {
		return a, err
	}
	if a.Kind != k.kind {
		return a, &failure{exit: exitNotFound, code: amtp.CodeAgentUnknown,
			message: fmt.Sprintf("%s is not a %s.", render.Address(a.Address), k.kind),
			hint:    "amtp " + k.kind + " list"}
	}
	return a, nil
}

func membersLine(a amtp.Agent) string {
	if len(a.Members) == 0 {
		return "no members"
	}
	names := make([]string, len(a.Members))
	for i, m := range a.Members {
		names[i] = render.Address(m)
	}
	return strings.Join(names, ", ")
}

func (p *program) printMembers(a amtp.Agent) error {
	if p.json {
		return p.printJSON(a)
	}
	p.printf("%s is a %s.\n  Members: %s\n", render.Address(a.Address), render.Clean(a.Kind), membersLine(a))
	return nil
}

// mailboxFlag adds --mailbox to a command that reads an inbox or writes.
func (p *program) mailboxFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.mailbox, "mailbox", "",
		"act in the shared mailbox `NAME`, of which you are a member (see amtp mailbox)")
}

// inMailbox returns the address of the shared mailbox that --mailbox names, for a member
// with that address.
func (p *program) inMailbox(self amtp.Address) (amtp.Address, error) {
	name := p.mailbox
	if name == "" {
		return self, nil
	}
	if !strings.Contains(name, "@") {
		name += "@" + string(self.Domain())
	}
	a, err := amtp.ParseAddress(name)
	if err != nil {
		return a, usageErrorf("--mailbox: %v.", err)
	}
	return a, nil
}
