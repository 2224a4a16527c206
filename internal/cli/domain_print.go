package cli

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/render"
)

// domainDone is the result of a setup in JSON.
type domainDone struct {
	Domain     amtp.Domain          `json:"domain"`
	Gateway    string               `json:"gateway"`
	ConfigFile string               `json:"config_file"`
	Changed    []string             `json:"changed"` // keys of the file
	Agents     []admin.Readdressing `json:"agents"`  // at the next start
	Records    []txtRecord          `json:"records"`
	Host       string               `json:"host"`             // needs an A or AAAA record
	Restart    bool                 `json:"restart"`          // a gateway runs that does not know of this yet
	Process    int                  `json:"process,omitzero"` // the one that runs
}

func (s *domainSetup) result() domainDone {
	c := amtp.Capabilities{Gateway: s.cfg.PublicURL(), Auth: []string{"sig"}, MaxSize: s.cfg.Message.MaxSize,
		Features: []string{amtp.FeatureReceipts}}
	done := domainDone{
		Domain: s.domain, Gateway: c.Gateway, ConfigFile: s.file, Changed: append([]string{}, s.changed...),
		Agents: append([]admin.Readdressing{}, s.done.Agents...), Host: hostOf(c.Gateway),
		Records: domainRecords(s.domain, c, s.done.Keys, s.now()),
		Restart: s.stale(),
	}
	if s.runs {
		done.Process = s.running.PID
	}
	return done
}

// print says what was done, and then which steps are left, in their order.
func (s *domainSetup) print() error {
	done := s.result()
	if s.json {
		return s.printJSON(done)
	}
	line := s.labelled(14)
	s.printf("The gateway of %s\n\n", render.Clean(string(s.domain)))
	line("Reached at:", done.Gateway)
	file := done.ConfigFile
	if len(done.Changed) > 0 {
		file += " (" + strings.Join(done.Changed, ", ") + ")"
	} else {
		file += " (nothing to change)"
	}
	line("Configuration:", file)
	for _, a := range done.Agents {
		line("Agent:", render.Address(a.From)+" becomes "+render.Address(a.To))
	}
	if former := s.before.Server.Domain; s.before.Federated() && former != s.domain {
		line("Given up:", string(former)+": from the next start on nobody is reached there")
	}
	s.printf("\n1. Publish these records in DNS. As lines of a zone file:\n\n")
	for _, r := range done.Records {
		s.printf("  %s\n", render.Clean(r.Zone))
	}
	s.printf("\n   In the web form of a provider: records of the type TXT, each value in one piece\n   and without quotes. Leave out .%s at the end of a name if the form adds it.\n",
		render.Clean(string(s.domain)))
	for _, r := range done.Records {
		s.printf("\n  Name   %s\n  Value  %s\n", render.Clean(r.Name), render.Clean(r.Value))
	}
	if slices.ContainsFunc(done.Records, func(r txtRecord) bool { return len(r.Strings) > 1 }) {
		s.printf("\n   A value of more than %d characters is several strings of one record, as the zone\n   file shows. Most forms split it by themselves; one that does not takes the strings\n   one after another, never as records of their own.\n",
			maxString)
	}
	s.printf("\n   And an A or AAAA record for %s with the public address of this\n   gateway, or of the proxy in front of it.\n",
		render.Clean(done.Host))
	s.printTLS(done)
	s.printStart(done)
	s.printf("\n4. When DNS has the records, which may take some minutes: amtp domain check\n")
	return nil
}

// printTLS says how calls from elsewhere reach the gateway.
func (s *domainSetup) printTLS(done domainDone) {
	if s.cfg.UseTLS() {
		s.printf("\n2. Have calls to %s reach this gateway, which speaks TLS\n   at %s: open the port in the firewall, forward it in the router.\n",
			render.Clean(done.Gateway), render.Clean(s.cfg.Server.Address))
		return
	}
	s.printf("\n2. The gateway listens at %s without TLS. Either have a proxy speak\n   TLS 1.3 at %s and pass everything on to it, or give the\n   gateway itself a certificate, of your own or one that it obtains by itself:\n\n  amtp domain setup %[3]s --address :443 --tls-cert FILE --tls-key FILE\n  amtp domain setup %[3]s --address :443 --acme --acme-accept-terms\n",
		render.Clean(s.cfg.Server.Address), render.Clean(done.Gateway), render.Clean(string(s.domain)))
}

// printStart says which command to start.
func (s *domainSetup) printStart(done domainDone) {
	switch {
	case done.Restart:
		s.printf("\n3. Restart the gateway that runs here (process %d): it serves %s as\n   it was started until then. Stop it, and start it again.\n",
			done.Process, render.Clean(string(s.done.Serves)))
	case s.runs:
		s.printf("\n3. The gateway runs (process %d), and needs no restart.\n", done.Process)
	default:
		s.printf("\n3. Start the gateway: %s\n", s.serveCommandLine())
	}
}

// serveCommandLine is the command that starts a gateway with the file.
func (s *domainSetup) serveCommandLine() string {
	usual, err := s.dataDir("")
	if err == nil && s.file == usual+"/amtp.yaml" {
		return "amtp serve"
	}
	if strings.HasPrefix(s.file, s.cfg.DataDir) {
		return "amtp serve --data-dir " + shellQuote([]string{s.cfg.DataDir})
	}
	return "amtp serve --config " + shellQuote([]string{s.file})
}

// hostOf returns the host of a URL, without its port.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	return u.Hostname()
}

// withTimeout bounds ctx unless d is 0.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
