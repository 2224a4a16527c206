package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/profile"
)

const demoHelp = `See everything once: start the gateways of two domains on free ports of this
machine, and let agents of both register, write to each other, read and
acknowledge, even while one of the gateways is down. Every command is printed as
one would type it, with what it really answered.

The gateways speak TLS 1.3 to each other and sign what they send. What they would
find in DNS they are told at their start. The demo ends by itself after some
seconds, and leaves nothing behind.`

func (p *program) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "See agents of two domains exchange messages",
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

// demo runs the play on new gateways, and removes them.
func (p *program) demo(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "amtp-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	net, err := p.newDemoNet(ctx, dir)
	defer func() { err = errors.Join(err, net.end()) }()
	if err != nil {
		return err
	}
	return p.perform(ctx, &play{program: p, net: net, dir: dir, steps: []step{}})
}

// play is the demo while it runs. After a step that failed there is no further step.
type play struct {
	*program
	net   *demoNet
	dir   string
	steps []step
	err   error
}

// homes are the domains of the agents.
var homes = map[string]string{"alice": demoShop, "carol": demoShop, "bob": demoWorkshop}

// step is one command of the demo.
type step struct {
	Agent   string `json:"agent"`
	Command string `json:"command"`
	Output  string `json:"output"`
	Exit    int    `json:"exit"`
}

func (p *program) perform(ctx context.Context, d *play) error {
	shop, workshop := d.net.gateways[demoShop], d.net.gateways[demoWorkshop]
	d.say("Two gateways run for this demo: that of %s at %s, that of\n%s at %s. Alice and carol are agents of the\nshop, bob is one of the workshop; each has a home directory of their own, as on\nmachines of their own.",
		shop.domain, shop.url, workshop.domain, workshop.url)
	d.as(ctx, "alice", "setup", "--name", "alice")
	d.as(ctx, "carol", "setup", "--name", "carol", "--role", "reviewer")
	d.as(ctx, "bob", "setup", "--name", "bob", "--role", "reviewer", "--capability", "code-review")

	d.say("Alice writes to bob in the other domain. Once she sees this answer, the message\nis on disk, and her gateway sees to the rest.")
	first := d.sends(ctx, "alice", "send", "--to", "bob@workshop.example", "--subject", "Hello", "--text",
		"Hi bob, can you review my change?")
	d.as(ctx, "bob", "inbox", "--wait", "20s")
	d.say("Verified: the shop's gateway signed the message, and the workshop's checked it\nwith the key that the shop publishes.")
	d.as(ctx, "bob", "read", "1")

	d.say("Bob answers, and takes the message out of his inbox. Alice sees both.")
	d.sends(ctx, "bob", "reply", "1", "--text", "Yes, send it.")
	d.as(ctx, "bob", "ack", "1")
	d.as(ctx, "alice", "inbox", "--wait", "20s")
	d.as(ctx, "alice", "status", first)
	d.as(ctx, "alice", "ack", "1")

	d.say("Now the gateway of the workshop is stopped. Alice writes all the same: to bob,\nand to carol next to her, with data instead of text.")
	d.do(workshop.end)
	task := d.sends(ctx, "alice", "send", "--to", "bob@workshop.example", "--to", "carol@shop.example",
		"--subject", "Review", "--payload", `{"task":"review","repository":"shop","change":7}`)
	d.as(ctx, "carol", "read", task)
	d.as(ctx, "carol", "ack", task)
	d.as(ctx, "alice", "status", task)

	d.say("It is started again, and the message arrives.")
	d.do(func() error { return d.net.start(ctx, workshop) })
	d.as(ctx, "bob", "inbox", "--wait", "30s")
	d.as(ctx, "bob", "ack", "1")
	d.as(ctx, "alice", "sent")

	d.say("That was all. To do the same for real:\n\n  amtp serve                    in one terminal\n  amtp setup --name YOUR-NAME   in another")
	if d.err != nil || !p.json {
		return d.err
	}
	return p.printJSON(struct {
		Steps []step `json:"steps"`
	}{d.steps})
}

// do makes a step that the demo does not show.
func (d *play) do(fn func() error) {
	if d.err == nil {
		d.err = fn()
	}
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
	gateway := d.net.gateways[homes[agent]]
	actor := newProgram(strings.NewReader(""), screen, screen, []string{
		"HOME=" + home, "AMTP_DATA_DIR=" + gateway.dir, "AMTP_GATEWAY_URL=" + gateway.url,
		"AMTP_PROFILE=" + profile.Default, // whatever the project here says
	})
	actor.http = d.net.client()
	exit := actor.run(ctx, args)
	d.steps = append(d.steps, step{agent, "amtp " + shellQuote(args), output.String(), exit})
	if !d.json {
		d.printf("\n")
	}
	switch {
	case ctx.Err() != nil:
		d.err = ctx.Err()
	case exit != exitDone:
		d.err = &failure{exit: exitInternal, code: codeDemoFailed,
			message: fmt.Sprintf("The demo ended early: %s ended with exit code %d.", line, exit)}
	}
	return output.String()
}

// sends runs a command that sends and returns the id that it printed.
func (d *play) sends(ctx context.Context, agent string, args ...string) string {
	_, behind, _ := strings.Cut(d.as(ctx, agent, args...), "ID:")
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
