package amtp

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// maxKeyFile bounds a file with a key in bytes: an RSA key of 8192 bits has about 6,500,
// and the file may also have a chain of certificates.
const maxKeyFile = 64 << 10

// The commands that make a key with which a domain can sign.
const (
	makeES256 = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
	makeRS256 = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem"
)

// ParseSigningKey reads the one private key of a PEM file, for [NewSigner]: an EC
// key on P-256, which signs ES256, or an RSA key of 2048 to 8192 bits, which
// signs RS256. It takes the forms that openssl writes: PRIVATE KEY (PKCS #8), EC
// PRIVATE KEY (SEC 1) and RSA PRIVATE KEY (PKCS #1). It skips certificates, public keys
// and parameters in the file, a byte order mark, spaces around the lines and the line ends
// of Windows. The error says what the file has instead, and which command makes a good
// one; it never shows the file.
func ParseSigningKey(file []byte) (crypto.Signer, error) {
	text, err := keyText(file)
	if err != nil {
		return nil, err
	}
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var private *pem.Block
	beside := ""
	for _, b := range blocks {
		switch {
		case b.Type == "EC PARAMETERS" || b.Type == "DSA PARAMETERS" || b.Type == "DH PARAMETERS":
		case !strings.HasSuffix(b.Type, "PRIVATE KEY"):
			beside = b.Type
		case private != nil:
			return nil,
				errors.New("the file has several private keys, and only one can sign: give each a file of its own")
		default:
			private = b
		}
	}
	if private == nil {
		return nil, noPrivateKey(beside)
	}
	return readPrivateKey(private)
}

// keyText returns the text of a file, with the lines trimmed.
func keyText(file []byte) (string, error) {
	switch {
	case len(file) > maxKeyFile:
		return "", fmt.Errorf("the file has more than %d bytes, so it is no key", maxKeyFile)
	case bytes.HasPrefix(file, []byte("\xff\xfe")) || bytes.HasPrefix(file, []byte("\xfe\xff")):
		return "", errors.New("the file is UTF-16 text; write it as ASCII: iconv -f UTF-16 -t ASCII FILE > key.pem")
	case len(bytes.TrimSpace(file)) == 0:
		return "", errors.New("the file is empty; a key is made with: " + makeES256)
	}
	text := strings.TrimPrefix(string(file), "\ufeff")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// pemBlocks splits a text into its blocks. A damaged block is an error: the standard
// package would skip it, and another key would sign than the intended one.
func pemBlocks(text string) (blocks []*pem.Block, err error) {
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	switch begun := strings.Count("\n"+text, "\n-----BEGIN "); {
	case begun > len(blocks):
		return nil,
			errors.New("a block of the file is damaged: from -----BEGIN to -----END every line must be as it was written")
	case len(blocks) > 0:
		return blocks, nil
	case strings.HasPrefix(text, "{"):
		return nil,
			errors.New("the file is JSON, perhaps a JWK; a key is to be in PEM form, which begins with -----BEGIN PRIVATE KEY-----")
	case strings.HasPrefix(text, "0\x82") || strings.HasPrefix(text, "0\x81") || strings.HasPrefix(text, "0w"):
		return nil,
			errors.New("the file is binary, perhaps DER; write it in PEM form: openssl pkey -inform DER -in FILE -out key.pem")
	}
	return nil, errors.New("the file is not in PEM form, which begins with -----BEGIN PRIVATE KEY-----")
}

// noPrivateKey says what a file has instead of a private key.
func noPrivateKey(kind string) error {
	switch {
	case strings.HasSuffix(kind, "CERTIFICATE"):
		return errors.New("this is a certificate, and what signs is a private key; a new one is made with: " +
			makeES256)
	case strings.HasSuffix(kind, "PUBLIC KEY"):
		return errors.New("this is a public key, and what signs is the private one: it is in the file that this was made from")
	case kind == "":
		return errors.New("the file has only parameters and no key; a key is made with: " + makeES256)
	}
	return fmt.Errorf("the file has %s and no private key; one is made with: %s", quoteShort(kind), makeES256)
}

// readPrivateKey reads a block that says that it is a private key.
func readPrivateKey(b *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch {
	case b.Type == "ENCRYPTED PRIVATE KEY" || len(b.Headers) > 0:
		return nil,
			errors.New("the key is encrypted, and a gateway cannot ask for its passphrase; write it without: openssl pkey -in FILE -out key.pem")
	case b.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case b.Type == "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case b.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case b.Type == "OPENSSH PRIVATE KEY":
		return nil, unfitKey("a key of OpenSSH")
	default:
		return nil, unfitKey("a key of the kind " + quoteShort(b.Type))
	}
	if err != nil {
		return nil, unreadableKey(b)
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if key.Curve != elliptic.P256() {
			return nil, unfitKey("an EC key on " + key.Curve.Params().Name)
		}
		return key, nil
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil,
				fmt.Errorf("this is an RSA key of %d bits, which is too weak: it must have %d to %d; a key is made with: %s",
					bits, minRSA, maxRSA, makeRS256)
		}
		return key, checkKey(KeyRecord{Algorithm: RS256, Key: &key.PublicKey})
	case ed25519.PrivateKey:
		return nil, unfitKey("an Ed25519 key")
	case *ecdh.PrivateKey:
		return nil, unfitKey("an X25519 key")
	}
	return nil, unfitKey("a key of another algorithm")
}

