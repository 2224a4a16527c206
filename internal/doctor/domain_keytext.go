package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/amtp-go/amtp"
)

// fault says why a text is no valid key record.
type fault struct {
	text string // what is wrong
	hint string // a further step besides publishing the right record, "" for none
}

// keyTag is one parameter of a record, however it is written.
type keyTag struct {
	name, value string
	spaced      bool // a space is next to the =
}

func keyTagsOf(txt string) (tags []keyTag) {
	for segment := range strings.SplitSeq(txt, ";") {
		if name, value, ok := strings.Cut(segment, "="); ok {
			name = strings.TrimLeft(name, " ")
			spaced := strings.HasSuffix(name, " ") || strings.HasPrefix(value, " ")
			tags = append(tags, keyTag{strings.TrimSpace(name), value, spaced})
		}
	}
	return tags
}

// meansKey reports whether a text is meant as a key record, however it is written.
// Other texts may be at the name, for example by a wildcard.
func meansKey(txt string) bool {
	return strings.Contains(strings.ToLower(txt), "amtp") || strings.HasPrefix(strings.ToLower(txt), "v=dkim1")
}

// keyFault says why a text is no valid key record, as far as that can be told. The zero
// fault means that it is valid. AMTP §2.
func keyFault(txt string) fault {
	_, err := amtp.ParseKeyRecord(txt)
	if err == nil {
		return fault{}
	}
	for _, look := range []func(string) fault{formFault, versionFault, tagFault, valueFault} {
		if f := look(txt); f.text != "" {
			return f
		}
	}
	return fault{text: err.Error()}
}

