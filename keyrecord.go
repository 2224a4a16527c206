package amtp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
)

// The algorithms of signatures. AMTP §9.
const (
	ES256 = "ES256" // ECDSA, P-256, SHA-256; the signature is r‖s, 64 bytes
	RS256 = "RS256" // RSASSA-PKCS1-v1_5, SHA-256
)

// Bounds of RSA keys in bits: weaker keys prove nothing, stronger ones cost the verifier
// milliseconds.
const (
	minRSA = 2048
	maxRSA = 8192
)

// keyVersion is the version of the record of a key. AMTP §2.
const keyVersion = "amtpkey1"

// KeyRecord is the public key that a domain publishes in the TXT record at
// {selector}._amtpkey.{domain}. AMTP §2.
type KeyRecord struct {
	Algorithm string           // ES256 or RS256
	Key       crypto.PublicKey // *ecdsa.PublicKey or *rsa.PublicKey
}

// String writes the record: v=amtpkey1;alg=ES256;p={base64 of the key}.
func (k KeyRecord) String() string {
	p := ""
	if der, err := x509.MarshalPKIXPublicKey(k.Key); err == nil {
		p = base64.StdEncoding.EncodeToString(der)
	}
	return "v=" + keyVersion + ";alg=" + k.Algorithm + ";p=" + p
}

// KeyRecordName returns the name at which a domain publishes the key that the
// selector names: {selector}._amtpkey.{domain}. The selector is one label of
// lower-case letters, digits and hyphens, with no hyphen at either end. It is an
// error when the selector is another text, or when the whole name is too long.
// AMTP §2.
func KeyRecordName(selector string, d Domain) (string, error) {
	if !isSelector(selector) {
		return "", fmt.Errorf("%s is not a selector: use up to 63 lower-case letters, digits and hyphens",
			quoteShort(selector))
	}
	name := selector + "._amtpkey." + string(d)
	if len(name) > maxDomain {
		return "", fmt.Errorf("the selector %s is too long for a name in DNS", quoteShort(selector))
	}
	return name, nil
}

// isSelector reports whether s is [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?, which is stricter
// than a label in DNS. AMTP §2.
func isSelector(s string) bool {
	return s != "" && len(s) <= maxLabel && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// ParseKeyRecord reads one TXT record: v=amtpkey1;alg=ES256;p={standard base64,
// padded, of the key as DER SubjectPublicKeyInfo}. Parameters may have any order, and
// spaces between them; their names and values are case-sensitive. Unknown parameters are
// ignored; a parameter that occurs twice makes the record invalid. ES256 needs a key on
// P-256, RS256 an RSA key of 2048 to 8192 bits. The error is ErrNoRecord or ErrBadRecord.
// AMTP §2.
func ParseKeyRecord(txt string) (KeyRecord, error) {
	tags, err := keyTags(txt)
	if err != nil {
		return KeyRecord{}, err
	}
	k, err := parseKey(tags)
	if err != nil {
		return KeyRecord{}, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	return k, nil
}

// keyTags splits the parameters of a key's record. Unlike those of a gateway's record they
// are read strictly: every verifier must find the same key. A text without v=amtpkey1 is
// no record of a key, whatever else it has.
func keyTags(txt string) (map[string]string, error) {
	tags := make(map[string]string, 4)
	ours, again := false, []string(nil)
	for segment := range strings.SplitSeq(txt, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(segment), "=")
		if !ok {
			continue
		}
		if _, stands := tags[name]; stands {
			again = append(again, name)
		}
		tags[name] = value
		ours = ours || name == "v" && value == keyVersion
	}
	switch {
	case !ours:
		return nil, ErrNoRecord
	case len(again) > 0:
		return nil, fmt.Errorf("%w: the parameter %s occurs twice", ErrBadRecord, quoteShort(again[0]))
	case len(txt) > maxRecord:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrBadRecord, maxRecord)
	}
	return tags, nil
}

func parseKey(tags map[string]string) (KeyRecord, error) {
	k := KeyRecord{Algorithm: tags["alg"]}
	if k.Algorithm != ES256 && k.Algorithm != RS256 {
		return KeyRecord{}, errors.New("the parameter alg is neither ES256 nor RS256")
	}
	if tags["p"] == "" {
		return KeyRecord{}, errors.New("the parameter p is missing")
	}
	der, ok := decodeBase64(base64.StdEncoding, tags["p"])
	if !ok {
		return KeyRecord{}, errors.New("the parameter p is not padded standard base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return KeyRecord{}, errors.New("the parameter p is not a public key in the form SubjectPublicKeyInfo")
	}
	k.Key = key
	return k, checkKey(k)
}

// checkKey checks that the key has the kind that its algorithm needs.
func checkKey(k KeyRecord) error {
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		if k.Algorithm == ES256 && key.Curve == elliptic.P256() {
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

// decodeBase64 accepts only the encoding's alphabet: the standard decoder skips line
// breaks.
func decodeBase64(e *base64.Encoding, s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := e.Strict().DecodeString(s)
	if err != nil {
		return nil, false // without the bytes that were read before the error
	}
	return b, true
}

// ChooseKeyRecord reads the key among the TXT strings at a name, each joined from its
// pieces of 255 bytes. Exactly one of them must be a valid record; other strings are
// ignored. The error is a *SignatureError: key-missing, which wraps ErrNoRecord, if no
// string has v=amtpkey1; key-invalid if no string that has it is valid; key-ambiguous if
// several are valid, even if they have the same key. AMTP §2.
func ChooseKeyRecord(txts []string) (KeyRecord, error) {
	var found KeyRecord
	var bad error
	valid := 0
	for _, txt := range txts {
		k, err := ParseKeyRecord(txt)
		switch {
		case errors.Is(err, ErrNoRecord):
		case err != nil:
			bad = err
		default:
			found, valid = k, valid+1
		}
	}
	switch {
	case valid > 1:
		return KeyRecord{}, &SignatureError{Reason: ReasonKeyAmbiguous, Cause: ErrSeveralRecords}
	case valid == 0 && bad != nil:
		return KeyRecord{}, &SignatureError{Reason: ReasonKeyInvalid, Cause: bad}
	case valid == 0:
		return KeyRecord{}, &SignatureError{Reason: ReasonKeyMissing, Cause: ErrNoRecord}
	}
	return found, nil
}
