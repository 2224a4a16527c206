// Package app builds one gateway from a configuration and runs it. It is the only
// package that knows all the other parts of the gateway.
//
// New claims the data directory, opens the store and opens the listener; from then on
// connections queue. The store is in the data directory, or it is a PostgreSQL that
// several gateways share. Run answers requests until its context ends, then lets those
// that are under way finish. Close releases everything. A process that is killed at any
// moment leaves a directory that the next New opens.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/certificate"
	"github.com/amtp-go/amtp/internal/coalesce"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/held"
	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/invite"
	"github.com/amtp-go/amtp/internal/keyring"
	"github.com/amtp-go/amtp/internal/limits"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/peering"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/receipt"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// App is one gateway.
type App struct {
	cfg           config.Config
	log           *slog.Logger
	claim         *datadir.Claim
	clock         wallclock.Clock
	store         gateway.Store
	recorded      datadir.Running // what is recorded in the data directory; the zero value before that
	began         time.Time       // when it was recorded
	process       string          // identifies this process among those on the store
	listener      net.Listener
	localListener net.Listener       // a second listener, for this machine only, or nil
	coalesced     *coalesce.Listener // below listener, nil without TLS
	server        *http.Server
	queue         *queue.Queue
	couriers      courier.Router
	seal          gateway.Seal
	brought       *keyring.Brought // the key that the configuration names, while there is no domain

	certificate certificate.Source // nil without TLS, like loopback
	loopback    *certificate.Local
	protocols   []string    // what the listener offers for the sake of the certificate
	challenges  *challenges // nil where no authority asks over HTTP

	conns    *connections
	limits   *limits.Limits
	targets  outbound.Options       // where agents may have messages pushed
	peers    *access.DomainVerifier // nil without a domain of its own, like keys
	keys     *keyring.Keyring
	peering  *peering.Peering
	echo     *automail.Echo  // nil when the operator wants none
	receipts *receipt.Sender // nil without a domain of its own
	domains  *remote.Domains
	held     *held.Connections
	stopping chan struct{} // closed when Run begins to end, which also ends waiting requests
	close    sync.Once
	closeErr error
}

// drainTime is how long requests that are under way may take after the gateway is asked
// to stop. Then they are cut off, which loses nothing that was answered.
const drainTime = 25 * time.Second

// New builds a gateway that is ready to run. It fails if another process uses
// the data directory.
func New(cfg config.Config, log *slog.Logger) (*App, error) {
	return NewBy(wallclock.Clock{}, cfg, log)
}

