package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const doctorHelp = `Look at everything that a message needs on its way from here, and say line by line
what is in order and what is not, with what to type next:

  identity   ~/.amtp-config.json: who you are, at which gateway, and who can read it
  gateway    it answers, and can store
  key        the gateway knows it
  clock      the gateway's and yours agree, and the gateway believes its own
  config     the gateway's settings, where it runs from a data directory of yours
  data       that directory: its files, the disk, the last backup
  domain     what others find of the gateway's domain, as "amtp domain check" says
  peers      those without DNS, each tried, and when domains last wrote here
  queue      what waits for others, and what was given up

What needs a right that you do not have, or is on another machine, is marked – and
left out; that is no fault. Nothing is changed.

With --probe a message is sent to ADDRESS and the answer is waited for. The agent
echo@DOMAIN answers where that domain's operator wants one (echo.enabled).

Exit code 0: all that was looked at is in order; 7: only the answer to the probe
did not come; 1: anything else.`

func (p *program) doctorCommand() *cobra.Command {
	var probe string
	var wait time.Duration
	cmd := p.online(&cobra.Command{
		Use:     "doctor",
		Short:   "Say what is wrong, and what to do about it",
		Long:    doctorHelp,
		Example: "  amtp doctor\n  amtp doctor --probe echo@shop.example\n  amtp doctor --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		to, err := amtp.ParseAddress(probe)
		if err != nil && probe != "" {
			return usageErrorf("%s", render.Sentence(err))
		}
		x := &examination{program: p, id: id}
		x.run(ctx)
		if probe != "" {
			x.probe(ctx, to, wait)
		}
		return x.print()
	})
	cmd.Flags().StringVar(&probe, "probe", "", "send a message to `ADDRESS` and wait for its answer")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for that answer")
	look := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if probe != "" {
			p.wait = wait
		}
		return look(cmd, args)
	}
	return cmd
}

// examination is what a doctor has found so far.
type examination struct {
	*program
	id     *profile.Identity
	admin  *amtp.Client // nil without the admin key
	whoami amtp.Identity
	list   []symptom

	unanswered bool // the probe was
}

// symptom is one line.
type symptom struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped,omitempty"` // it was not looked at, and that is no fault
	Text    string `json:"text"`
	Mend    string `json:"mend,omitempty"`
}

func (x *examination) good(name, format string, args ...any) {
	x.list = append(x.list, symptom{Name: name, OK: true, Text: fmt.Sprintf(format, args...)})
}

func (x *examination) bad(name, mend, format string, args ...any) {
	x.list = append(x.list, symptom{Name: name, Text: fmt.Sprintf(format, args...), Mend: mend})
}

func (x *examination) skip(name, format string, args ...any) {
	x.list = append(x.list, symptom{Name: name, OK: true, Skipped: true, Text: fmt.Sprintf(format, args...)})
}

// failed is a line about an error of a call.
func (x *examination) failed(name string, err error) {
	f := x.explain(err)
	x.advise(f)
	x.bad(name, f.hint, "%s", f.message)
}

// run looks at everything, in the order in which one thing needs the other.
func (x *examination) run(ctx context.Context) {
	x.identity()
	answers := x.id.Gateway != "" && x.gatewayAnswers(ctx)
	if answers {
		x.key(ctx)
		if admin, ok := x.program.admin(x.id); ok {
			x.admin = admin
		}
	}
	cfg, known := x.data(ctx)
	x.domain(ctx, cfg, known)
	if !answers {
		return
	}
	x.peers(ctx)
	x.queue(ctx)
}

// print prints the lines and returns the verdict.
func (x *examination) print() error {
	bad := 0
	for _, s := range x.list {
		if !s.OK {
			bad++
		}
	}
	var verdict error
	switch {
	case bad == 1 && x.unanswered:
		verdict = told(exitNothing)
	case bad > 0:
		verdict = told(exitInternal)
	}
	if x.json {
		if err := x.printJSON(struct {
			OK       bool      `json:"ok"`
			Findings []symptom `json:"findings"`
		}{bad == 0, x.list}); err != nil {
			return err
		}
		return verdict
	}
	for _, s := range x.list {
		if s.Skipped {
			x.printf("– %s: %s\n", render.Clean(s.Name), render.Clean(s.Text))
			continue
		}
		x.printPoint(s.OK, s.Name, s.Text, s.Mend)
	}
	if bad > 0 {
		x.printf("%s of %d not in order.\n", render.Plural(bad, "point"), len(x.list))
	} else {
		x.printf("All in order.\n")
	}
	return verdict
}
