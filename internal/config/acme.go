package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// ACME says how the gateway gets its own certificate. [Config.CertificateHosts] returns
// the hosts for which it gets one.
type ACME struct {
	Enabled     bool
	AcceptTerms bool
	Email       string
	Directory   string
	CAFile      string
	Hosts       []amtp.Domain
	HTTPAddress string // host:port, "" for TLS-ALPN-01 or DNS-01

	// For DNS-01, with a name server that accepts signed updates.
	DNSServer       string // host:port, "" for another challenge
	DNSZone         amtp.Domain
	DNSAlias        amtp.Domain
	DNSKeyName      amtp.Domain
	DNSKeyAlgorithm string
	DNSKeyFile      string
}

// letsEncrypt is the directory of Let's Encrypt, the default authority.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

func (a *ACME) settings() []setting {
	return []setting{
		{path: "acme.enabled", env: "AMTP_ACME_ENABLED", flag: "acme", def: "false", value: boolean(&a.Enabled),
			meaning: "Whether the gateway obtains and renews its own certificate over ACME, instead of using tls.cert_file."},
		{path: "acme.accept_terms", env: "AMTP_ACME_ACCEPT_TERMS", flag: "acme-accept-terms", def: "false",
			value:   boolean(&a.AcceptTerms),
			meaning: "Whether you accept the authority's terms of service. Without that it issues no certificate."},
		{path: "acme.email", env: "AMTP_ACME_EMAIL", flag: "acme-email",
			value:   bind(&a.Email, "e-mail address", parseEmail, same),
			meaning: "The address at which the authority may contact you about the certificate. It may be empty."},
		{path: "acme.directory", env: "AMTP_ACME_DIRECTORY", def: letsEncrypt,
			value:   bind(&a.Directory, "URL", parseDirectory, same),
			meaning: "The URL of the authority's directory. Its host may be called at any address."},
		{path: "acme.ca_file", env: "AMTP_ACME_CA_FILE", value: path(&a.CAFile),
			meaning: "Authorities in PEM form that are trusted for the authority's own server, in addition to those of the system. Use it for an authority of your own."},
		{path: "acme.hosts", env: "AMTP_ACME_HOSTS", value: list(&a.Hosts, "host names", parseDomain,
			same[amtp.Domain]),
			meaning: "The host names for which certificates are obtained, one for each name. By default it is the host of server.public_url, else amtp.{domain}."},
		{path: "acme.http_address", env: "AMTP_ACME_HTTP_ADDRESS",
			value:   bind(&a.HTTPAddress, "host:port", parseOptional, same),
			meaning: "The address on which the gateway answers the authority's HTTP-01 challenges, and nothing else. It is port 80 of the hosts, or the address to which a proxy passes /.well-known/acme-challenge/. If it is not set, the authority uses port 443 (TLS-ALPN-01)."},
		{path: "acme.dns_server", env: "AMTP_ACME_DNS_SERVER",
			value:   bind(&a.DNSServer, "host:port", parseNameServer, same),
			meaning: "A name server that accepts signed updates (RFC 2136), with its port unless that is 53. If it is set, the gateway answers the authority's challenges there (DNS-01). The authority then connects to no port of the hosts."},
		{path: "acme.dns_zone", env: "AMTP_ACME_DNS_ZONE", value: optionalDomain(&a.DNSZone),
			meaning: "The zone that is updated. By default the gateway asks acme.dns_server for it."},
		{path: "acme.dns_alias", env: "AMTP_ACME_DNS_ALIAS", value: optionalDomain(&a.DNSAlias),
			meaning: "The name at which the answers are written. Set it if _acme-challenge.{host} is an alias (CNAME) of that name, so that the gateway needs no key for the zone of the hosts."},
		{path: "acme.dns_key_name", env: "AMTP_ACME_DNS_KEY_NAME", value: optionalDomain(&a.DNSKeyName),
			meaning: "The name of the key that signs the updates (TSIG, RFC 8945), as the name server knows it."},
		{path: "acme.dns_key_algorithm", env: "AMTP_ACME_DNS_KEY_ALGORITHM", def: "hmac-sha256",
			value: choice(&a.DNSKeyAlgorithm, option[string]{"hmac-sha256", "hmac-sha256"},
				option[string]{"hmac-sha384", "hmac-sha384"}, option[string]{"hmac-sha512", "hmac-sha512"}),
			meaning: "The algorithm of that key."},
		{path: "acme.dns_key_file", env: "AMTP_ACME_DNS_KEY_FILE", value: path(&a.DNSKeyFile),
			meaning: "File with the secret of that key in base64. Only its owner may write it, and only its group may read it as well (mode 0600 or 0640). It is read at the start."},
	}
}

