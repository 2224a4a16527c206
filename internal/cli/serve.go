package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const serveHelp = `Run a gateway until it is stopped with Ctrl-C or SIGTERM.

Without any configuration it listens on 127.0.0.1:8080 for this machine only,
serves the domain localhost and keeps everything in the user's data directory.
The first start makes an admin key there, readable by its owner only.

What a gateway answered with 202 is on disk: it may be killed at any moment.
With --database-url (better: AMTP_DATABASE_URL) everything is in a PostgreSQL, and
any number of gateways on it are one; docs/operations-postgres.md has more.
SIGHUP has a gateway with TLS look for a new certificate at once; without it, it
looks every ten seconds. Any other gateway ends at SIGHUP as at SIGTERM. It goes on
when nobody reads its log.

It serves the domain that it had before: where another one is set, or no longer any,
the start is refused (exit code 5), because its agents would get other addresses and
without a domain every program of the machine may send. --rename says that it is
meant.

Settings come from flags, then the environment, then the file amtp.yaml in the
data directory (or --config FILE), then defaults; "amtp config show" lists them.`

const serveExamples = `  amtp serve
  amtp serve --address 127.0.0.1:9000 --data-dir ./data
  amtp serve --address :8443 --domain example.com --tls-cert cert.pem --tls-key key.pem
  amtp serve --address :443 --domain example.com --acme --acme-accept-terms`

func (p *program) serveCommand() *cobra.Command {
	var flags *config.FlagValues
	var rename bool
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a gateway",
		Long:    serveHelp,
		Example: serveExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(config.Sources{Flags: flags, Environ: p.environ})
			if err != nil {
				return badConfig(err)
			}
			if rename {
				cfg = cfg.Rename()
			}
			return p.serve(cmd.Context(), cfg, warnings)
		},
	}
	flags = config.Flags(cmd.Flags())
	cmd.Flags().BoolVar(&rename, "rename", false,
		"give up the domain that the gateway had: its agents get addresses in the present one")
	return cmd
}

func (p *program) serve(ctx context.Context, cfg config.Config, warnings []config.Warning) error {
	ctx, stop := signal.NotifyContext(ctx, endings(cfg)...)
	defer stop()
	defer outlivesItsLog()()
	log := newLog(p.stderr, cfg.Logging)
	if err := operate.CheckLink(cfg); err != nil {
		return usageErrorf("%s", render.Sentence(err))
	}
	a, err := app.New(cfg, log)
	if open := new(datadir.OpenError); errors.As(err, &open) {
		f := usageErrorf("%s", render.Sentence(err)) // a service manager does not try it again
		f.hint = "\"amtp check\" lists all that is open; where the system lets nobody else in, as in a container: AMTP_DATA_DIR_OPEN=true"
		return f
	}
	var other *operate.OtherDomainError
	if errors.As(err, &other) {
		return otherDomain(other)
	}
	if err != nil {
		return notStarted(err)
	}
	if p.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if p.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	p.banner(a, cfg)
	for _, w := range warnings {
		log.Warn(w.Text, "setting", w.Place)
	}
	if a.Paused() {
		log.Warn("this gateway was restored from a backup and accepts no messages until that is confirmed", "confirm",
			p.confirm(cfg.DataDir))
	}
	if !a.Certified() {
		log.Warn("there is no certificate yet: callers from other machines are refused until the authority has given one",
			"see", "amtp cert show")
	}
	if cfg.UseTLS() {
		defer reloads(ctx, a)()
	}
	log.Info("the gateway runs", "url", a.URL(), "domain", string(cfg.Server.Domain), "data", place(cfg),
		"pid", os.Getpid())
	err = a.Run(ctx)
	stop() // a second signal now ends the process at once
	if err = errors.Join(err, a.Close()); err != nil {
		return notStarted(err)
	}
	log.Info("the gateway has stopped")
	return nil
}

// otherDomain says how the gateway starts in its former domain.
func otherDomain(e *operate.OtherDomainError) error {
	f := &failure{exit: exitConflict, code: amtp.CodeConflict, message: render.Sentence(e)}
	f.hint = fmt.Sprintf("amtp serve --domain %s; to have it stay so: amtp domain setup %[1]s; to give %[1]s up: --rename",
		e.Was)
	return f
}

