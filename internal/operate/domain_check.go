package operate

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/doctor"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/keyring"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// CheckDomain examines a domain as the configured gateway would when it delivers a
// message there: with its resolvers, its peers, its authorities and its rules for
// outgoing calls. For its own domain it also compares the published records with the
// gateway's own. A gateway may be running. CheckDomain changes nothing, and sends no
// request that needs a key.
func CheckDomain(ctx context.Context, cfg config.Config, d amtp.Domain, selectors []string) ([]doctor.Finding,
	doctor.Verdict, error) {
	out, err := NewOutside(cfg, amtp.SoftwareVersion(), nil)
	if err != nil {
		return nil, 0, err
	}
	older := out.Options
	older.MinTLS = tls.VersionTLS12
	l := &doctor.DomainLooker{
		Resolver: out.resolver, Static: out.table, Lookup: NewResolver(cfg).Addresses,
		Client: out.Client, Older: outbound.New(older), AllowHTTP: cfg.DNS.AllowHTTP, Now: time.Now,
	}
	defer l.Client.CloseIdleConnections()
	defer l.Older.CloseIdleConnections()
	var own *doctor.OwnDomain
	if d == cfg.Server.Domain && cfg.Federated() {
		own = ownDomain(ctx, cfg)
		selectors = append(own.Wanted(time.Now()), selectors...)
	}
	seen := l.Look(ctx, d, selectors)
	list := doctor.JudgeDomain(seen, own)
	return list, doctor.Sum(seen, list), nil
}

// ownDomain is what the configured gateway knows of its own domain.
func ownDomain(ctx context.Context, cfg config.Config) *doctor.OwnDomain {
	own := &doctor.OwnDomain{Gateway: cfg.PublicURL(), MaxMessage: cfg.Message.MaxSize}
	own.Keys, own.KeysErr = signingKeys(ctx, cfg)
	return own
}

// signingKeys reads the signing keys of a gateway, which may be running. It needs no
// right to change the data directory.
func signingKeys(ctx context.Context, cfg config.Config) (keys []admin.SigningKey, err error) {
	var list []gateway.Document
	if Shared(cfg) {
		list, err = sharedDocuments(ctx, cfg, keyring.Signing)
	} else {
		list, err = sqlite.ReadDocuments(ctx, cfg.DataDir, keyring.Signing)
	}
	if err != nil {
		return nil, err
	}
	return keyring.ReadKeys(list, cfg.Server.Domain)
}

func sharedDocuments(ctx context.Context, cfg config.Config, kind string) (list []gateway.Document, err error) {
	s, release, err := openAlone(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return s.Documents(ctx, kind)
}
