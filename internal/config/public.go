package config

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	"github.com/amtp-go/amtp"
)

// publicHost comes before the domain in the host name of a gateway whose operator names
// no host.
const publicHost = "amtp."

// PublicURL returns the URL at which other domains reach this gateway. It is
// server.public_url, or else amtp.{domain} with the port of a listener that speaks TLS.
// It is "" for a gateway without a domain of its own.
func (c Config) PublicURL() string {
	if !c.Federated() {
		return ""
	}
	usual := "https://" + publicHost + string(c.Server.Domain)
	if _, port, err := net.SplitHostPort(c.Server.Address); err == nil && c.UseTLS() && port != "443" && port != "0" {
		usual += ":" + port
	}
	return cmp.Or(c.Server.PublicURL, usual)
}

// parsePublicURL reads the base URL of a gateway in the form that records have.
func parsePublicURL(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if strings.Contains(s, ";") {
		return "", fmt.Errorf("%s is not a URL such as https://amtp.example.com", brief(s))
	}
	c, err := amtp.ParseCapabilities("v=amtp1;gateway="+s, true)
	if err != nil {
		return "", fmt.Errorf("%s is not a URL such as https://amtp.example.com: %w", brief(s), err)
	}
	return c.Gateway, nil
}

// parseLocal reads the address of a listener, or "" for none.
func parseLocal(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parseHostPort(s)
}

// checkPublic checks how others, and this machine itself, reach the gateway.
func (l *loader) checkPublic() {
	s := l.cfg.Server
	if strings.HasPrefix(s.PublicURL, "http:") && !l.cfg.DNS.AllowHTTP {
		l.refuse("server.public_url",
			"is not https, and no other gateway calls it; dns.allow_http (AMTP_DNS_ALLOW_HTTP=true) allows plain text")
	}
	if s.LocalAddress != "" && !isLoopback(s.LocalAddress) {
		l.refuse("server.local_address", s.LocalAddress+
			" can be reached from other machines, and this listener has no TLS: use 127.0.0.1, or server.address")
	}
}
