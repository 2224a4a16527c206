package amtp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/amtp-go/amtp/internal/canonical"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// How far a signed message's timestamp may be from the verifier's clock. The first is longer
// than all retries of a message take. AMTP §8.
const (
	MaxSignatureAge  = 8 * 24 * time.Hour
	MaxSignatureSkew = 10 * time.Minute
)

// critical are the members that every signed message must have, so that a signature covers
// sender, recipient, time and id. The receiver fills in none of them. AMTP §9.
var critical = []string{"version", "message_id", "idempotency_key", "timestamp", "sender", "recipients"}

// maxSignatureValue bounds the text of a signature; that of an RSA key of 8192
// bits has 1366 characters.
const maxSignatureValue = 1366

// Signature is a message's claim about the domain that signed it. It keeps the message;
// [Signature.Verify] checks the claim.
type Signature struct {
	Algorithm string // ES256 or RS256
	Domain    Domain // the sender's, and no other
	Selector  string // names the key: see KeyRecordName
	value     []byte
	message   *Message
}

// ParseSignature reads a message's signature and checks all that needs no key:
// it has exactly the members algorithm, keyid and value, the algorithm is known,
// the keyid is a selector, the value is base64url without padding, and every
// critical member of the message is there. The next steps are the caller's:
//
//	err = amtp.CheckTimestamp(m.Timestamp.Time, now)
//	name, err := amtp.KeyRecordName(sig.Selector, sig.Domain)
//	key, err := amtp.ChooseKeyRecord(the TXT strings at name)
//	err = sig.Verify(key)
//
// The error is a *SignatureError: unsigned, malformed, unsupported-algorithm or
// incomplete. What could be read is returned with it, for the record. AMTP §9.
func ParseSignature(m *Message) (Signature, error) {
	s := Signature{Domain: m.Sender.Domain(), message: m}
	if m.Signature == nil {
		return s, &SignatureError{Reason: ReasonUnsigned}
	}
	wire, err := readSignature(m.Signature)
	if err != nil {
		return s, &SignatureError{Reason: ReasonMalformed, Cause: err}
	}
	if _, err := KeyRecordName(wire.keyid, s.Domain); err != nil {
		return s, &SignatureError{Reason: ReasonMalformed, Cause: err}
	}
	s.Selector = wire.keyid
	if wire.algorithm != ES256 && wire.algorithm != RS256 {
		return s, &SignatureError{Reason: ReasonUnsupportedAlgorithm,
			Cause: fmt.Errorf("the algorithm is %s", quoteShort(wire.algorithm))}
	}
	s.Algorithm = wire.algorithm
	if len(wire.value) <= maxSignatureValue {
		s.value, _ = decodeBase64(base64.RawURLEncoding, wire.value)
	}
	if len(s.value) == 0 {
		return s, &SignatureError{Reason: ReasonMalformed,
			Cause: errors.New("the value is not base64url, without padding, of a signature")}
	}
	return s, complete(m)
}

// signatureMembers are the three members of a signature.
type signatureMembers struct{ algorithm, keyid, value string }

// readSignature takes a signature apart. It must have exactly three members, each a string:
// any other member would not be covered by the signature.
func readSignature(object []byte) (w signatureMembers, err error) {
	members, err := strictjson.Object(object)
	if err != nil {
		return w, err
	}
	if len(members) != 3 {
		return w, fmt.Errorf("the signature has %d members; it has exactly algorithm, keyid and value", len(members))
	}
	for _, m := range members {
		s, ok := text(m.Value)
		if !ok {
			return w, fmt.Errorf("the signature's member %s is no string", quoteShort(m.Name))
		}
		switch m.Name {
		case "algorithm":
			w.algorithm = s
		case "keyid":
			w.keyid = s
		case "value":
			w.value = s
		default:
			return w, fmt.Errorf("the signature has the unknown member %s", quoteShort(m.Name))
		}
	}
	return w, nil
}

// complete checks that the message has every critical member.
func complete(m *Message) error {
	for _, name := range critical {
		if !m.has(name) {
			return &SignatureError{Reason: ReasonIncomplete, Cause: fmt.Errorf("the message has no %s", name)}
		}
	}
	return nil
}