// notStarted is the failure of a gateway that did not start, or that ended with an
// error.
func notStarted(err error) error {
	f := &failure{exit: exitInternal, code: codeNotStarted, message: render.Sentence(err)}
	if errors.Is(err, app.ErrAddressTaken) {
		f.hint = "if that is a gateway of yours, use it: amtp setup --name NAME"
	}
	return f
}

// endings are the signals that stop the gateway in order. SIGHUP, the end of its terminal,
// is one where the gateway has no certificate to load again, unless its parent process
// ignores the signal, as nohup does.
func endings(cfg config.Config) []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !cfg.UseTLS() && !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	return list
}

// outlivesItsLog makes a write to a log that has no reader fail, as any other write does,
// and not end the process. It returns the function that stops this.
func outlivesItsLog() (stop func()) {
	broken := make(chan os.Signal, 1) // nothing reads it: slog drops the line
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// reloads makes the gateway look for a new certificate at each SIGHUP, on systems that
// have it, until it is stopped. Without TLS there is no certificate, see endings.
func reloads(ctx context.Context, a *app.App) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	var worker sync.WaitGroup
	worker.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				_ = defect.Contain(func() error { a.Reload(ctx); return nil }) // the next signal does it again
			}
		}
	})
	return func() {
		signal.Stop(hangup)
		cancel()
		worker.Wait()
	}
}

// gcPercent lets the heap, a few megabytes of short-lived requests, grow further than
// Go's default before it is collected. That saves 5 µs of work for every message, for
// some 15 MB more memory under load. GOGC overrides it.
const gcPercent = 400

// memoryLimit is the heap size, in bytes, at which the collector runs as often as
// necessary: under a siege the process stays below 512 MiB. GOMEMLIMIT overrides it.
const memoryLimit = 384 << 20

// banner tells a person where the gateway listens and what to type next.
func (p *program) banner(a *app.App, cfg config.Config) {
	fmt.Fprintf(p.stderr, "amtp %s — gateway for %s\n\n  Address:  %s\n  Data:     %s\n", version(), cfg.Server.Domain,
		a.URL(), place(cfg))
	if cfg.Development() {
		fmt.Fprint(p.stderr, "  Open to:  every program on this machine (development profile)\n")
	}
	if !a.Certified() {
		fmt.Fprintf(p.stderr, "  Missing:  a certificate for %s; it is being obtained: amtp cert show\n",
			strings.Join(cfg.CertificateHosts(), ", "))
	}
	if a.Paused() {
		fmt.Fprintf(p.stderr, "  Paused:   restored from a backup; no message is accepted until: %s\n",
			p.confirm(cfg.DataDir))
	}
	fmt.Fprintf(p.stderr, "\nNext, in another terminal:\n\n  %s\n\n", p.firstSetup(a.URL(), cfg))
}

// place says where the gateway's data is.
func place(cfg config.Config) string {
	if url := cfg.Database.URL; url != "" {
		return url.String()
	}
	return cfg.DataDir
}

// confirm is the command that ends the pause of the gateway in a data directory, for a
// terminal with other settings than this one.
func (p *program) confirm(dir string) string {
	usual, err := p.usualDataDir()
	if abs, failed := filepath.Abs(dir); err == nil && failed == nil && abs != usual {
		return "amtp restore --confirm --data-dir " + render.ShellWord(render.Clean(abs))
	}
	return "amtp restore --confirm"
}

// usualDataDir is the data directory if no setting names another one.
func (p *program) usualDataDir() (string, error) {
	return datadir.Default(func(name string) string {
		if name == "AMTP_DATA_DIR" {
			return ""
		}
		return p.getenv(name)
	})
}

// firstSetup is the command that registers the first agent of the gateway, for a
// terminal with other settings than this one. If registering needs a key, setup finds
// it in the data directory.
func (p *program) firstSetup(url string, cfg config.Config) string {
	next := "amtp setup --name alice"
	if url != profile.DefaultGateway {
		next += " --gateway " + url
	}
	usual, _ := p.usualDataDir() // "" when there is none
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil || dir == usual || cfg.Development() || p.goos == "windows" {
		return next
	}
	return "AMTP_DATA_DIR=" + shellQuote([]string{dir}) + " " + next
}

func newLog(w io.Writer, l config.Logging) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.Level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
