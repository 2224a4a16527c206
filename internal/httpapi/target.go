package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
)

// local reduces a target that is a whole URL to its path, and reports whether the URL
// names this gateway. RFC 9112 §3.2.2: such a target counts, and the Host header does not;
// r.Host is the target's host already.
func (s *Server) local(r *http.Request) bool {
	u := r.URL
	if !u.IsAbs() && u.Host == "" {
		return true
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || u.User != nil || !s.isOurs(r, u) {
		return false
	}
	u.Scheme, u.Host = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return true
}

// isHere reports whether the host of a request means this gateway.
func (s *Server) isHere(r *http.Request) bool {
	return access.IsThisMachine(r.Host) || s.isOurs(r, &url.URL{Host: r.Host})
}

// isOurs reports whether a URL's host means this gateway. Such a host is its domain, the
// address at which the client reached it, or, over TLS, the name that the client asked
// for. On a loopback address it is also any name of this machine.
func (s *Server) isOurs(r *http.Request, u *url.URL) bool {
	host := u.Hostname()
	if domain, err := amtp.ParseDomain(host); err == nil && domain == s.Domain {
		return true
	}
	if r.TLS != nil && host != "" && strings.EqualFold(r.TLS.ServerName, host) {
		return true
	}
	here, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip == here.AddrPort().Addr().Unmap() || here.IP.IsLoopback() && access.IsThisMachine(host)
}
