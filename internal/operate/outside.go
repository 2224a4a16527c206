package operate

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
)

// Outside is how the gateway finds other domains and calls others.
type Outside struct {
	Client  *http.Client
	Domains *discovery.Finder

	// The parts from which Client and Domains are built.
	Options  outbound.Options
	resolver discovery.Resolver
	table    map[string]string // the operator's records of domains
}

// NewOutside builds an Outside for a program of the version. It opens no connection.
func NewOutside(cfg config.Config, version string, peers discovery.StaticRoutes) (*Outside, error) {
	table := map[string]string{}
	allow := slices.Clone(cfg.Outbound.Allow)
	tables := []config.Table{cfg.Peers}
	if cfg.DNS.MockMode {
		tables = append(tables, cfg.DNS.MockRecords)
	}
	for _, t := range tables {
		for name, txt := range t {
			table[string(name)] = txt
			allow = append(allow, ruleFor(txt)...)
		}
	}
	resolver := NewResolver(cfg)
	o := outbound.Options{Allow: allow, PlainHTTP: cfg.DNS.AllowHTTP, Version: version, Rate: gateway.LeastRate}
	if err := Trust(&o, cfg, resolver); err != nil {
		return nil, err
	}
	d := discovery.Options{Resolver: resolver, Static: table, Routes: peers, AllowHTTP: cfg.DNS.AllowHTTP,
		MaxTTL: cfg.DNS.CacheTTL, Now: time.Now}
	if cfg.DNS.MockMode {
		d.Resolver = discovery.NoDNS{}
	}
	domains, err := discovery.New(d)
	if err != nil {
		return nil, fmt.Errorf("read the records of other domains: %w", err)
	}
	return &Outside{Client: outbound.New(gateways(o, cfg)), Domains: domains, Options: o, resolver: d.Resolver,
		table: table}, nil
}

// gateways sets which gateways of other domains may be called. Neighbours on the same
// network or machine may be called where TLS proves their identity. A call that checks
// this gateway from outside must reach it, so this limit does not bind it.
func gateways(o outbound.Options, cfg config.Config) outbound.Options {
	o.NotHere = o.PlainHTTP
	o.NotSelf, o.Listener = !o.PlainHTTP, listenerOf(cfg.Server.Address)
	return o
}

// Pushes says where the endpoints of agents may be. Agents choose them, so only the
// operator's own rules apply, and not those for the gateways of other domains.
func Pushes(cfg config.Config, version string) (outbound.Options, error) {
	o := outbound.Options{Allow: slices.Clone(cfg.Outbound.Allow), NotHere: true, PlainAllowed: true, Version: version,
		Rate: gateway.LeastRate}
	return o, Trust(&o, cfg, NewResolver(cfg))
}

// listenerOf returns where the gateway listens. A name or no address in the setting
// means all addresses of the machine. There is no port if the system chooses it.
func listenerOf(address string) netip.AddrPort {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}
	}
	port, err := net.LookupPort("tcp", service)
	if err != nil {
		return netip.AddrPort{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		addr = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// NewResolver returns the resolver of the configuration.
func NewResolver(cfg config.Config) *discovery.DNS {
	resolver := &discovery.DNS{Servers: discovery.System, Timeout: cfg.DNS.Timeout}
	if servers := cfg.DNS.Resolvers; len(servers) > 0 {
		resolver.Servers = func() ([]netip.AddrPort, error) { return servers, nil }
	}
	return resolver
}

// Trust sets which names and authorities outgoing calls trust.
func Trust(o *outbound.Options, cfg config.Config, resolver *discovery.DNS) error {
	o.MinTLS = cfg.TLS.MinVersion
	if len(cfg.DNS.Resolvers) > 0 {
		o.Lookup = resolver.Addresses
	}
	if file := cfg.Outbound.CAFile; file != "" {
		pem, err := os.ReadFile(file)
		if err == nil {
			o.Roots, err = outbound.Roots(pem)
		}
		if err != nil {
			return fmt.Errorf("read outbound.ca_file: %w", err)
		}
	}
	return nil
}

// ruleFor allows calls to the gateway in a record that the operator wrote, wherever it
// is. The record of a key needs no rule.
func ruleFor(txt string) []outbound.Rule {
	c, err := amtp.ParseCapabilities(txt, true)
	if err != nil {
		return nil
	}
	u, err := url.Parse(c.Gateway)
	if err != nil {
		return nil // cannot happen: it was checked as a URL
	}
	return []outbound.Rule{outbound.RuleOf(u)}
}
