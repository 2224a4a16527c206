package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// optionalDomain makes a value of a field with a name in DNS, or none.
func optionalDomain(p *amtp.Domain) value {
	return bind(p, "domain", func(s string) (amtp.Domain, error) {
		if s == "" {
			return "", nil
		}
		return parseDomain(strings.TrimSuffix(s, "."))
	}, same)
}

// parseNameServer reads the host of a name server with its port or without, or none.
func parseNameServer(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	host, port, err := cutPort(s)
	if err != nil {
		return "", err
	}
	if port == 0 {
		port = 53
	}
	if _, err := netip.ParseAddr(host); err != nil {
		if _, err := amtp.ParseDomain(host); err != nil {
			return "", fmt.Errorf("%s is not a name server: write its name or its IP address, with :port behind it or not",
				brief(s))
		}
	}
	return net.JoinHostPort(host, fmt.Sprint(port)), nil
}

// checkACMEDNS judges the settings of DNS-01 together.
func (l *loader) checkACMEDNS() {
	o := l.cfg.ACME
	if o.DNSServer == "" {
		for _, path := range []string{"acme.dns_zone", "acme.dns_alias", "acme.dns_key_name", "acme.dns_key_file"} {
			if l.cfg.origin(path) != fromDefault {
				l.advise(path, "is not used, because acme.dns_server is not given")
			}
		}
		return
	}
	if o.HTTPAddress != "" {
		l.refuse("acme.dns_server", "and acme.http_address are both given: choose one challenge")
	}
	if o.DNSKeyName == "" {
		l.refuse("acme.dns_server", "is given without acme.dns_key_name: the gateway signs every update")
	}
	if o.DNSKeyFile == "" {
		l.refuse("acme.dns_server", "is given without acme.dns_key_file: the gateway signs every update")
	} else if _, err := ReadDNSKey(o.DNSKeyFile); err != nil {
		l.refuse("acme.dns_key_file", brief(o.DNSKeyFile)+": "+reason(err))
	}
}

// The reasons for which a secret is refused. None shows a part of the file.
var (
	errKeyOpen = errors.New("other users may read or write it: give it the mode 0600 or 0640")
	errKeyForm = errors.New("is not one secret in base64, as tsig-keygen prints it")
	errKeyWeak = fmt.Errorf("has fewer than %d bytes", minDNSKey)
)

// minDNSKey is the least length of a secret, in bytes: 128 bits.
const minDNSKey = 16

// ReadDNSKey reads the secret of the key for DNS-01 from a file, and returns it in base64.
// An error does not show it.
func ReadDNSKey(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o027 != 0 {
		return "", errKeyOpen
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := plaintext.Word(string(plaintext.Content(content)))
	key, err := base64.StdEncoding.DecodeString(secret)
	switch {
	case err != nil || secret == "":
		return "", errKeyForm
	case len(key) < minDNSKey:
		return "", errKeyWeak
	}
	return secret, nil
}
