package privateca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"time"
)

// selfLifetime is the lifetime of a self-signed certificate. It is long, because no
// program renews such a certificate and its users know its key.
const selfLifetime = 10 * 365 * 24 * time.Hour

// Self writes a self-signed certificate for hosts, which are names or addresses, and its
// key into two files that must not exist yet.
func Self(hosts []string, certFile, keyFile string) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t, err := template(hosts[0])
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	t.NotAfter = time.Now().Add(selfLifetime)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true // so that it can be an authority for itself
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign,
		[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := newPEM(keyFile, "PRIVATE KEY", private); err != nil {
		return nil, err
	}
	if err := newPEM(certFile, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newPEM is writePEM for a file that must not exist.
func newPEM(file, kind string, der []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
}
