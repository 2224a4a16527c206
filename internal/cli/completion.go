package cli

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
)

const completionHelp = `Print a script that makes a shell complete commands, flags and their values with
the Tab key:

  bash         in ~/.bashrc:  source <(amtp completion bash)
               it needs the package bash-completion
  zsh          in ~/.zshrc, behind compinit:  source <(amtp completion zsh)
  fish         amtp completion fish > ~/.config/fish/completions/amtp.fish
  powershell   in $PROFILE:  amtp completion powershell | Out-String | Invoke-Expression

Profiles are completed from ~/.amtp-config.json. Addresses, names of agents and ids
of messages are asked of your gateway, as the commands do it; when it does not
answer within a second, nothing is offered. What a message says is never shown.`

const completionExamples = `  amtp completion bash
  source <(amtp completion zsh)
  amtp completion fish > ~/.config/fish/completions/amtp.fish`

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (p *program) completionCommand(root *cobra.Command) *cobra.Command {
	const use = "completion {bash | zsh | fish | powershell}"
	return &cobra.Command{
		Use:                   use,
		Short:                 "Make a shell complete commands, flags and values",
		Long:                  completionHelp,
		Example:               completionExamples,
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     first(cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp)),
		RunE: func(_ *cobra.Command, args []string) error {
			var script bytes.Buffer
			var err error
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&script, true)
			case "zsh":
				err = root.GenZshCompletion(&script)
			case "fish":
				err = root.GenFishCompletion(&script, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&script)
			default:
				return usageErrorf("There is no completion for %q. Usage: amtp %s", args[0], use)
			}
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(map[string]string{"shell": args[0], "script": script.String()})
			}
			p.printf("%s", script.String())
			return nil
		},
	}
}

// completions sets the words that may follow a command, or a flag of the name. For
// anything else nothing is offered.
func (p *program) completions(root *cobra.Command) {
	none := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveNoFileComp)
	files := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	directories := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	arguments := map[string]cobra.CompletionFunc{
		"ack":              p.offer(p.received),
		"read":             first(p.offer(p.received)),
		"reply":            first(p.offer(p.received)),
		"status":           first(p.offer(p.sentIDs)),
		"label":            first(p.offer(p.received)),
		"thread":           first(p.offer(p.received)),
		"forward":          first(p.offer(p.received)),
		"agent show":       first(p.offer(p.names)),
		"agent update":     first(p.offer(p.names)),
		"agent delete":     first(p.offer(p.names)),
		"agent rotate-key": first(p.offer(p.names)),
		"agent revoke-key": first(p.offer(p.names)),
		"keys use":         first(p.offer(p.waitingKeys)),
		"keys retire":      first(p.offer(p.waitingKeys)),
		"keys import":      first(files),
		"profile use":      first(p.profiles),
		"profile remove":   first(p.profiles),
		"profile allow":    first(directories),
		"profile deny":     first(directories),
		"backup":           first(files),
		"restore":          first(files),
		"check":            first(directories),
	}
	flags := map[string]cobra.CompletionFunc{
		"profile":     p.profiles,
		"to":          p.offer(p.addresses),
		"in-reply-to": p.offer(p.received),
		"mode":        words("pull", "push"),
		"alg":         words("es256", "rs256"),
		"bits":        words(rsaSizes...),
		"status":      words("pending", "queued", "delivering", "retrying", "delivered", "failed"),
	}
	each(root, func(cmd *cobra.Command) {
		complete, said := arguments[strings.TrimPrefix(cmd.CommandPath(), "amtp ")]
		if !said {
			complete = none
		}
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = complete
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			complete, said := flags[f.Name]
			kind, _ := pflag.UnquoteUsage(f)
			alternatives := strings.Split(f.Value.Type(), "|")
			switch {
			case said:
			case len(alternatives) > 1:
				complete = words(alternatives...)
			case kind == "DIR" || f.Name == "data-dir":
				complete = directories
			case kind == "FILE" || f.Value.Type() == "path":
				complete = files
			default:
				complete = none
			}
			// It fails only where the same flag has one already.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
		})
	})
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, do)
	}
}

