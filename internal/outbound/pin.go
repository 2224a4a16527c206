package outbound

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
)

// PinError says that the server has another key than the pinned one.
type PinError struct {
	Seen [sha256.Size]byte // of the server's key
}

func (e *PinError) Error() string {
	return "the server's certificate has another public key than the pinned one: sha256//" +
		base64.StdEncoding.EncodeToString(e.Seen[:])
}

// tls returns the TLS settings by which servers prove their identity.
func (o Options) tls() *tls.Config {
	c := &tls.Config{RootCAs: o.Roots, MinVersion: cmp.Or(o.MinTLS, tls.VersionTLS13)}
	if o.Pin != nil {
		c.InsecureSkipVerify = true // the key is known: VerifyConnection compares it on every connection
		c.VerifyConnection = func(s tls.ConnectionState) error {
			seen := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo) // a server always shows one
			if subtle.ConstantTimeCompare(seen[:], o.Pin) == 1 {
				return nil
			}
			return &PinError{Seen: seen}
		}
	}
	return c
}
