package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (p *program) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Show help for any command",
		Long: `Show help for the program or for one command. With --json the help of all
commands, or of one, as data.`,
		Example: "  amtp help send\n  amtp help agent rotate-key\n  amtp help --json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			if p.json {
				return p.printJSON(describe(cmd))
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
	}
}

// description is the help of one command as data.
type description struct {
	Command  string            `json:"command"`
	Usage    string            `json:"usage"`
	Summary  string            `json:"summary"`
	Help     string            `json:"help"`
	Examples string            `json:"examples,omitempty"`
	Flags    []flagDescription `json:"flags,omitempty"`
	Commands []description     `json:"commands,omitempty"`
}

type flagDescription struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Default string `json:"default,omitempty"`
	Meaning string `json:"meaning"`
}

func describe(cmd *cobra.Command) description {
	d := description{
		Command: cmd.CommandPath(), Usage: cmd.UseLine(), Summary: cmd.Short, Help: cmd.Long, Examples: cmd.Example,
	}
	flags := func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			_, meaning := pflag.UnquoteUsage(f)
			d.Flags = append(d.Flags, flagDescription{"--" + f.Name, f.Value.Type(), f.DefValue, meaning})
		}
	}
	cmd.LocalFlags().VisitAll(flags)
	cmd.InheritedFlags().VisitAll(flags)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			d.Commands = append(d.Commands, describe(sub))
		}
	}
	return d
}
