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

		ValidArgsFunction: commandNames(root),
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			if p.json {
				d := describe(cmd)
				for code, meaning := range exitMeanings {
					d.ExitCodes = append(d.ExitCodes, exitCode{code, meaning})
				}
				return p.printJSON(d)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// exitMeanings says what each exit code means.
var exitMeanings = []string{
	exitDone:         "done",
	exitInternal:     "a fault here or in the gateway",
	exitUsage:        "the command line, the configuration or the message is wrong",
	exitUnauthorised: "not set up, or the key does not allow it",
	exitNotFound:     "not found",
	exitConflict:     "conflict: the name is taken, the key or id was used for something else, the lease has ended",
	exitUnreachable:  "no gateway answers, or it cannot take more now",
	exitNothing:      "waited, and nothing came",
	exitRefused:      "refused or held by policy",
	exitPartly:       "some recipients, or some of several messages, failed; the others are done",
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
	// ExitCodes are those of the program. They are listed once, next to the command that
	// the user asked about.
	ExitCodes []exitCode `json:"exit_codes,omitempty"`
}

type exitCode struct {
	Code    int    `json:"code"`
	Meaning string `json:"meaning"`
}

type flagDescription struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`            // bool, string, int, duration, …
	Value    string   `json:"value,omitempty"` // what its value is called in the usage
	Values   []string `json:"values,omitempty"`
	Repeated bool     `json:"repeated,omitempty"` // it may stand more than once
	Default  string   `json:"default,omitempty"`
	Meaning  string   `json:"meaning"`
}

func describe(cmd *cobra.Command) description {
	d := description{
		Command: cmd.CommandPath(), Usage: cmd.UseLine(), Summary: cmd.Short, Help: cmd.Long, Examples: cmd.Example,
	}
	flags := func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			d.Flags = append(d.Flags, describeFlag(f))
		}
	}
	cmd.LocalFlags().VisitAll(flags)
	cmd.InheritedFlags().VisitAll(flags)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			d.Commands = append(d.Commands, describe(sub))
		}
	}
	return d
}

func describeFlag(f *pflag.Flag) flagDescription {
	value, meaning := pflag.UnquoteUsage(f)
	d := flagDescription{Name: "--" + f.Name, Type: f.Value.Type(), Value: value, Default: f.DefValue, Meaning: meaning}
	if words := strings.Split(d.Type, "|"); len(words) > 1 {
		d.Type, d.Values = "string", words
	}
	if _, many := f.Value.(pflag.SliceValue); many {
		d.Type, d.Repeated, d.Default = "string", true, ""
	}
	if d.Value == d.Type || d.Type == "bool" {
		d.Value = ""
	}
	return d
}
