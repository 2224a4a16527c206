package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/doctor"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/render"
)

const domainCheckHelp = `Look at a domain as a gateway does that brings it a message, and say point by point
what is in order and what is not, with the way to fix it: its record in DNS, the
address, the connection, the certificate, TLS, HTTP/2, whether the gateway of this
domain answers, HSTS, the clock, max-size, and its keys.

Without DOMAIN it is the gateway's own, whose records must be those that "amtp domain
setup" prints. Of another domain the keys are not known: name one with --selector.
A record that is no valid one is told with the reason, and one that was published at
another name is looked for. What works and could be better is a note.

The command looks by itself, as "amtp serve" with the same settings would, even
while no gateway runs. No message is sent and no key is shown.

Exit code 0: all is in order; 1: something is not; 4: there is no such domain, or it
publishes no gateway; 6: DNS does not answer, or the gateway cannot be reached.`

func (p *program) domainCheckCommand() *cobra.Command {
	var flags *config.FlagValues
	var selectors []string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "check [DOMAIN]",
		Short:   "Say whether others can write to a domain",
		Long:    domainCheckHelp,
		Example: "  amtp domain check\n  amtp domain check shop.example --selector 20261122\n  amtp domain check --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := p.loadConfig(flags)
			if err != nil {
				return err
			}
			d := cfg.Server.Domain
			if len(args) == 1 {
				if d, err = amtp.ParseDomain(args[0]); err != nil {
					return usageErrorf("%q is not a domain: %v.", args[0], err)
				}
			} else if !cfg.Federated() {
				f := usageErrorf("This gateway has no domain of its own yet; name one to look at another.")
				f.hint = "amtp domain setup example.com"
				return f
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			ctx, cancel := withTimeout(ctx, timeout)
			defer cancel()
			list, verdict, err := operate.CheckDomain(ctx, cfg, d, selectors)
			if err != nil {
				return &failure{exit: exitInternal, code: amtp.CodeInternal, message: render.Sentence(err)}
			}
			return p.printDomainCheck(d, list, verdict)
		},
	}
	flags = config.Flags(cmd.Flags())
	cmd.Flags().StringArrayVar(&selectors, "selector", nil, "look at the key with this `SELECTOR` as well; may repeat")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for all answers; 0 for no limit")
	return cmd
}

// domainExits are the exit codes of the verdicts.
var domainExits = map[doctor.Verdict]int{
	doctor.Sound: exitDone, doctor.Unpublished: exitNotFound, doctor.Unreachable: exitUnreachable,
	doctor.Unsound: exitInternal,
}

func (p *program) printDomainCheck(d amtp.Domain, list []doctor.Finding, verdict doctor.Verdict) error {
	var result error
	if verdict != doctor.Sound {
		result = told(domainExits[verdict])
	}
	if p.json {
		if err := p.printJSON(struct {
			OK       bool             `json:"ok"`
			Domain   amtp.Domain      `json:"domain"`
			Findings []doctor.Finding `json:"findings"`
		}{verdict == doctor.Sound, d, list}); err != nil {
			return err
		}
		return result
	}
	p.printDomainFindings(list)
	wrong := doctor.Wrong(list)
	if wrong > 0 {
		p.printf("%s: %s of %d not in order.\n", render.Clean(string(d)), render.Plural(wrong, "point"), len(list))
	} else {
		p.printf("%s: all in order.\n", render.Clean(string(d)))
	}
	return result
}

// printDomainFindings writes a line for each point, and below it how to fix it.
func (p *program) printDomainFindings(list []doctor.Finding) {
	for _, f := range list {
		mark := p.mark(f.OK)
		if f.Skipped {
			mark = "–"
		}
		p.printf("%s %s: %s\n", mark, f.Name, render.Clean(f.Text))
		if f.Mend != "" {
			p.printf("    %s\n", render.Clean(f.Mend))
		}
		if f.Note != "" {
			p.printf("    Note: %s\n", render.Clean(f.Note))
		}
	}
}
