package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/keyring"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/peering"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/remote"
)

// records answers access's questions from what other domains publish.
type records struct {
	*operate.Outside
	strangers *discovery.Budget // over Domains, for look-ups that strangers cause
}

// Signs implements access.Records.
func (r records) Signs(ctx context.Context, from string, d amtp.Domain) (bool, error) {
	found, err := r.strangers.Gateway(ctx, addrOf(from), d)
	switch {
	case err == nil:
		return found.Signs(), nil
	case errors.Is(err, discovery.ErrNone), errors.Is(err, discovery.ErrNoDomain), errors.Is(err, discovery.ErrInvalid):
		return false, nil // it publishes no key by which its signatures could be checked
	}
	return false, spent(err)
}

// Key implements access.Records. Look-ups that the gateway itself needs have no budget.
func (r records) Key(ctx context.Context, from string, d amtp.Domain, selector string) (amtp.KeyRecord, error) {
	if from == "" {
		return r.Domains.Key(ctx, d, selector)
	}
	key, err := r.strangers.Key(ctx, addrOf(from), d, selector)
	return key, spent(err)
}

// addrOf returns an address, the zero value for text that is no address.
func addrOf(from string) netip.Addr {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// spent returns access's error for a budget that is used up.
func spent(err error) error {
	if errors.Is(err, discovery.ErrBudget) {
		return fmt.Errorf("%w: %w", access.ErrBudget, err)
	}
	return err
}

// connect builds the parts that work after a request was answered. A gateway with a
// domain of its own also gets what writes to other domains and hears from them.
func (a *App) connect(in *intake.Intake) error {
	domain := a.cfg.Server.Domain
	couriers := courier.Router{
		gateway.KindReport:   &automail.Reporter{Acceptor: in, Agents: a.store, Domain: domain},
		gateway.KindDeadline: &automail.Deadline{Acceptor: in, Store: a.store, Domain: domain, Now: a.store.Now},
		gateway.KindExpiry:   &courier.Expiry{Store: a.store, Now: a.store.Now},
	}
	a.couriers = couriers
	a.queue = queue.New(a.store, couriers, queue.Options{Now: a.store.Now, Log: a.log, Lease: a.cfg.Queue.Lease})
	in.Heard = a.queue.Heard
	if err := a.federate(in, couriers); err != nil {
		return err
	}
	var err error
	if a.targets, err = operate.Pushes(a.cfg, amtp.SoftwareVersion()); err != nil {
		return err
	}
	couriers[gateway.KindPush] = &courier.Push{Store: a.store, Seal: a.seal, Client: outbound.New(a.targets),
		Replier: &automail.PushReplier{Acceptor: in, Log: a.log}, Queue: a.queue, Log: a.log, Now: a.clock.Now}
	return nil
}

// federate opens the seal and builds the parts that ask other domains. A gateway with a
// domain of its own also gets what writes to them and hears from them.
func (a *App) federate(in *intake.Intake, couriers courier.Router) error {
	var peers discovery.StaticRoutes
	if a.cfg.Federated() {
		a.peering = &peering.Peering{Store: a.store, Domain: a.cfg.Server.Domain, Self: a.self, Now: a.clock.Now}
		peers = a.peering
	}
	out, err := operate.NewOutside(a.cfg, amtp.SoftwareVersion(), peers)
	if err != nil {
		return err
	}
	a.domains = remote.New(out.Domains, out.Client, a.clock.Now)
	if !a.cfg.Federated() {
		if a.seal, err = operate.OpenSeal(a.cfg); err != nil {
			return err
		}
		if a.brought, err = operate.BroughtKey(a.cfg); err != nil {
			return err
		}
		return operate.CheckSeal(a.cfg, a.store, a.seal)
	}
	known := records{out, discovery.NewBudget(out.Domains, a.limits)}
	known.strangers.Proven = func(ctx context.Context, d amtp.Domain) bool {
		known, err := a.store.SenderDomain(ctx, d)
		return err == nil && !known.FirstSigned.IsZero()
	}
	a.keys = &keyring.Keyring{Store: a.store, Domain: a.cfg.Server.Domain, Records: known, Now: a.clock.Now}
	if err := operate.LoadKeys(a.cfg, a.keys); err != nil {
		return err
	}
	a.seal = a.keys.Seal
	if err := operate.CheckSeal(a.cfg, a.store, a.seal); err != nil {
		return err
	}
	a.peering.Outbound, a.peering.Signer = out.Options, a.keys.Signer
	a.peers = access.NewDomainVerifier(known, a.store, gateway.Policy(a.cfg.Federation.Unsigned), a.log)
	a.peers.Own = a.cfg.Server.Domain
	in.Verifier = a.peers
	remote := &courier.Remote{
		Finder: out.Domains, Client: out.Client, Memory: a.store, Signer: a.keys.Signer, Doubt: out.Domains.Doubt,
		Known: out.Domains.Known,
		Now:   a.clock.Now, Log: a.log,
	}
	couriers[gateway.KindRemote], in.Sizes = remote, remote
	a.tellReceipts(in, couriers, out.Domains)
	return nil
}

func (a *App) newExpiry() *queue.Expiry {
	return &queue.Expiry{Store: a.store, Now: a.store.Now, Log: a.log}
}
