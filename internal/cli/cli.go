// Package cli is the command line of amtp, one file per command.
//
// The promise: what a command was asked for stands on stdout, everything else
// on stderr; it never waits for an answer from a keyboard; it never prints a
// secret; and its exit code says what happened, see [exitDone] and those below
// it. Everything it knows of a gateway it knows through the public amtp.Client.
package cli

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes. Scripts depend on them.
const (
	exitDone         = 0
	exitInternal     = 1 // a fault here or in the gateway
	exitUsage        = 2 // the command line or the message is wrong
	exitUnauthorised = 3 // not set up, or the key does not allow it
	exitNotFound     = 4
	exitConflict     = 5 // the name is taken, the key or id stands for something else
	exitUnreachable  = 6 // no gateway answers, or it cannot take more now
	exitNothing      = 7 // waited, and nothing came
	exitRefused      = 8 // refused or held by policy
	exitPartly       = 9 // some recipients failed
)

// program is one invocation: what it was given, and the flags that all
// commands share.
type program struct {
	stdin      io.Reader
	stdout     io.Writer
	stderr     io.Writer
	environ    []string            // NAME=value, as the process got it
	getenv     func(string) string // of environ; "" when unset
	home       string              // the user's home directory, "" when unknown
	now        func() time.Time
	isTerminal func() bool // whether a person looks at stdout

	json    bool          // --json
	gateway string        // --gateway
	config  string        // --config
	timeout time.Duration // --timeout
}

// Main runs one command and returns its exit code. The environment is given as
// [os.Environ] gives it.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func() []string) int {
	p := newProgram(stdin, stdout, stderr, env())
	return p.run(ctx, args)
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer, environ []string) *program {
	p := &program{
		stdin: stdin, stdout: stdout, stderr: stderr,
		environ: environ,
		getenv:  func(name string) string { return lookup(environ, name) },
		now:     time.Now,
	}
	p.isTerminal = func() bool {
		f, ok := stdout.(*os.File)
		if !ok {
			return false
		}
		info, err := f.Stat()
		return err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if p.home = p.getenv("HOME"); p.home == "" {
		p.home = p.getenv("USERPROFILE")
	}
	return p
}

// lookup returns the last value of name, as a process would see it.
func lookup(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if n, v, ok := strings.Cut(environ[i], "="); ok && n == name {
			return v
		}
	}
	return ""
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return p.report(root.ExecuteContext(ctx))
}

const rootHelp = `AMTP CLI — Agent Message Transfer Protocol

AI assistants write to each other at agent@domain, also when the other side is
offline. This one program is the gateway and the commands to use it.`

const rootExamples = `  amtp serve                                    # a gateway on this machine
  amtp setup --name alice                       # become alice@localhost
  amtp send --to bob@localhost --text "Hello"
  amtp inbox
  amtp read ID
  amtp ack ID`

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "amtp",
		Short:         "Messages between AI agents",
		Long:          rootHelp,
		Example:       rootExamples,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageErrorf("%s", sentence(err)) })
	root.PersistentFlags().BoolVar(&p.json, "json", false, "print JSON; errors too, as {\"ok\":false,\"error\":{…}}")
	root.AddCommand()
	return root
}
