package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/render"
)

const certHelp = `The certificate that the gateway shows to callers: whose it is, how long it is
valid, where it comes from, and what became of the last attempt to renew it.

It comes from tls.cert_file, which somebody else renews and the gateway reads
again by itself, or from an authority that the gateway asks over ACME, with
acme.enabled: then it is renewed when a third of its time is left.

They need the gateway's admin key: AMTP_ADMIN_KEY, unless the gateway runs on
this machine from a data directory that you can read. There they work even while
the certificate is missing or does not work.`

func (p *program) certCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "cert",
		Short:   "Show and renew the gateway's certificate",
		Long:    certHelp,
		Example: "  amtp cert show\n  amtp cert renew",
	})
	cmd.AddCommand(p.certShowCommand(), p.certRenewCommand())
	return cmd
}

func (p *program) certShowCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:   "show",
		Short: "Show the certificate in use",
		Long: `Show the certificate in use, one for each host. Exit code 0 when all are valid, 1
when one is missing or expired, 5 when the gateway speaks no TLS itself.`,
		Example: "  amtp cert show\n  amtp cert show --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		list, err := c.Certificates(ctx)
		if err != nil {
			return err
		}
		if p.json {
			err = p.printJSON(list)
		} else {
			p.printCertificates(list)
		}
		if err == nil && !allValid(list) {
			return told(exitInternal)
		}
		return err
	})
}

func (p *program) certRenewCommand() *cobra.Command {
	var force bool
	cmd := p.asOperator(&cobra.Command{
		Use:   "renew",
		Short: "Renew what is due, now",
		Long: `Renew what is due, now: read the files again, or ask the authority for the
certificates that are missing, that have a third of their time left, or that it
refused before. It may take two minutes. Exit code 0 even when nothing was due,
1 when a certificate could not be had; the one in use goes on.

With --force the authority is asked for another one in any case. Authorities
bound how often they do that.`,
		Example: "  amtp cert renew\n  amtp cert renew --force",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		done, err := c.RenewCertificates(ctx, force)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(done)
		}
		if done.Renewed {
			p.printf("Renewed.\n\n")
		} else {
			p.printf("Nothing was due.\n\n")
		}
		p.printCertificates(done.CertificateList)
		return nil
	})
	cmd.PreRun = func(*cobra.Command, []string) { p.wait = renewWait }
	cmd.Flags().BoolVar(&force, "force", false, "even when nothing is due")
	return cmd
}

// renewWait is how much longer than others this command may take.
const renewWait = 5 * time.Minute

func (p *program) printCertificates(list admin.CertificateList) {
	for i := range list.Certificates {
		if i > 0 {
			p.printf("\n")
		}
		p.printCertificate(&list, &list.Certificates[i])
	}
}

func (p *program) printCertificate(list *admin.CertificateList, c *admin.Certificate) {
	what := map[admin.CertificateState]string{admin.CertificateValid: "valid", admin.CertificateExpired: "not valid now",
		admin.CertificateMissing: "missing"}[c.State]
	if what == "" {
		what = render.Clean(string(c.State))
	}
	p.printf("%s  %s\n", render.Clean(strings.Join(c.Hosts, ", ")), what)
	line := func(label, text string) {
		if text != "" {
			p.printf("  %-13s %s\n", label, render.Clean(text))
		}
	}
	at := func(t amtp.Time) string {
		if t.IsZero() {
			return ""
		}
		return p.timeText(t.Time)
	}
	line("Issuer:", c.Issuer)
	line("Serial:", c.Serial)
	line("From:", at(c.NotBefore))
	until := at(c.NotAfter)
	if until != "" {
		until += ", " + daysLeft(c.DaysLeft)
	}
	line("Until:", until)
	source := list.Source + ", " + list.From
	if list.Challenge != "" {
		source += ", by " + list.Challenge
	}
	line("Source:", source)
	line("Next renewal:", at(c.Next))
	line("Last error:", c.Error)
	line("… at:", at(c.ErrorAt))
}

func daysLeft(n int) string {
	if n < 0 {
		return render.Plural(-n, "day") + " ago"
	}
	return render.Plural(n, "day") + " left"
}

func allValid(list admin.CertificateList) bool {
	for i := range list.Certificates {
		if list.Certificates[i].State != admin.CertificateValid {
			return false
		}
	}
	return true
}
