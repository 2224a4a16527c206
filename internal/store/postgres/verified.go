package postgres

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// UnverifiedError says that a connection to a database on another machine would not
// prove that it is the right one: whoever is on the way could read and change
// everything, the password among it.
type UnverifiedError struct{ Host string }

func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("the database at %s is on another machine, and its certificate would not be verified: write sslmode=verify-full, with sslrootcert=FILE where its authority is your own",
		e.Host)
}

// Verified returns an [*UnverifiedError] for an address, as a URL or as keywords, by
// which a server that is not on this machine would be believed without a certificate
// that verifies, or with no encryption at all. The system's own variables, PGSSLMODE
// among them, count. Another error is of an address that cannot be read.
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

// verifies reports whether a certificate is looked at: by its name as well
// (verify-full), or by its authority alone (verify-ca).
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