// has reports whether a parsed message has the critical member. Null, an empty string and
// a zero time count as absent.
func (m *Message) has(name string) bool {
	switch name {
	case "version":
		return m.Version != ""
	case "message_id":
		return m.MessageID != ""
	case "idempotency_key":
		return m.IdempotencyKey != ""
	case "timestamp":
		return !m.Timestamp.IsZero()
	case "sender":
		return !m.Sender.IsZero()
	case "recipients":
		return len(m.Recipients) > 0
	}
	return false
}

// Verify checks the signature against the key that the caller found. The error
// is a *SignatureError: algorithm-mismatch, incomplete, inexact-number or
// bad-signature. It does not check the time: see [CheckTimestamp]. AMTP §9.
func (s Signature) Verify(key KeyRecord) error {
	if s.Algorithm == "" || key.Algorithm != s.Algorithm {
		return &SignatureError{Reason: ReasonAlgorithmMismatch, Cause: fmt.Errorf("the key is for %s", key.Algorithm)}
	}
	if err := complete(s.message); err != nil {
		return err
	}
	form, err := canonical.Members(s.message.members, "signature")
	if err != nil {
		return &SignatureError{Reason: ReasonInexactNumber, Cause: err}
	}
	digest := sha256.Sum256(form)
	ok := false
	switch key := key.Key.(type) {
	case *ecdsa.PublicKey:
		if len(s.value) == 64 {
			r, v := new(big.Int).SetBytes(s.value[:32]), new(big.Int).SetBytes(s.value[32:])
			ok = ecdsa.Verify(key, digest[:], r, v)
		}
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.value) == nil
	}
	if !ok {
		return &SignatureError{Reason: ReasonBadSignature}
	}
	return nil
}

// Authentication returns the finding that is recorded beside the message: pass if err is
// nil, otherwise the meaning of err, which may come from any of the steps. An error that
// is no *SignatureError means that the key could not be looked up now.
func (s Signature) Authentication(err error) Authentication {
	var why Reason
	var refused *SignatureError
	switch {
	case errors.As(err, &refused):
		why = refused.Reason
	case err != nil:
		why = ReasonKeyUnavailable
	}
	return Authentication{
		Result: why.Result(), Domain: string(s.Domain), Selector: s.Selector, Algorithm: s.Algorithm,
		Reason: string(why),
	}
}

// CheckTimestamp checks that a signed message was written within the last 8
// days and not more than 10 minutes from now, so that a recorded message cannot
// be delivered again after its receiver forgot it. The error is a
// *SignatureError: expired or not-yet-valid. AMTP §9.
func CheckTimestamp(written, now time.Time) error {
	switch age := now.Sub(written); {
	case age > MaxSignatureAge:
		return &SignatureError{Reason: ReasonExpired}
	case age < -MaxSignatureSkew:
		return &SignatureError{Reason: ReasonNotYetValid}
	}
	return nil
}

// Signer signs messages for a domain, with ES256 or RS256.
type Signer struct {
	selector string
	key      crypto.Signer
	record   KeyRecord
}

// NewSigner makes a signer. The selector is the lower-case name under which the
// domain publishes [Signer.KeyRecord]; the key is an *ecdsa.PrivateKey on P-256,
// which signs ES256, or an *rsa.PrivateKey of 2048 to 8192 bits, which signs
// RS256. AMTP §9.
func NewSigner(selector string, key crypto.Signer) (*Signer, error) {
	if _, err := KeyRecordName(selector, "x"); err != nil {
		return nil, err
	}
	s := &Signer{selector: selector, key: key}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if key != nil && *key != (ecdsa.PrivateKey{PublicKey: key.PublicKey}) { // not the public key alone
			s.record = KeyRecord{Algorithm: ES256, Key: &key.PublicKey}
		}
	case *rsa.PrivateKey:
		if key != nil && key.D != nil && key.N != nil {
			s.record = KeyRecord{Algorithm: RS256, Key: &key.PublicKey}
		}
	}
	if s.record.Algorithm == "" {
		return nil, errors.New("the signing key is neither one on P-256 nor an RSA key")
	}
	if err := checkKey(s.record); err != nil {
		return nil, err
	}
	return s, nil
}

