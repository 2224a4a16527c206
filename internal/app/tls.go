package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/certificate"
	"github.com/amtp-go/amtp/internal/coalesce"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/outbound"
)

// certify builds the source of the certificate that the listener shows.
func (a *App) certify() (err error) {
	if !a.cfg.UseTLS() {
		return nil
	}
	if a.loopback, err = certificate.NewLocal(a.clock.Now()); err != nil {
		return err
	}
	if !a.cfg.ACME.Enabled {
		files, err := certificate.OpenFile(a.cfg.TLS.CertFile, a.cfg.TLS.KeyFile, a.clock.Now, a.log)
		if err != nil {
			return err
		}
		a.certificate = files
		return nil
	}
	client, err := authority(a.cfg, amtp.SoftwareVersion())
	if err != nil {
		return err
	}
	answers, err := answersInDNS(a.cfg)
	if err != nil {
		return err
	}
	obtained, err := certificate.NewACME(context.Background(), certificate.ACMEOptions{
		Hosts: a.cfg.CertificateHosts(), Directory: a.cfg.ACME.Directory, Email: a.cfg.ACME.Email,
		HTTP:   a.cfg.ACME.HTTPAddress != "",
		DNS:    answers,
		Client: client, Version: amtp.SoftwareVersion(), Store: a.store, Seal: a.seal, Now: a.clock.Now, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.certificate, a.protocols = obtained, obtained.Protocols()
	if address := a.cfg.ACME.HTTPAddress; address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return cannotListen(address, "acme.http_address", err)
		}
		a.challenges = newChallenges(a.conns.listen(l), obtained.Challenges())
	}
	return nil
}

// authority makes the client for the certificate authority. The operator configured
// where it is.
func authority(cfg config.Config, version string) (*http.Client, error) {
	u, err := url.Parse(cfg.ACME.Directory)
	if err != nil {
		return nil, err
	}
	o := outbound.Options{Version: version, Allow: []outbound.Rule{outbound.RuleOf(u)}}
	if err := operate.Trust(&o, cfg, operate.NewResolver(cfg)); err != nil {
		return nil, err
	}
	if file := cfg.ACME.CAFile; file != "" {
		pem, err := os.ReadFile(file)
		if err == nil {
			o.Roots, err = outbound.Roots(pem)
		}
		if err != nil {
			return nil, fmt.Errorf("read acme.ca_file: %w", err)
		}
	}
	return outbound.New(o), nil
}

// answersInDNS says where the gateway answers DNS-01. It returns nil if the gateway uses
// another challenge.
func answersInDNS(cfg config.Config) (*certificate.DNS01, error) {
	o := cfg.ACME
	if o.DNSServer == "" {
		return nil, nil
	}
	secret, err := config.ReadDNSKey(o.DNSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read acme.dns_key_file: %w", err)
	}
	resolver := operate.NewResolver(cfg)
	return &certificate.DNS01{
		Server: o.DNSServer, Zone: string(o.DNSZone), Alias: string(o.DNSAlias), KeyName: string(o.DNSKeyName),
		Algorithm: o.DNSKeyAlgorithm, Secret: secret, Lookup: resolver.Addresses,
		TXT: func(ctx context.Context, name string) ([]string, error) {
			answer, err := resolver.TXT(ctx, name)
			return answer.Records, err
		},
	}, nil
}

// literal returns an address to listen on, with localhost as 127.0.0.1 whatever a hosts
// file says. The configuration counts localhost as an address of this machine only.
func literal(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil &&
		strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// ErrAddressTaken means that another program listens at the gateway's address.
var ErrAddressTaken = errors.New("another program listens there already")

// cannotListen says why the gateway cannot listen on an address, and which setting
// chooses another one.
func cannotListen(address, setting string, err error) error {
	var call *os.SyscallError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w; choose another address with %s", address, ErrAddressTaken, setting)
	case errors.As(err, &call):
		return fmt.Errorf("cannot listen on %s: %w; choose another address with %s", address, call.Err, setting)
	}
	return fmt.Errorf("cannot listen on %s: %w; choose another address with %s", address, err, setting)
}

// listen opens the listener, with TLS if it is configured.
func (a *App) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", literal(a.cfg.Server.Address))
	if err != nil {
		return nil, cannotListen(a.cfg.Server.Address, "--address", err)
	}
	l = a.conns.listen(l)
	if a.certificate == nil {
		return l, nil
	}
	a.coalesced = coalesce.Listen(l)
	return tls.NewListener(a.coalesced, &tls.Config{
		GetCertificate: a.loopback.Before(a.certificate),
		MinVersion:     a.cfg.TLS.MinVersion,
		NextProtos:     append([]string{"h2", "http/1.1"}, a.protocols...),
	}), nil
}

// challenges is the listener at which an authority asks over plain HTTP (ACME HTTP-01).
type challenges struct {
	listener net.Listener
	server   *http.Server
}

func newChallenges(l net.Listener, h http.Handler) *challenges {
	return &challenges{listener: l, server: &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: headerTime,
		IdleTimeout:    headerTime,
		MaxHeaderBytes: headerBytes, DisableGeneralOptionsHandler: true,
	}}
}

// Run answers until ctx ends. An authority that gets no answer then asks again.
func (c *challenges) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.server.Close() })
	defer stop()
	if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close releases the listener; it may be released already.
func (c *challenges) Close() error {
	if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Certified reports whether the gateway has a certificate to show, or needs none.
func (a *App) Certified() bool {
	if a.certificate == nil {
		return true
	}
	for _, c := range a.certificate.List().Certificates {
		if c.State == admin.CertificateMissing {
			return false
		}
	}
	return true
}

// Reload looks for other certificates now, and logs the result.
func (a *App) Reload(ctx context.Context) {
	if a.certificate == nil {
		a.log.Info("there is nothing to read again: the gateway has no certificate of its own")
		return
	}
	changed, err := a.certificate.Renew(ctx, false)
	if err == nil && !changed {
		a.log.Info("the certificates were checked; none has to change")
	}
}
