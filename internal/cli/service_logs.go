package cli

import (
	"bufio"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/render"
	"github.com/amtp-go/amtp/internal/service"
)

func (p *program) serviceLogsCommand() *cobra.Command {
	var system, follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the log of the service",
		Long: `Show the end of the gateway's log, as the service manager keeps it. The log names
requests, never what messages say and never a key. With --json each line is an
object {"line": …}.`,
		Example: "  amtp service logs\n  amtp service logs --lines 500\n  amtp service logs --follow",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lines < 0 {
				return usageErrorf("--lines must be 0 or more.")
			}
			m, err := p.managerOf(system)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			shown, err := p.showLogs(ctx, m.Logs(strconv.Itoa(lines), follow))
			if err == nil && !shown && lines > 0 && !follow {
				p.notef("There is no line of the service in the log. \"amtp service status\" says whether it is installed.\n")
			}
			return err
		},
	}
	serviceFlag(cmd, &system)
	cmd.Flags().IntVar(&lines, "lines", 50, "the last `N` lines")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with what is added, until it is stopped with Ctrl-C")
	return cmd
}

// showLogs prints the output of a command of the manager, line by line, because a log
// may repeat text of strangers, such as the path of a request. It reports whether there
// was a log.
func (p *program) showLogs(ctx context.Context, argv []string) (shown bool, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stderr = p.environ, p.stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return shown, noLog(argv, err)
	}
	for r := bufio.NewReader(out); err == nil; {
		var line string
		line, err = r.ReadString('\n')
		if line != "" {
			p.printLogLine(line)
			shown = true
		}
	}
	if err = cmd.Wait(); err != nil && ctx.Err() == nil { // with --follow it ends when it is stopped
		return shown, noLog(argv, err)
	}
	return shown, nil
}

func noLog(argv []string, err error) error {
	return &failure{exit: exitNotFound, code: codeNoManager,
		message: "The log cannot be read: " + argv[0] + ": " + service.Said(err) + ".",
		hint:    `"amtp service status" says whether the service is installed`}
}

func (p *program) printLogLine(line string) {
	line = render.Clean(strings.TrimSuffix(line, "\n"))
	if !p.json {
		p.printf("%s\n", line)
		return
	}
	if err := p.printJSON(map[string]string{"line": line}); err != nil {
		p.notef("Error: %s\n", render.Sentence(err))
	}
}