// Selector returns the selector that the signatures name.
func (s *Signer) Selector() string { return s.selector }

// KeyRecord returns the record that the domain publishes so that others can verify.
func (s *Signer) KeyRecord() KeyRecord { return s.record }

// Sign returns the body with its signature as last member; every other byte
// stays. The same body always has the same signature (RFC 6979, or the RSA of RFC
// 8017 §8.2), so a retry has the same bytes. The body must be a
// message with every critical member and without a signature; the error is an
// *Error for one that is no message, else a *SignatureError: malformed for one
// that is signed already, incomplete or inexact-number. AMTP §9.
func (s *Signer) Sign(body []byte) ([]byte, error) {
	m, failure := ParseMessage(body)
	if failure != nil {
		return nil, failure
	}
	for _, member := range m.members {
		if member.Name == "signature" {
			return nil, &SignatureError{Reason: ReasonMalformed,
				Cause: errors.New("the message has a signature already")}
		}
	}
	if err := complete(m); err != nil {
		return nil, err
	}
	return s.seal(body, m.members)
}

// SignPeer writes a parsed message for the peer as [PeerBody] does, and signs it as
// [Signer.Sign] does, without parsing it again. The errors are theirs. AMTP §5, §9.
func (s *Signer) SignPeer(m *Message, e PeerEnvelope) ([]byte, error) {
	body, err := peerBody(m.members, e)
	if err != nil {
		return nil, err
	}
	if e.Sender.IsZero() || e.Timestamp.IsZero() {
		return nil, &SignatureError{Reason: ReasonIncomplete,
			Cause: errors.New("the message for the peer has no sender or no timestamp")}
	}
	members, err := strictjson.Split(body)
	if err != nil {
		return nil, err
	}
	return s.seal(body, members)
}

// seal returns the body of a complete message, whose members these are, with its
// signature.
func (s *Signer) seal(body []byte, members []strictjson.Member) ([]byte, error) {
	form, err := canonical.Members(members, "signature")
	if err != nil {
		return nil, &SignatureError{Reason: ReasonInexactNumber, Cause: err}
	}
	value, err := s.sign(form)
	if err != nil {
		return nil, err
	}
	open := body[:bytes.LastIndexByte(body, '}')]
	out := make([]byte, 0, len(body)+len(s.selector)+base64.RawURLEncoding.EncodedLen(len(value))+80)
	out = append(out, open...)
	out = append(out, `,"signature":{"algorithm":"`...)
	out = append(out, s.record.Algorithm...)
	out = append(out, `","keyid":"`...)
	out = append(out, s.selector...)
	out = append(out, `","value":"`...)
	out = base64.RawURLEncoding.AppendEncode(out, value)
	return append(out, `"}}`...), nil
}

// sign returns the signature of the canonical form: r‖s of 32 bytes each for
// ES256, a number as long as the key for RS256. AMTP §9.
func (s *Signer) sign(form []byte) ([]byte, error) {
	digest := sha256.Sum256(form)
	value, err := s.key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || s.record.Algorithm == RS256 {
		return value, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &pair); err != nil {
		return nil, err
	}
	value = make([]byte, 64)
	pair.R.FillBytes(value[:32])
	pair.S.FillBytes(value[32:])
	return value, nil
}

// Signable reports why a parsed message cannot be sent under its domain's signature. It
// has a number that the canonical form would have to change; or it has a signature of
// the sender's own, whose key is published nowhere; or a member that a case-insensitive
// reader would take for another one. A gateway calls it before it accepts a message for
// another domain. nil means that the message can be signed.
func (m *Message) Signable() *Error {
	if m.Signature != nil {
		return invalid("signature",
			"the gateway signs what it sends to other domains; agents have no keys of their own")
	}
	var numbers canonical.Numbers // of all members together, as they are signed
	for _, member := range m.members {
		if right := misspelt(member.Name); right != "" {
			return invalid(member.Name, "in a message for another domain this name is written "+right)
		}
		if err := numbers.Exact(member.Value); err != nil {
			return invalid(member.Name, err.Error()+"; write it as a string")
		}
	}
	return nil
}
