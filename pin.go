package amtp

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Pin is the SHA-256 of the public key in a certificate, as SubjectPublicKeyInfo.
// It stays the same when the certificate is renewed with the same key.
type Pin [sha256.Size]byte

// pinPrefix is how curl and others write a pin.
const pinPrefix = "sha256//"

// PinOf returns the pin of a certificate.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String writes the pin as sha256// and base64, which curl --pinnedpubkey takes.
func (p Pin) String() string { return pinPrefix + base64.StdEncoding.EncodeToString(p[:]) }

// ParsePin reads a pin: sha256// and base64, base64 alone, or 64 hexadecimal
// digits with colons between them or without.
func ParsePin(s string) (Pin, error) {
	s = strings.TrimPrefix(strings.TrimSpace(s), pinPrefix)
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != sha256.Size {
		b, err = base64.StdEncoding.DecodeString(s)
	}
	if err != nil || len(b) != sha256.Size {
		return Pin{},
			errors.New("a pin is the SHA-256 of a certificate's public key: sha256// and 44 characters in base64, or 64 hexadecimal digits")
	}
	return Pin(b), nil
}

// TLS returns a configuration that accepts only a server with this pin. Its certificate may
// have any issuer, any name and any age.
func (p Pin) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection compares the key on every connection
		VerifyConnection: func(s tls.ConnectionState) error {
			seen := PinOf(s.PeerCertificates[0]) // a server always shows one
			if subtle.ConstantTimeCompare(seen[:], p[:]) != 1 {
				return fmt.Errorf("its certificate has the key %s, which is not the pinned one", seen)
			}
			return nil
		},
	}
}

// HTTP returns a client for [Client.HTTP] that connects only to a server with this pin.
func (p Pin) HTTP() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig, t.ForceAttemptHTTP2 = p.TLS(), true
	return &http.Client{Transport: t}
}
