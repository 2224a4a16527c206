package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// selfTime bounds the time for reading our own certificate.
const selfTime = 5 * time.Second

// self says where others reach this gateway and by which certificate they know it: the
// one that its listener shows at this moment, from whatever source. A gateway without
// TLS has none to show; the proxy before it does.
func (a *App) self(ctx context.Context) admin.GatewaySelf {
	self := admin.GatewaySelf{Gateways: a.gateways(false)}
	if !a.cfg.UseTLS() {
		return self
	}
	ctx, cancel := context.WithTimeout(ctx, selfTime)
	defer cancel()
	name, at := host(a.cfg.PublicURL()), a.listener.Addr().String()
	if addr, err := netip.ParseAddrPort(at); err == nil && addr.Addr().IsLoopback() {
		name = "" // a caller by address names no host, and may be shown another certificate
	}
	dial := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} // it is our own listener
	if addr, err := netip.ParseAddrPort(at); err == nil && addr.Addr().IsUnspecified() {
		at = net.JoinHostPort("127.0.0.1", port(at))
	}
	conn, err := dial.DialContext(ctx, "tcp", at)
	if err != nil {
		a.log.Warn("the gateway does not see its own certificate", "at", at, "cause", err)
		return self
	}
	defer conn.Close()
	cert := conn.(*tls.Conn).ConnectionState().PeerCertificates[0] // a server always shows one
	self.Pin = amtp.PinOf(cert).String()
	self.SelfSigned = bytes.Equal(cert.RawIssuer, cert.RawSubject)
	self.Gateways = a.gateways(self.SelfSigned)
	return self
}

// gateways lists the URLs at which others may reach this gateway. These are the URL
// that its operator named; else, where no authority vouches for a name, each address of
// this machine at which it listens; else the usual URL of its domain.
func (a *App) gateways(byAddress bool) []string {
	if a.cfg.Server.PublicURL != "" {
		return []string{a.cfg.Server.PublicURL}
	}
	if list := a.addresses(); byAddress && len(list) > 0 {
		return list
	}
	if u := a.cfg.PublicURL(); u != "" {
		return []string{u}
	}
	return []string{}
}

func (a *App) addresses() (list []string) {
	at := a.listener.Addr().String()
	write := func(addr netip.Addr) {
		list = append(list, "https://"+net.JoinHostPort(addr.String(), port(at)))
	}
	if one, err := netip.ParseAddrPort(at); err == nil && !one.Addr().IsUnspecified() {
		write(one.Addr().Unmap())
		return list
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, of := range all {
		if prefix, err := netip.ParsePrefix(of.String()); err == nil && prefix.Addr().IsGlobalUnicast() {
			write(prefix.Addr())
		}
	}
	return list
}

func host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func port(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}
