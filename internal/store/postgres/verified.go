package postgres

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// UnverifiedError says that a connection to a database on another machine would not
// verify the server. An attacker on the network path could then read and change
// everything, including the password.
type UnverifiedError struct{ Host string }

func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("the database at %s is on another machine, and its certificate would not be verified: write sslmode=verify-full, with sslrootcert=FILE where its authority is your own",
		e.Host)
}

// Verified returns an [*UnverifiedError] for an address, as a URL or as keywords, that
// trusts a server on another machine without a verified certificate, or without
// encryption. The system's environment variables, such as PGSSLMODE, count. Another
// error means that the address cannot be read.
func Verified(url string) error {
	where, _ := behindProxy(url)
	cfg, err := pgconn.ParseConfig(where)
	if err != nil {
		return err
	}
	if !nearby(cfg.Host) && !verifies(cfg.TLSConfig) {
		return &UnverifiedError{cfg.Host}
	}
	for _, f := range cfg.Fallbacks {
		if !nearby(f.Host) && !verifies(f.TLSConfig) {
			return &UnverifiedError{f.Host}
		}
	}
	return nil
}

// verifies reports whether the certificate is verified: with its name (verify-full), or
// only its authority (verify-ca).
func verifies(c *tls.Config) bool {
	return c != nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil || c.VerifyConnection != nil)
}

// nearby reports whether a host is this machine: a directory with a socket, or a
// loopback address.
func nearby(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" ||
		err == nil && ip.Unmap().IsLoopback()
}