// withoutBackquotes leaves out the marks with which the meaning of a flag names its
// value: a shell shows them as they are.
type withoutBackquotes struct{ to io.Writer }

func (w withoutBackquotes) Write(b []byte) (int, error) {
	_, err := w.to.Write(bytes.ReplaceAll(b, []byte("`"), nil))
	return len(b), err
}

func words(list ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
}

// commandNames completes the names of the commands below the ones that were typed.
func commandNames(root *cobra.Command) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (list []cobra.Completion, _ cobra.ShellCompDirective) {
		if above, rest, err := root.Find(args); err == nil && len(rest) == 0 {
			for _, cmd := range above.Commands() {
				if cmd.IsAvailableCommand() {
					list = append(list, cobra.CompletionWithDesc(cmd.Name(), cmd.Short))
				}
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// first completes the first argument only.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, begun)
	}
}

// profiles returns the names in the config file.
func (p *program) profiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	p.silent = true
	id, err := p.identity()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list := []cobra.Completion{profile.Default}
	for name := range id.Profiles {
		list = append(list, name)
	}
	slices.Sort(list)
	return list, cobra.ShellCompDirectiveNoFileComp
}

// patience is how long a user who pressed Tab waits for a gateway.
const patience = time.Second

// offer completes with words from the gateway. Strangers choose these names and ids, so
// only those of a harmless form get to the terminal.
func (p *program) offer(ask func(context.Context, *profile.Identity) []cobra.Completion) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		p.silent = true
		id, err := p.identity()
		if err != nil || id.Absent || id.Gateway == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), patience)
		defer cancel()
		list := slices.DeleteFunc(ask(ctx, id), func(c cobra.Completion) bool {
			word, _, _ := strings.Cut(c, "\t")
			return slices.Contains(args, word)
		})
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// addresses returns those of the gateway's agents.
func (p *program) addresses(ctx context.Context, id *profile.Identity) (list []cobra.Completion) {
	for _, a := range p.agents(ctx, id) {
		list = append(list, a.String())
	}
	return list
}

// names returns those of the gateway's agents.
func (p *program) names(ctx context.Context, id *profile.Identity) (list []cobra.Completion) {
	for _, a := range p.agents(ctx, id) {
		list = append(list, a.Local())
	}
	return list
}

func (p *program) agents(ctx context.Context, id *profile.Identity) (list []amtp.Address) {
	found, err := p.client(id).Discover(ctx, "", amtp.AgentQuery{})
	if err != nil {
		return nil
	}
	for _, a := range found.Agents {
		if amtp.CheckName(a.Address.Local()) == nil {
			list = append(list, a.Address)
		}
	}
	return list
}

// received returns the ids in the inbox, each with its sender.
func (p *program) received(ctx context.Context, id *profile.Identity) (list []cobra.Completion) {
	if id.Key == "" {
		return nil
	}
	self, err := p.self(ctx, id)
	if err != nil {
		return nil
	}
	page, err := p.client(id).Inbox(ctx, self, amtp.InboxQuery{})
	if err != nil {
		return nil
	}
	for _, m := range page.Messages {
		list = append(list, harmless(m.MessageID, m.Sender)...)
	}
	return list
}

// sentIDs returns the ids of the messages that were sent, each with its recipients.
func (p *program) sentIDs(ctx context.Context, id *profile.Identity) (list []cobra.Completion) {
	if id.Key == "" {
		return nil
	}
	page, err := p.client(id).Messages(ctx, amtp.MessageQuery{Sent: true})
	if err != nil {
		return nil
	}
	for _, m := range page.Messages {
		var to amtp.Address
		if len(m.Recipients) > 0 {
			to = m.Recipients[0].Address
		}
		list = append(list, harmless(m.MessageID, to)...)
	}
	return list
}

// harmless returns an id with the address of its sender or recipient, and nothing if
// the id does not have the form of one.
func harmless(id amtp.MessageID, about amtp.Address) []cobra.Completion {
	if _, err := amtp.ParseMessageID(string(id)); err != nil {
		return nil
	}
	if amtp.CheckName(about.Local()) != nil {
		return []cobra.Completion{string(id)}
	}
	return []cobra.Completion{cobra.CompletionWithDesc(string(id), about.String())}
}
