package amtp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
)

// The algorithms of signatures. We sign with ES256 and verify all. AMTP §9.
const (
	ES256 = "ES256" // ECDSA, P-256, SHA-256; the signature is r‖s, 64 bytes
	RS256 = "RS256" // RSASSA-PKCS1-v1_5, SHA-256
	EdDSA = "EdDSA" // Ed25519, over the canonical form itself
)

// Bounds of RSA keys in bits: weaker ones prove nothing, stronger ones cost the
// verifier milliseconds.
const (
	minRSA = 2048
	maxRSA = 8192
)

// KeyRecord is the public key that a domain publishes in the TXT record at
// {selector}._amtpkey.{domain}. The zero Key means that it was revoked. AMTP §9.
type KeyRecord struct {
	Algorithm string           // ES256, RS256 or EdDSA
	Key       crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey or nil
}

// Revoked reports whether the domain says that this key is not used any more.
func (k KeyRecord) Revoked() bool { return k.Key == nil }

// String writes the record.
func (k KeyRecord) String() string {
	p := ""
	if der, err := x509.MarshalPKIXPublicKey(k.Key); err == nil {
		p = base64.StdEncoding.EncodeToString(der)
	}
	return "v=amtp1;k=" + k.Algorithm + ";p=" + p
}

// KeyRecordName returns the name at which a domain publishes the key that the
// selector names: {selector}._amtpkey.{domain}. It is an error when selector is
// no DNS label or several with dots between them, or the whole is too long.
func KeyRecordName(selector string, d Domain) (string, error) {
	for label := range strings.SplitSeq(selector, ".") {
		if checkLabel(label) != nil || label != strings.ToLower(label) {
			return "", fmt.Errorf("%s is not a selector: use lower-case letters, digits and hyphens", quoteShort(selector))
		}
	}
	name := selector + "._amtpkey." + string(d)
	if len(name) > maxDomain {
		return "", fmt.Errorf("the selector %s is too long for a name in DNS", quoteShort(selector))
	}
	return name, nil
}

// ParseKeyRecord reads one TXT record: v=amtp1;k=ES256;p={base64 of the key as
// SubjectPublicKeyInfo}. Tags stand in any order and case, with spaces around
// them and in p; unknown tags are ignored; an empty p is a revoked key. ES256
// is a key on P-256, RS256 an RSA key of 2048 to 8192 bits, EdDSA one of
// Ed25519. The error is ErrNoRecord or ErrBadRecord. AMTP §9.
func ParseKeyRecord(txt string) (KeyRecord, error) {
	tags, err := parseTags(txt, "v", "k", "p")
	if err != nil {
		return KeyRecord{}, err
	}
	k, err := parseKey(tags)
	if err != nil {
		return KeyRecord{}, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	return k, nil
}

func parseKey(tags map[string]string) (KeyRecord, error) {
	var k KeyRecord
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		if strings.EqualFold(tags["k"], algorithm) {
			k.Algorithm = algorithm
		}
	}
	if k.Algorithm == "" {
		return KeyRecord{}, errors.New("the tag k is none of ES256, RS256 and EdDSA")
	}
	p, ok := tags["p"]
	if !ok {
		return KeyRecord{}, errors.New("the tag p is missing")
	}
	if p == "" {
		return k, nil
	}
	der, ok := decodeBase64(strings.NewReplacer(" ", "", "\t", "").Replace(p))
	if !ok {
		return KeyRecord{}, errors.New("the tag p is not base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return KeyRecord{}, errors.New("the tag p is not a public key in the form SubjectPublicKeyInfo")
	}
	k.Key = key
	return k, checkKey(k)
}

// checkKey checks that the key is of the kind that its algorithm needs.
func checkKey(k KeyRecord) error {
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		if k.Algorithm == ES256 && key.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		if k.Algorithm == EdDSA {
			return nil
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("the RSA key has %d bits; it must have %d to %d", bits, minRSA, maxRSA)
		}
		if key.E < 3 || key.E > math.MaxInt32 || key.E%2 == 0 || key.N.Bit(0) == 0 {
			return errors.New("the numbers of the RSA key are not those of a key")
		}
		if k.Algorithm == RS256 {
			return nil
		}
	}
	return fmt.Errorf("the key is not one for %s", k.Algorithm)
}

// decodeBase64 decodes the standard alphabet with padding, and nothing beside
// it: the package's decoder skips line breaks.
func decodeBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, false // not what was read before the error
	}
	return b, true
}

// ChooseKeyRecord reads the key among the TXT strings at a name, each joined
// from its pieces of 255 bytes. Strings without v=amtp1 are ignored. The error
// is a *SignatureError: key-missing, which wraps ErrNoRecord, key-invalid for a
// malformed record and key-ambiguous when two records do not say the same.
func ChooseKeyRecord(txts []string) (KeyRecord, error) {
	var found *KeyRecord
	var bad error
	for _, txt := range txts {
		k, err := ParseKeyRecord(txt)
		switch {
		case errors.Is(err, ErrNoRecord):
		case err != nil && found == nil && bad == nil:
			bad = err
		case err != nil || bad != nil || found != nil && found.String() != k.String():
			return KeyRecord{}, &SignatureError{Reason: ReasonKeyAmbiguous, Cause: ErrRecordsDiffer}
		default:
			found = &k
		}
	}
	switch {
	case bad != nil:
		return KeyRecord{}, &SignatureError{Reason: ReasonKeyInvalid, Cause: bad}
	case found == nil:
		return KeyRecord{}, &SignatureError{Reason: ReasonKeyMissing, Cause: ErrNoRecord}
	}
	return *found, nil
}
