// Package certificate keeps the certificates that the gateway's listener shows.
// They come from files that another program renews, or from an authority over ACME
// (RFC 8555), with the library certmagic.
//
// The promise: a certificate that works stays in use until there is a better one,
// whatever happens to its files, to the authority or to the network. A change does
// not touch open connections. Private keys that the gateway generated are stored
// sealed; otherwise they are in memory only, and in no log. After a crash the gateway
// uses the stored certificate again, and asks the authority no sooner than before.
package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// Source is where the certificates of a listener come from: files or ACME. Its
// methods may be called at the same time.
type Source interface {
	// Certificate returns the certificate for a caller. It serves as
	// tls.Config.GetCertificate. It fails with ErrNone while there is none.
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// Run keeps the certificates fresh until ctx ends, which is no error.
	Run(ctx context.Context) error

	// Renew looks now for certificates that are due, missing, or were refused
	// before; with force, for all. It reports whether the certificates in use have
	// changed. An error says why some have not; the former ones stay in use.
	Renew(ctx context.Context, force bool) (changed bool, err error)

	// List describes the certificates in use. It does no I/O.
	List() admin.CertificateList
}

// ErrNone says that there is no certificate to show yet.
var ErrNone = errors.New("there is no certificate yet")

// describe returns the facts about a certificate; leaf is nil while there is none.
func describe(leaf *x509.Certificate, now time.Time) admin.Certificate {
	c := admin.Certificate{State: admin.CertificateMissing}
	if leaf == nil {
		return c
	}
	c.State = admin.CertificateValid
	if !inForce(leaf, now) {
		c.State = admin.CertificateExpired
	}
	c.Hosts = append(c.Hosts, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		c.Hosts = append(c.Hosts, ip.String())
	}
	c.Issuer = leaf.Issuer.String()
	c.Serial = leaf.SerialNumber.Text(16)
	c.NotBefore, c.NotAfter = amtp.Time{Time: leaf.NotBefore}, amtp.Time{Time: leaf.NotAfter}
	c.DaysLeft = int(math.Floor(leaf.NotAfter.Sub(now).Hours() / 24))
	return c
}

// inForce reports whether callers can trust a certificate now.
func inForce(leaf *x509.Certificate, now time.Time) bool {
	return !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter)
}
