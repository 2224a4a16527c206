package app

import (
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/receipt"
)

// tellReceipts builds what tells other domains which messages agents here have read,
// and what accepts such receipts from them.
func (a *App) tellReceipts(in *intake.Intake, couriers courier.Router, domains *discovery.Finder) {
	a.receipts = &receipt.Sender{
		Store: a.store, Courier: couriers, Wants: wantsReceipts(domains),
		Signs:  func() bool { return a.keys.Signer() != nil },
		Domain: a.cfg.Server.Domain, Policy: receiptPolicy(a.cfg.Federation), Now: a.store.Now, Log: a.log,
	}
	in.Receipts = receipt.NewTaker(a.store, a.store.Now).Take
}

// wantsReceipts returns a function that asks whether a domain wants receipts. A domain
// that publishes nothing usable wants none.
func wantsReceipts(domains *discovery.Finder) func(context.Context, amtp.Domain) (bool, error) {
	return func(ctx context.Context, d amtp.Domain) (bool, error) {
		found, err := domains.Gateway(ctx, d)
		switch {
		case err == nil:
			return slices.Contains(found.Features, amtp.FeatureReceipts), nil
		case errors.Is(err, discovery.ErrNone), errors.Is(err, discovery.ErrNoDomain),
			errors.Is(err, discovery.ErrInvalid):
			return false, nil
		}
		return false, err
	}
}

func receiptPolicy(f config.Federation) gateway.ReceiptPolicy {
	p := gateway.ReceiptPolicy{Rule: gateway.ReceiptRule(f.Receipts),
		Domains: make(map[amtp.Domain]gateway.ReceiptRule, len(f.ReceiptsDomains))}
	for _, r := range f.ReceiptsDomains {
		p.Domains[r.Domain] = gateway.ReceiptRule(r.Rule)
	}
	return p
}
