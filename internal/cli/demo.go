package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
)

const demoHelp = `See everything once: start a gateway in a temporary directory on a free port, and
let alice, bob and carol register, write to each other, read and acknowledge.
Every command is printed as one would type it, with what it really answered.

It ends by itself after a few seconds, and leaves nothing behind.`

func (p *program) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "See agents exchange messages through a real gateway",
		Long:    demoHelp,
		Example: "  amtp demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return p.demo(ctx)
		},
	}
}

// demo runs the play on a gateway of its own, and removes both.
func (p *program) demo(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "amtp-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, _, err := config.Load(config.Sources{Environ: []string{
		"AMTP_DATA_DIR=" + filepath.Join(dir, "data"), "AMTP_SERVER_ADDRESS=127.0.0.1:0",
	}})
	if err != nil {
		return err
	}
	gateway, err := app.New(cfg, slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, gateway.Close())
	}()
	return p.perform(ctx, &play{program: p, dir: dir, url: gateway.URL(), steps: []step{}})
}

// play is the demo while it runs. After a step that failed no other is made.
type play struct {
	*program
	dir, url string
	steps    []step
	err      error
}

// step is one command of the demo.
type step struct {
	Agent   string `json:"agent"`
	Command string `json:"command"`
	Output  string `json:"output"`
	Exit    int    `json:"exit"`
}

func (p *program) perform(ctx context.Context, d *play) error {
	d.say("A gateway runs at %s for this demo. Alice, bob and carol each have a home\ndirectory of their own, as on machines of their own.", d.url)
	d.as(ctx, "alice", "setup", "--name", "alice")
	d.as(ctx, "bob", "setup", "--name", "bob", "--role", "reviewer", "--capability", "code-review")
	d.as(ctx, "carol", "setup", "--name", "carol", "--role", "reviewer")
	d.as(ctx, "alice", "discover", "--role", "reviewer")

	d.say("Alice writes to bob. Once she sees this answer, the message is on disk.")
	first := d.sends(ctx, "alice", "--to", "bob@localhost", "--subject", "Hello", "--text", "Hi bob, can you review my change?")
	d.as(ctx, "bob", "inbox")
	d.as(ctx, "bob", "read", first)

	d.say("Bob answers, and takes the message out of his inbox. Alice sees both.")
	answer := d.sends(ctx, "bob", "--to", "alice@localhost", "--in-reply-to", first, "--text", "Yes, send it.")
	d.as(ctx, "bob", "ack", first)
	d.as(ctx, "alice", "status", first)
	d.as(ctx, "alice", "inbox", "--wait", "5s")
	d.as(ctx, "alice", "ack", answer)

	d.say("One message for two agents, with data instead of text.")
	task := d.sends(ctx, "alice", "--to", "bob@localhost", "--to", "carol@localhost",
		"--subject", "Review", "--payload", `{"task":"review","repository":"shop","change":7}`)
	d.as(ctx, "carol", "read", task)
	d.as(ctx, "carol", "ack", task)
	d.as(ctx, "alice", "sent")
	d.as(ctx, "bob", "inbox", "--unread")

	d.say("That was all. To do the same for real:\n\n  amtp serve                    in one terminal\n  amtp setup --name YOUR-NAME   in another")
	if d.err != nil || !p.json {
		return d.err
	}
	return p.printJSON(struct {
		Steps []step `json:"steps"`
	}{d.steps})
}

func (d *play) say(format string, args ...any) {
	if d.err == nil && !d.json {
		d.printf(format+"\n\n", args...)
	}
}

// as runs a command as an agent would from its own home, and shows it.
func (d *play) as(ctx context.Context, agent string, args ...string) string {
	if d.err != nil {
		return ""
	}
	home := filepath.Join(d.dir, agent)
	if d.err = os.MkdirAll(home, 0o700); d.err != nil {
		return ""
	}
	line := agent + "$ amtp " + shellQuote(args)
	var output bytes.Buffer
	var screen io.Writer = &output
	if !d.json {
		d.printf("%s\n", line)
		screen = io.MultiWriter(&output, d.stdout)
	}
	actor := newProgram(strings.NewReader(""), screen, screen, []string{
		"HOME=" + home, "AMTP_DATA_DIR=" + filepath.Join(d.dir, "data"), "AMTP_GATEWAY_URL=" + d.url,
		"AMTP_PROFILE=" + profileDefault, // whatever the project here says
	})
	exit := actor.run(ctx, args)
	d.steps = append(d.steps, step{agent, "amtp " + shellQuote(args), output.String(), exit})
	if !d.json {
		d.printf("\n")
	}
	switch {
	case ctx.Err() != nil:
		d.err = ctx.Err()
	case exit != exitDone:
		d.err = &failure{exit: exitInternal, code: codeDemoFailed, message: fmt.Sprintf("The demo ended early: %s ended with exit code %d.", line, exit)}
	}
	return output.String()
}

// sends runs amtp send and returns the id that it printed.
func (d *play) sends(ctx context.Context, agent string, args ...string) string {
	_, behind, _ := strings.Cut(d.as(ctx, agent, append([]string{"send"}, args...)...), "ID:")
	id, _, _ := strings.Cut(strings.TrimSpace(behind), "\n")
	return id
}

// shellQuote writes arguments as one would type them.
func shellQuote(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if strings.ContainsAny(a, "{}\"") {
			quoted[i] = "'" + a + "'"
		} else if strings.ContainsAny(a, " ,?") {
			quoted[i] = `"` + a + `"`
		}
	}
	return strings.Join(quoted, " ")
}
