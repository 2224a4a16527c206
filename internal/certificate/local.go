package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Local is the certificate for callers on this machine that name no host, such as the
// commands that find the gateway by its data directory. No authority certifies
// 127.0.0.1, and there may be no other certificate yet. It is made anew at each start,
// its key is only in memory, and it proves nothing to other machines.
type Local struct {
	cert *tls.Certificate
	pem  []byte
}

// localTime is longer than a gateway runs without a restart.
const localTime = 10 * 365 * 24 * time.Hour

// NewLocal makes the certificate for the loopback addresses.
func NewLocal(now time.Time) (*Local, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "amtp gateway on this machine"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(localTime),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Local{
		cert: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil
}

// PEM returns the certificate, without its key.
func (l *Local) PEM() string { return string(l.pem) }

// Before returns a function that shows the certificates of a source. To callers on this
// machine that could not trust those it shows the local certificate.
func (l *Local) Before(s Source) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := s.Certificate(hello)
		if hello.ServerName != "" {
			return cert, err
		}
		to, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
		if !ok || !to.IP.IsLoopback() || err == nil && cert.Leaf.VerifyHostname(to.IP.String()) == nil {
			return cert, err
		}
		return l.cert, nil
	}
}