// NewBy is New for a gateway on a machine that has the given clock.
func NewBy(clock wallclock.Clock, cfg config.Config, log *slog.Logger) (*App, error) {
	a := &App{cfg: cfg, log: log, clock: clock.Complete(), process: rand.Text(), stopping: make(chan struct{})}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open() (err error) {
	if err := a.claimDir(); err != nil {
		return err
	}
	if a.store, err = operate.OpenStore(a.cfg, a.log, a.clock); err != nil {
		return err
	}
	if err := operate.Readdress(a.cfg, a.store, a.log); err != nil {
		return err
	}
	a.limit()
	in := &intake.Intake{Store: a.store, Domain: a.cfg.Server.Domain, Now: a.store.Now, Federated: a.cfg.Federated(),
		Limits: a.limits}
	if err := a.connect(in); err != nil {
		return err
	}
	admin, err := operate.AdminKeys(a.cfg, a.store, a.seal, a.claim != nil)
	if err != nil {
		return err
	}
	if err := a.certify(); err != nil {
		return err
	}
	if a.listener, err = a.listen(); err != nil {
		return err
	}
	if a.localListener, err = a.listenLocal(); err != nil {
		return err
	}
	if err := a.openEcho(in); err != nil {
		return err
	}
	idle := cmp.Or(a.cfg.Server.IdleTimeout, a.cfg.Server.ReadTimeout) // as net/http has it
	a.held = held.New(a.listener.Addr(), idle, a.stopping)
	a.server = a.newServer(a.api(in, admin).Handler())
	return a.record()
}

// record notes in the data directory where the gateway listens.
func (a *App) record() error {
	if a.claim == nil {
		return nil
	}
	running := datadir.Running{URL: a.URL(), PID: os.Getpid(), Domain: string(a.cfg.Server.Domain)}
	if a.loopback != nil && a.localListener == nil {
		running.Certificate = a.loopback.PEM()
	}
	a.began = time.Now()
	if err := datadir.Record(a.cfg.DataDir, running); err != nil {
		return err
	}
	a.recorded = running
	return nil
}

// api wires the services.
func (a *App) api(in *intake.Intake, admin []string) *httpapi.Server {
	domain := a.cfg.Server.Domain
	agents := &agent.Agents{Store: a.store, Domain: domain, Now: a.store.Now, Stopping: a.stopping,
		Seal: a.seal, Targets: a.targets, Queue: a.queue}
	return &httpapi.Server{
		Intake:   in,
		Agents:   agents,
		Invites:  &invite.Invites{Store: a.store, Agents: agents, Domain: domain, Self: a.self, Now: a.store.Now},
		Store:    a.store,
		Operator: a.operator(),
		Authenticator: &access.Authenticator{Owners: a.store, Admin: admin,
			Development: a.cfg.Development(), Failures: access.NewFailures(), Proxies: a.cfg.Server.TrustedProxies},
		Verifier:    a.peers,
		Keys:        a.keys,
		Seal:        a.seal,
		Brought:     a.brought,
		Domains:     a.domains,
		Domain:      domain,
		MaxMessage:  a.cfg.Message.MaxSize,
		InFlight:    a.cfg.Limits.InFlightBytes,
		Timeouts:    httpapi.Timeouts{Read: a.cfg.Server.ReadTimeout, Write: a.cfg.Server.WriteTimeout},
		Log:         a.log,
		Now:         a.store.Now,
		Peering:     a.peering,
		Limits:      a.limits,
		Connections: a.conns,
		Held:        a.held,
	}
}

// Bounds of one connection that no setting changes: a header is small, and a client
// does not send it byte by byte.
const (
	headerTime = 5 * time.Second
	// headerBytes leaves room for the 4 KiB that net/http adds: 32 KiB in all.
	headerBytes          = 28 << 10
	maxConcurrentStreams = 100
)

func (a *App) newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headerTime,
		ReadTimeout:                  a.cfg.Server.ReadTimeout,
		WriteTimeout:                 a.cfg.Server.WriteTimeout,
		IdleTimeout:                  a.cfg.Server.IdleTimeout,
		MaxHeaderBytes:               headerBytes,
		DisableGeneralOptionsHandler: true,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxConcurrentStreams},
		ErrorLog:                     slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

// URL returns the address under which the gateway can be reached from this
// machine.
func (a *App) URL() string {
	if a.localListener != nil {
		return "http://" + a.localListener.Addr().String()
	}
	scheme := "http"
	if a.cfg.UseTLS() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(a.listener.Addr().String())
	if err != nil {
		return scheme + "://" + a.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Paused reports whether the gateway was restored from a backup and accepts no
// messages until its operator confirms it.
func (a *App) Paused() bool { return !a.store.Paused().IsZero() }

// Run answers requests until ctx ends or the store can no longer be trusted. It returns
// nil in the first case and an error in the second. Then the process should end, and a
// new one finds everything that was answered.
func (a *App) Run(ctx context.Context) error {
	working, stopWork := context.WithCancel(ctx)
	var loops sync.WaitGroup
	defer loops.Wait()
	defer stopWork()
	parts := a.parts()
	ended := make(chan error, len(parts))
	for name, p := range parts {
		loops.Go(func() { a.keep(working, name, p, ended) })
	}
	served := a.serve()
	var failed error
	select {
	case <-ctx.Done():
	case <-a.store.Failed():
		failed = a.storeFailed()
	case failed = <-ended:
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	}
	close(a.stopping)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := errors.Join(a.server.Shutdown(drain), a.held.Shutdown(drain))
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Warn("requests were cut off because they took too long to end")
		err = a.server.Close()
	}
	for range cap(served) {
		<-served
	}
	return errors.Join(failed, err)
}

// Close releases the listener, the store and the data directory. It may be
// called more than once.
func (a *App) Close() error {
	a.close.Do(func() { a.closeErr = a.release() })
	return a.closeErr
}

func (a *App) release() error {
	var errs []error
	for _, l := range a.listeners() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if a.challenges != nil {
		errs = append(errs, a.challenges.Close())
	}
	if a.coalesced != nil {
		a.coalesced.Wait() // answers that were written leave before the process ends
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.claim != nil {
		if a.recorded != (datadir.Running{}) {
			errs = append(errs, datadir.Forget(a.cfg.DataDir, a.recorded))
		}
		errs = append(errs, a.claim.Release())
	}
	return errors.Join(errs...)
}