// unfitKey refuses a key that cannot sign for a domain. AMTP §9.
func unfitKey(what string) error {
	return fmt.Errorf("this is %s; a domain signs with an EC key on P-256 (ES256) or an RSA key (RS256), made with: %s; or: %s",
		what, makeES256, makeRS256)
}

// otherAlgorithms are algorithms of keys that openssl writes but that cannot sign for a
// domain.
var otherAlgorithms = map[string]string{
	"1.2.840.113549.1.1.10": "an RSA key for PSS only", "1.2.840.10040.4.1": "a DSA key", "1.3.101.111": "an X448 key",
	"1.3.101.113": "an Ed448 key",
}

// The names of EC keys and of the curve P-256 in ASN.1. RFC 5480 §2.1.
var (
	oidEC   = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
)

// unreadableKey says why the standard package could not read a key.
func unreadableKey(b *pem.Block) error {
	damaged := errors.New("the private key is damaged, or of another kind than the file says; a new one is made with: " +
		makeES256)
	curve := asn1.RawValue{}
	switch b.Type {
	case "PRIVATE KEY":
		var key struct {
			Version   int
			Algorithm pkix.AlgorithmIdentifier
			Key       []byte
		}
		if _, err := asn1.Unmarshal(b.Bytes, &key); err != nil {
			return damaged
		}
		if name := otherAlgorithms[key.Algorithm.Algorithm.String()]; name != "" {
			return unfitKey(name)
		}
		if !key.Algorithm.Algorithm.Equal(oidEC) {
			return damaged
		}
		curve = key.Algorithm.Parameters
	case "EC PRIVATE KEY":
		var key struct {
			Version int
			Key     []byte
			Curve   asn1.RawValue `asn1:"optional,tag:0"`
		}
		if _, err := asn1.Unmarshal(b.Bytes, &key); err != nil {
			return damaged
		}
		if _, err := asn1.Unmarshal(key.Curve.Bytes, &curve); err != nil {
			return damaged
		}
	default:
		return damaged
	}
	var named asn1.ObjectIdentifier
	switch _, err := asn1.Unmarshal(curve.FullBytes, &named); {
	case err != nil:
		return errors.New("this is an EC key with its curve written out in numbers; name the curve: openssl ec -in FILE -param_enc named_curve -out key.pem")
	case named.Equal(oidP256):
		return damaged
	}
	return unfitKey("an EC key on another curve")
}
