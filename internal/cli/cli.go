// Package cli is the command line of amtp, one file per command.
//
// The promise: the result of a command goes to stdout, and everything else to stderr. A
// command never waits for an answer from a keyboard and never prints a secret. Its exit
// code says what happened, see [exitDone] and the codes below it. A result that could not
// be written is a failure. Everything that the package knows of a gateway it knows through
// the public clients.
package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/plaintext"
)

// Exit codes. Scripts depend on them.
const (
	exitDone         = 0
	exitInternal     = 1 // a fault here or in the gateway
	exitUsage        = 2 // the command line or the message is wrong
	exitUnauthorised = 3 // not set up, or the key does not allow it
	exitNotFound     = 4
	exitConflict     = 5 // the name is taken, the key or id was used for something else, the lease has ended
	exitUnreachable  = 6 // no gateway answers, or it cannot take more now
	exitNothing      = 7 // waited, and nothing came
	exitRefused      = 8 // refused or held by policy
	exitPartly       = 9 // some recipients, or some of several messages, failed
)

// program is one invocation: its arguments and surroundings, and the flags that several
// commands share.
type program struct {
	args    []string
	stdin   io.Reader
	stdout  io.Writer
	out     *output // the writer behind stdout
	stderr  io.Writer
	environ []string            // NAME=value, as the process got it
	getenv  func(string) string // of environ; "" when unset
	home    string              // the user's home directory, "" when unknown
	now     func() time.Time
	http    *http.Client // how gateways are reached; nil means the usual way
	// unpinned is http without the pin of the identity's gateway.
	unpinned *http.Client
	goos     string // the operating system, as Go calls it
	// executable returns where this program is.
	executable func() (string, error)
	// owner returns the user who owns the listener at the other end of a connection;
	// nil means the usual way.
	owner func(net.Conn) (int, error)
	// session returns the name of the terminal's session, "" for none.
	session func() string
	// columns returns the width of the terminal that a stream is, and whether it is one.
	columns func(stream any) (int, bool)

	json       bool          // --json
	gateway    string        // --gateway
	configFile string        // --config
	profile    string        // --profile
	directory  string        // --data-dir of an operator's command
	pin        string        // --pin of setup: the gateway's
	runsAs     string        // --gateway-user of setup, else the known user of the gateway on this machine
	meets      bool          // any user who runs the gateway is trusted this once, see meeting
	timeout    time.Duration // --timeout
	wait       time.Duration // --wait: how much longer the command may take
	mailbox    string        // --mailbox: the shared mailbox to act in

	ifLost   string // the hint when the result cannot be written; "" means the usual one
	toldAway bool   // isAway has told it
	keyOfEnv bool   // the agent's key is the one in AMTP_API_KEY
	silent   bool   // the choice of a project is not announced
	name     string // the agent that runs the command, once that is known
	command  string // the command that ran, as "amtp send"
}

