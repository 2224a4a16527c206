package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/privateca"
)

// The domains of the demo. The top-level domain is reserved, so they belong to no one.
const (
	demoShop     = "shop.example"
	demoWorkshop = "workshop.example"
)

// demoNet is the two gateways of the demo. Each knows the records that the other's domain
// would publish in DNS.
type demoNet struct {
	*program
	dir      string
	ca       *privateca.Authority
	gateways map[string]*demoGateway // by domain
}

// demoGateway is the gateway of one domain.
type demoGateway struct {
	domain  string
	dir     string // its data
	url     string // the same after a restart
	peers   string // the records of the other gateway's domain, as AMTP_PEERS
	running *app.App
	stop    context.CancelFunc
	ended   chan error
}

// newDemoNet starts both gateways.
func (p *program) newDemoNet(ctx context.Context, dir string) (n *demoNet, err error) {
	n = &demoNet{program: p, dir: dir, gateways: make(map[string]*demoGateway, 2)}
	if n.ca, err = privateca.New(filepath.Join(dir, "ca.pem")); err != nil {
		return n, err
	}
	published := make(map[string]map[string]string, 2)
	for _, domain := range []string{demoShop, demoWorkshop} {
		g := &demoGateway{domain: domain, dir: filepath.Join(dir, domain), url: "https://127.0.0.1:0"}
		n.gateways[domain] = g
		// The first start makes the keys and finds a port.
		if err := n.start(ctx, g); err != nil {
			return n, err
		}
		records, err := n.publish(ctx, g)
		if err := errors.Join(err, g.end()); err != nil {
			return n, err
		}
		published[domain] = records
	}
	for domain, other := range map[string]string{demoShop: demoWorkshop, demoWorkshop: demoShop} {
		g := n.gateways[domain]
		peers, err := json.Marshal(published[other])
		if err != nil {
			return n, err
		}
		g.peers = string(peers)
		if err := n.start(ctx, g); err != nil {
			return n, err
		}
	}
	return n, nil
}

// publish returns the records that a gateway's domain would have in DNS.
func (n *demoNet) publish(ctx context.Context, g *demoGateway) (map[string]string, error) {
	key, err := os.ReadFile(filepath.Join(g.dir, datadir.AdminKeyFile))
	if err != nil {
		return nil, err
	}
	operator := &admin.Client{
		Client: amtp.Client{URL: g.url, AdminKey: strings.TrimSpace(string(key)), HTTP: n.client(),
			UserAgent: userAgent()},
	}
	keys, err := operator.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	records := map[string]string{g.domain: "v=amtp1;gateway=" + g.url + ";auth=sig"}
	for _, k := range keys.Keys {
		records[k.Name] = k.Record
	}
	return records, nil
}

// client reaches the gateways of the demo.
func (n *demoNet) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.ca.Pool},
		ForceAttemptHTTP2: true}}
}

// start runs a gateway where it was before.
func (n *demoNet) start(ctx context.Context, g *demoGateway) error {
	cert, key, err := n.ca.Certificate(n.dir, "127.0.0.1")
	if err != nil {
		return err
	}
	cfg, _, err := config.Load(config.Sources{Environ: []string{
		"AMTP_DATA_DIR=" + g.dir, "AMTP_SERVER_ADDRESS=" + strings.TrimPrefix(g.url, "https://"),
		"AMTP_DOMAIN=" + g.domain,
		"AMTP_TLS_CERT_FILE=" + cert, "AMTP_TLS_KEY_FILE=" + key,
		"AMTP_PEERS=" + g.peers, "AMTP_OUTBOUND_CA_FILE=" + n.ca.File,
	}})
	if err != nil {
		return err
	}
	if g.running, err = app.New(cfg, slog.New(slog.NewTextHandler(n.stderr,
		&slog.HandlerOptions{Level: slog.LevelError}))); err != nil {
		return err
	}
	g.url, g.ended = g.running.URL(), make(chan error, 1)
	var running context.Context
	running, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func(a *app.App, ended chan<- error) { ended <- a.Run(running) }(g.running, g.ended)
	return nil
}

// end stops the gateways that still run.
func (g *demoGateway) end() error {
	if g.running == nil {
		return nil
	}
	g.stop()
	err := errors.Join(<-g.ended, g.running.Close())
	g.running = nil
	return err
}

// end stops what still runs.
func (n *demoNet) end() error {
	var errs []error
	for _, g := range n.gateways {
		errs = append(errs, g.end())
	}
	return errors.Join(errs...)
}
