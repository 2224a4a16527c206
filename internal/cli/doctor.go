package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/doctor"
	"github.com/amtp-go/amtp/internal/operate"
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
		x := p.examination(id)
		list, answered := x.Run(ctx), true
		if probe != "" {
			var f doctor.Finding
			f, answered = x.Probe(ctx, to, wait, func() {
				if !p.json {
					p.notef("Waiting for the answer of %s, %v at the most.\n", render.Address(to), wait)
				}
			})
			list = append(list, f)
		}
		return p.printDoctor(list, answered)
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

// examination is the doctor's examination for the user.
func (p *program) examination(id *profile.Identity) *doctor.Examination {
	var cfg config.Config
	x := &doctor.Examination{
		Identity: id, Again: p.again(), Now: p.now, Time: p.timeText,
		DataDir: func() (string, error) { return p.dataDir("") },
		Anonymous: func() *amtp.Client {
			return &amtp.Client{URL: id.Gateway, HTTP: p.reach(id.Gateway), UserAgent: userAgent()}
		},
		Agent: func() *amtp.Client { return p.client(id) },
		Admin: func() (*admin.Client, bool) { return p.admin(id) },
		Explain: func(err error) (text, mend string) {
			f := p.explain(err)
			p.advise(f)
			return f.message, f.hint
		},
		Settings: func() (s doctor.Settings) {
			cfg, s = p.settingsHere()
			return s
		},
		Glance: func(dir string) (list []doctor.Finding) {
			for _, f := range operate.Glance(dir, p.now()) {
				list = append(list, doctor.Finding{Name: f.Name, OK: f.OK, Text: f.Text, Mend: f.Mend})
			}
			return list
		},
		CheckDomain: func(ctx context.Context) ([]doctor.Finding, doctor.Verdict, error) {
			return operate.CheckDomain(ctx, cfg, cfg.Server.Domain, nil)
		},
	}
	if dir, err := p.dataDir(""); err == nil {
		x.Resume = p.confirm(dir)
	}
	return x
}

// settingsHere reads what "amtp serve" would read.
func (p *program) settingsHere() (config.Config, doctor.Settings) {
	const name = "config"
	cfg, warnings, err := config.Load(config.Sources{Environ: p.environ})
	var s doctor.Settings
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		for _, problem := range wrong.Problems {
			s.Problems = append(s.Problems, doctor.Finding{Name: name, Text: fmt.Sprint(problem),
				Mend: "correct it there, then: amtp config check"})
		}
		return cfg, s
	case err != nil:
		s.Problems = []doctor.Finding{{Name: name, Text: render.Sentence(err), Mend: "amtp config check"}}
		return cfg, s
	}
	for _, w := range warnings {
		s.Remarks = append(s.Remarks, w.String())
	}
	s.Domain, s.Federated, s.File = cfg.Server.Domain, cfg.Federated(), cfg.File()
	return cfg, s
}

// printDoctor prints a line for each point and returns the verdict: answered is false when
// the answer to the probe did not come.
func (p *program) printDoctor(list []doctor.Finding, answered bool) error {
	wrong := doctor.Wrong(list)
	var verdict error
	switch {
	case wrong == 1 && !answered:
		verdict = told(exitNothing)
	case wrong > 0:
		verdict = told(exitInternal)
	}
	if p.json {
		if err := p.printJSON(struct {
			OK       bool             `json:"ok"`
			Findings []doctor.Finding `json:"findings"`
		}{wrong == 0, list}); err != nil {
			return err
		}
		return verdict
	}
	for _, f := range list {
		if f.Skipped {
			p.printf("– %s: %s\n", render.Clean(f.Name), render.Clean(f.Text))
			continue
		}
		p.printPoint(f.OK, f.Name, f.Text, f.Mend)
	}
	if wrong > 0 {
		p.printf("%s of %d not in order.\n", render.Plural(wrong, "point"), len(list))
	} else {
		p.printf("All in order.\n")
	}
	return verdict
}