// Main runs one command and returns its exit code. The environment is given as
// [os.Environ] gives it.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func() []string) int {
	p := newProgram(stdin, stdout, stderr, env())
	return p.run(ctx, args)
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer, environ []string) *program {
	out := &output{w: stdout}
	p := &program{
		stdin: stdin, stdout: out, out: out, stderr: stderr,
		environ: environ,
		getenv:  func(name string) string { return setting(environ, name) },
		now:     time.Now, goos: runtime.GOOS, executable: os.Executable, columns: columnsOf, session: terminalSession,
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

// setting returns a variable without the line end or quotation marks that a secret
// store, or a file of variables, leaves around it. The name of a directory may contain
// any character.
func setting(environ []string, name string) string {
	if !strings.HasPrefix(name, "AMTP_") || strings.HasSuffix(name, "_DIR") {
		return lookup(environ, name)
	}
	return plaintext.Word(lookup(environ, name))
}

func (p *program) run(ctx context.Context, args []string) int {
	p.args = args
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	if len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
		root.SetOut(withoutBackquotes{p.stdout})
	}
	cmd, err := root.ExecuteContextC(ctx)
	p.command = cmd.CommandPath()
	if err == nil {
		err = misnamed(cmd)
	}
	return p.report(p.unlessLost(err))
}

const rootHelp = `AMTP CLI — Agent Message Transfer Protocol

AI assistants write to each other at agent@domain, even when the other side is
offline. This one program is the gateway and the commands to use it.

Environment:
  AMTP_GATEWAY_URL   URL of the gateway
  AMTP_API_KEY       the agent's API key
  AMTP_AGENT_NAME    the agent's name
  AMTP_ADMIN_KEY     the gateway's admin key, to register agents elsewhere than
                     on this machine
  AMTP_GATEWAY_PIN   pin of the gateway's certificate, where no authority that this
                     machine trusts has issued it, see "amtp help peer"
  AMTP_GATEWAY_USER  user as whom the gateway on this machine runs, where that is
                     neither you nor root
  AMTP_PROFILE       which identity of ~/.amtp-config.json to use, see
                     "amtp help profile"
  NO_COLOR           no colours, also at a terminal
They take precedence over what "amtp setup" saved in ~/.amtp-config.json. LC_ALL,
LC_TIME or LANG, and TZ, say how times are written.

Exit codes: 0 done, 1 internal error, 2 usage, 3 not set up or not authorised,
4 not found, 5 conflict, 6 gateway unreachable, 7 waited and nothing came,
8 refused or held by policy, 9 some recipients failed.`

const rootExamples = `  amtp demo                                     # see everything once
  amtp serve                                    # a gateway on this machine
  amtp setup --name alice                       # become alice@localhost
  amtp send --to bob@localhost --text "Hello"
  amtp inbox
  amtp read 1                                   # the first of that list, or: ID
  amtp reply 1 --text "Hello yourself"
  amtp ack 1`

// The groups of commands in the help.
const (
	groupMessages = "messages"
	groupIdentity = "identity"
	groupGateway  = "gateway"
)

func (p *program) rootCommand() *cobra.Command {
	root := group(&cobra.Command{
		Use:           "amtp",
		Short:         "Messages between AI agents",
		Long:          rootHelp,
		Example:       rootExamples,
		SilenceErrors: true,
		SilenceUsage:  true,
	})
	p.versionFlag(root)
	root.CompletionOptions.DisableDefaultCmd = true
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if misnamed(cmd) == nil {
			help(cmd, args)
		}
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		p.json = p.json || slices.Contains(p.args, "--json") // it may come after the mistake
		return p.badFlag(cmd, err)
	})
	root.PersistentFlags().BoolVar(&p.json, "json", false, `print JSON; errors too, as {"ok":false,"error":{…}}`)
	root.AddGroup(
		&cobra.Group{ID: groupMessages, Title: "Messages:"},
		&cobra.Group{ID: groupIdentity, Title: "Identity:"},
		&cobra.Group{ID: groupGateway, Title: "Gateway:"},
	)
	add(root, groupMessages, p.sendCommand(), p.inboxCommand(), p.waitCommand(), p.watchCommand(),
		p.readCommand(), p.replyCommand(), p.forwardCommand(), p.ackCommand(), p.statusCommand(), p.sentCommand(),
		p.searchCommand(), p.threadCommand(), p.threadsCommand(), p.labelCommand())
	add(root, groupMessages, p.claimCommand(), p.extendCommand(), p.nackCommand(), p.rejectCommand(), p.workCommand())
	add(root, groupIdentity, p.setupCommand(), p.joinCommand(), p.whoamiCommand(), p.discoverCommand(),
		p.profileCommand(), p.unregisterCommand())
	add(root, groupGateway, p.serveCommand(), p.demoCommand(), p.configCommand(), p.agentCommand(),
		p.membersCommand(mailboxWords), p.membersCommand(groupWords),
		p.domainCommand(), p.keysCommand(), p.certCommand(), p.queueCommand(), p.deadCommand(), p.limitsCommand(),
		p.backupCommand(), p.restoreCommand(), p.migrateCommand(), p.checkCommand(), p.skillCommand(),
		p.serviceCommand(), p.completionCommand(root), p.inviteCommand(), p.peerCommand(), p.doctorCommand(),
		p.versionCommand())
	root.SetHelpCommand(p.helpCommand(root))
	usageOfArguments(root)
	p.completions(root)
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
	}
	root.AddCommand(commands...)
}

// onlyHolds marks, in the annotations of a command, one that group made.
const onlyHolds = "group"

// misnamed returns the failure of a command line that names a command which a group does
// not have, nil for any other. Cobra shows help before it looks at the arguments, so a
// wrong name with --help would end with success.
func misnamed(cmd *cobra.Command) error {
	if _, is := cmd.Annotations[onlyHolds]; is && cmd.Flags().NArg() > 0 {
		return unknownCommand(cmd, cmd.Flags().Arg(0))
	}
	return nil
}

// group makes a command that only holds others: alone it prints its help.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{onlyHolds: ""}
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

// usageOfArguments makes a wrong number of arguments a mistake in usage, in
// every command.
func usageOfArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageErrorf("Wrong arguments. Usage: %s", cmd.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageOfArguments(sub)
	}
}