func parseEmail(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	local, host, ok := strings.Cut(s, "@")
	if !ok || local == "" || strings.ContainsFunc(s, notVisible) || strings.ContainsAny(s, ",?&") {
		return "", fmt.Errorf("%s is not an e-mail address", brief(s))
	}
	if _, err := amtp.ParseDomain(host); err != nil {
		return "", fmt.Errorf("%s has no domain behind the @", brief(s))
	}
	return s, nil
}

// parseOptional reads the address of a listener, or "" for none.
func parseOptional(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parseHostPort(s)
}

func parseDirectory(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("%s is not the https URL of a directory, such as %s", brief(s), letsEncrypt)
	}
	return s, nil
}

// CertificateHosts returns the names for which certificates are obtained.
func (c Config) CertificateHosts() []string {
	hosts := c.ACME.Hosts
	if len(hosts) == 0 {
		hosts = []amtp.Domain{publicHost + c.Server.Domain}
		if u, err := url.Parse(c.Server.PublicURL); err == nil && u.Hostname() != "" {
			hosts[0] = amtp.Domain(u.Hostname())
		}
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = string(h)
	}
	return names
}

// checkACME checks the settings of ACME against one another.
func (l *loader) checkACME() {
	c := l.cfg
	if !c.ACME.Enabled {
		return
	}
	switch {
	case c.TLS.Enabled == Off:
		l.refuse("acme.enabled", "is true, but tls.enabled is false, so the gateway never shows a certificate")
	case c.TLS.CertFile != "" || c.TLS.KeyFile != "":
		l.refuse("acme.enabled", "is true and tls.cert_file or tls.key_file is given: choose one")
	}
	if !c.ACME.AcceptTerms {
		l.refuse("acme.accept_terms", "must be true: read the terms of service of the authority at "+c.ACME.Directory+
			", and set AMTP_ACME_ACCEPT_TERMS=true to accept them")
	}
	for _, host := range c.CertificateHosts() {
		if err := certifiable(host); err != nil {
			l.refuse("acme.hosts", err.Error())
		}
	}
	if http := c.ACME.HTTPAddress; http != "" && http == c.Server.Address && !strings.HasSuffix(http, ":0") {
		l.refuse("acme.http_address", "is that of the gateway itself; give another port")
	}
	l.checkACMEDNS()
	if file := c.ACME.CAFile; file != "" {
		l.checkAuthorities("acme.ca_file", file)
	}
}

// certifiable refuses names for which no authority issues a certificate.
func certifiable(host string) error {
	if _, err := netip.ParseAddr(host); err == nil || net.ParseIP(host) != nil {
		return fmt.Errorf("%s is an address; certificates are for names", brief(host))
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return errors.New("no authority certifies localhost: set server.domain or acme.hosts to the name by which others reach the gateway")
	}
	return nil
}

func (l *loader) checkAuthorities(path, file string) {
	content, err := os.ReadFile(file)
	switch {
	case err != nil:
		l.refuse(path, brief(file)+": "+reason(err))
	case !x509.NewCertPool().AppendCertsFromPEM(plaintext.Content(content)):
		l.refuse(path, brief(file)+" holds no certificate in PEM form")
	}
}