// formFault: the value has additions of a web form or a zone file.
func formFault(txt string) fault {
	switch {
	case strings.Contains(txt, "PRIVATE KEY"):
		return revealed
	case strings.Contains(txt, "-----BEGIN"):
		return fault{"it has the lines of a PEM file in it", "p is the base64 between them, in one piece"}
	case strings.Contains(txt, `\`):
		return fault{"it has backslashes in it, which others read as they are",
			`enter the value without them: ; and not \;`}
	case strings.ContainsAny(txt, "\"'“”„"):
		return fault{"it has quotation marks in it, which others read as they are", "enter the value without them"}
	}
	if i := strings.IndexFunc(txt, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		return fault{fmt.Sprintf("the character at its byte %d is not printable ASCII", i+1),
			"type the value anew: it was copied from a formatted text"}
	}
	return fault{}
}

var revealed = fault{"it has the PRIVATE key, which everybody can read now",
	"remove it, make another key at once with amtp keys generate, and use that one"}

// versionFault: the version is another one, or is written in other letters.
func versionFault(txt string) fault {
	var version string
	other, found := "", false
	for _, t := range keyTagsOf(txt) {
		switch lower := strings.ToLower(t.name); {
		case lower == "v":
			version, found = strings.TrimSpace(t.value), true
			fallthrough
		case lower == "alg" || lower == "p":
			if t.name != lower {
				other = t.name
			}
		}
	}
	switch {
	case !found && strings.Contains(strings.ToLower(txt), "amtpkey1"):
		return fault{"it does not have v=amtpkey1 in this form", "its parameters are separated by ;"}
	case !found:
		return fault{"v=amtpkey1 is missing", ""}
	case version == "amtp1":
		return fault{"it is written in a form from before the protocol had one, v=amtp1;k=…, which other gateways do not read",
			""}
	case strings.EqualFold(version, "amtpkey1") && version != "amtpkey1":
		return fault{fmt.Sprintf("it says v=%.20s; the version is written in small letters, amtpkey1", version), ""}
	case version != "amtpkey1":
		return fault{fmt.Sprintf("it says v=%.40s, and records of keys say v=amtpkey1", version), ""}
	case other != "":
		return fault{fmt.Sprintf("it says %s=; the names of the parameters are written in small letters", other), ""}
	}
	return fault{}
}

// tagFault: a parameter is missing, occurs twice, or has an impossible value.
func tagFault(txt string) fault {
	values := map[string]string{}
	for _, t := range keyTagsOf(txt) {
		if _, twice := values[t.name]; twice {
			return fault{fmt.Sprintf("%.40s is in it twice", t.name), ""}
		}
		if t.spaced {
			return fault{fmt.Sprintf("there is a space next to the = of %.40s", t.name),
				"enter the value without spaces"}
		}
		values[t.name] = t.value
	}
	algorithm, p := values["alg"], values["p"]
	_, hasAlgorithm := values["alg"]
	_, hasK := values["k"]
	_, hasP := values["p"]
	switch upper := strings.ToUpper(strings.TrimSpace(algorithm)); {
	case !hasAlgorithm && hasK:
		return fault{"it says k= in place of alg=", ""}
	case !hasAlgorithm:
		return fault{"alg is missing", ""}
	case algorithm != upper && (upper == amtp.ES256 || upper == amtp.RS256):
		return fault{fmt.Sprintf("it says alg=%s; the algorithm is written %s", algorithm, upper), ""}
	case algorithm != amtp.ES256 && algorithm != amtp.RS256:
		return fault{fmt.Sprintf("it says alg=%.40s, and keys are for ES256 or RS256", algorithm), ""}
	case !hasP:
		return fault{"p, the key, is missing", ""}
	case p == "":
		return fault{"p, the key, is empty; a key is withdrawn by removing its record", ""}
	}
	return fault{}
}

// oneString is the hint for a form that does not accept the whole value.
const oneString = "a string of DNS has 255 bytes at the most: enter the value as several strings of one record, with nothing between them; amtp domain setup prints them"

// valueFault: p is no key, or is a key of another algorithm.
func valueFault(txt string) fault {
	var algorithm, p string
	for _, t := range keyTagsOf(txt) {
		switch t.name {
		case "alg":
			algorithm = t.value
		case "p":
			p = t.value
		}
	}
	switch {
	case strings.ContainsAny(p, " \t"):
		return fault{"there are spaces in p: its strings were joined with something between them, or the form added them",
			"enter p in one piece, or as strings of one record with nothing between them"}
	case strings.ContainsAny(p, "-_"):
		return fault{"p is base64url; it is to be standard base64, with + and /", ""}
	}
	bare := strings.TrimRight(p, "=")
	if i := strings.IndexFunc(bare, notBase64); i >= 0 {
		return fault{fmt.Sprintf("the character %q in p is not base64", bare[i:i+1]), ""}
	}
	whole, err := base64.RawStdEncoding.DecodeString(bare[:len(bare)/4*4])
	if wants := derLength(whole); err == nil && wants > 0 && len(bare) < base64.RawStdEncoding.EncodedLen(wants) {
		return fault{fmt.Sprintf("p is cut off: it has %d characters of %d", len(p),
			base64.StdEncoding.EncodedLen(wants)), oneString}
	}
	der, err := base64.RawStdEncoding.DecodeString(bare)
	switch {
	case err != nil:
		return fault{"p is not base64", ""}
	case len(p) != base64.StdEncoding.EncodedLen(len(der)):
		return fault{fmt.Sprintf("p has %d times = at its end in place of %d", len(p)-len(bare),
			base64.StdEncoding.EncodedLen(len(der))-len(bare)), "the = at the end belong to the value"}
	}
	if wants := derLength(der); wants > 0 && wants < len(der) {
		return fault{fmt.Sprintf("p has %d bytes more than the key", len(der)-wants),
			"enter one key, and nothing behind it"}
	}
	return derFault(algorithm, der)
}

func notBase64(r rune) bool {
	return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '/')
}

// derLength returns the length in bytes that the header of a DER sequence announces,
// with the header; 0 for anything else.
func derLength(der []byte) int {
	if len(der) < 4 || der[0] != 0x30 {
		return 0
	}
	switch size := int(der[1]); {
	case size < 0x80:
		return size + 2
	case size == 0x81:
		return int(der[2]) + 3
	case size == 0x82:
		return int(der[2])<<8 + int(der[3]) + 4
	}
	return 0
}

// spki is the hint for making the value from a key file.
const spki = "what p says is printed by: openssl pkey -in key.pem -pubout -outform DER | openssl base64 -A"

// derFault: the key is not for the algorithm, or the DER is no key.
func derFault(algorithm string, der []byte) fault {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return strangeFault(der)
	}
	is := ""
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return fault{fmt.Sprintf("the key is an EC key on %s, and ES256 takes one on P-256",
				key.Curve.Params().Name), ""}
		}
		is = amtp.ES256
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 {
			return fault{fmt.Sprintf("the RSA key has %d bits, which is too weak: others take 2048 or more", bits),
				"make another: amtp keys generate --alg rs256"}
		}
		is = amtp.RS256
	default:
		return fault{"the key is neither one on P-256 nor an RSA key", ""}
	}
	if is != algorithm {
		return fault{fmt.Sprintf("it says alg=%s, and the key is one for %s", algorithm, is), ""}
	}
	return fault{} // the parser says what it is
}

// strangeFault: the DER is no SubjectPublicKeyInfo.
func strangeFault(der []byte) fault {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return revealed
	}
	if _, err := x509.ParseECPrivateKey(der); err == nil {
		return revealed
	}
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return revealed
	}
	if _, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return fault{"p is an RSA key in the form PKCS #1 and not SubjectPublicKeyInfo", spki}
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return fault{"p is a certificate and not its key", spki}
	}
	if len(der) == 65 && der[0] == 4 || len(der) == 33 && (der[0] == 2 || der[0] == 3) {
		return fault{"p is the bare point of an EC key and not SubjectPublicKeyInfo", spki}
	}
	return fault{"p is no public key in the form SubjectPublicKeyInfo", spki}
}

// torn reports whether the texts at a name are the strings of one record, each
// published as a separate record. DNS keeps no order.
func torn(txts []string) bool {
	if len(txts) < 2 || len(txts) > 4 {
		return false
	}
	var join func(begun string, left []string) bool
	join = func(begun string, left []string) bool {
		if len(left) == 0 {
			_, err := amtp.ParseKeyRecord(begun)
			return err == nil
		}
		for i := range left {
			rest := append(append([]string{}, left[:i]...), left[i+1:]...)
			if join(begun+left[i], rest) {
				return true
			}
		}
		return false
	}
	return join("", txts)
}
