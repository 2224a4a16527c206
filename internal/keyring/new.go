package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Brought is a key from the configuration that signs, whatever the store says.
type Brought struct {
	Selector string
	Key      crypto.Signer
}

// maxWaiting is how many keys may wait at a time. An operator needs one. Each is read
// whenever the keys are read.
const maxWaiting = 8

// rsaSizes are the sizes of RSA keys that the gateway makes, in bits. Larger keys can
// be imported, since making one takes minutes.
var rsaSizes = []int{2048, 3072, 4096}

// Rotate makes the next key, of the kind that signs now, and returns it. The key in use
// continues to sign. When a key waits already, Rotate returns that one.
func (k *Keyring) Rotate(ctx context.Context) (next admin.SigningKey, err error) {
	keys, err := k.Keys(ctx)
	if err != nil {
		return next, err
	}
	if i := slices.IndexFunc(keys, isWaiting); i >= 0 {
		return keys[i], nil
	}
	private, err := makeLike(keys)
	if err != nil {
		return next, err
	}
	err = k.Store.ChangeDocuments(ctx, Signing, func(list []gateway.Document) ([]gateway.Document, error) {
		for i := range list { // another gateway may have made one meanwhile
			if next, err = k.read(&list[i]); err != nil || isWaiting(next) {
				return list, err
			}
		}
		s, err := k.newKey(list, private, "", admin.KeyWaiting)
		if err != nil {
			return nil, err
		}
		if next, err = k.read(&s); err != nil {
			return nil, err
		}
		return append(list, s), nil
	})
	return next, err
}

func isWaiting(key admin.SigningKey) bool { return key.State == admin.KeyWaiting }

// Generate makes a waiting key, of ES256 or RS256, under a selector that was never
// used; "" selects the date. Bits is the size of an RSA key, 0 for 2048.
func (k *Keyring) Generate(ctx context.Context, n admin.NewSigningKey) (admin.SigningKey, error) {
	switch {
	case n.Algorithm == "":
		n.Algorithm = amtp.ES256
	case n.Algorithm != amtp.ES256 && n.Algorithm != amtp.RS256:
		return admin.SigningKey{}, amtp.Errorf(amtp.CodeInvalidRequest, "The algorithm is ES256 or RS256, not %.40q.",
			n.Algorithm).With("field", "algorithm")
	}
	switch {
	case n.Bits == 0:
	case n.Algorithm != amtp.RS256:
		return admin.SigningKey{}, amtp.Errorf(amtp.CodeInvalidRequest,
			"A key for ES256 has 256 bits; bits are those of a key for RS256.").With("field", "bits")
	case !slices.Contains(rsaSizes, n.Bits):
		return admin.SigningKey{}, amtp.Errorf(amtp.CodeInvalidRequest,
			"An RSA key that is made has 2048, 3072 or 4096 bits, not %d.", n.Bits).With("field", "bits")
	}
	if refused := k.mayAdd(ctx, n.Selector); refused != nil {
		return admin.SigningKey{}, refused
	}
	private, err := makeKey(n.Algorithm, n.Bits)
	if err != nil {
		return admin.SigningKey{}, err
	}
	return k.add(ctx, n.Selector, private)
}

// Import adds a key from another source, which waits. When the same key waits or signs
// already under the selector, nothing changes.
func (k *Keyring) Import(ctx context.Context, selector string, private crypto.Signer) (admin.SigningKey, error) {
	if selector == "" {
		return admin.SigningKey{}, amtp.Errorf(amtp.CodeInvalidRequest,
			"A key that is brought along needs the selector under which its record is, or will be, in DNS.").With("field",
			"selector")
	}
	if refused := k.checkSelector(selector); refused != nil {
		return admin.SigningKey{}, refused
	}
	return k.add(ctx, selector, private)
}

// mayAdd checks, before a key is made, whether it could be added, since making one may
// take seconds.
func (k *Keyring) mayAdd(ctx context.Context, selector string) error {
	if selector != "" {
		if refused := k.checkSelector(selector); refused != nil {
			return refused
		}
	}
	keys, err := k.Keys(ctx)
	if err != nil {
		return err
	}
	return room(keys, selector)
}

func (k *Keyring) checkSelector(selector string) error {
	if _, err := amtp.KeyRecordName(selector, k.Domain); err != nil {
		return amtp.Errorf(amtp.CodeInvalidRequest, "The selector cannot be used: %v.", err).With("field", "selector")
	}
	return nil
}

// room refuses a key when its selector was used before, or too many keys wait.
func room(keys []admin.SigningKey, selector string) error {
	waiting := 0
	for _, key := range keys {
		if key.Selector == selector {
			return amtp.Errorf(amtp.CodeConflict,
				"The selector %s is that of another key, which is %s, and others may remember it. Choose one that was never used.",
				selector, key.State)
		}
		if isWaiting(key) {
			waiting++
		}
	}
	if waiting >= maxWaiting {
		return amtp.Errorf(amtp.CodeConflict,
			"%d keys wait already. End those that are not needed: amtp keys retire SELECTOR", waiting)
	}
	return nil
}

// add stores a key as waiting.
func (k *Keyring) add(ctx context.Context, selector string, private crypto.Signer) (added admin.SigningKey,
	refused error) {
	err := k.Store.ChangeDocuments(ctx, Signing, func(list []gateway.Document) ([]gateway.Document, error) {
		keys, err := ReadKeys(list, k.Domain)
		if err != nil {
			return nil, err
		}
		s, err := k.newKey(list, private, selector, admin.KeyWaiting)
		if err != nil {
			return nil, err
		}
		if added, err = k.read(&s); err != nil {
			return nil, err
		}
		for _, key := range keys {
			if key.Selector == selector && key.Record == added.Record && key.State != admin.KeyRetired {
				added = key
				return list, nil
			}
		}
		if refused := room(keys, selector); refused != nil {
			return nil, refused
		}
		return append(list, s), nil
	})
	if err != nil {
		return admin.SigningKey{}, err
	}
	return added, nil
}

// ErrOtherKey refuses a key of the configuration that differs from the one that others
// know under its selector.
var ErrOtherKey = errors.New("the gateway has another key under that selector, and others may know it: put back the former file, or name the new key differently with AMTP_SIGNATURE_KEY_ID and publish its record")

// adopt makes the key of the configuration sign, and retires the one in use. Every
// gateway on the store with the same key gets the same result. With anew it seals the
// key with the present seal, after the earlier seal was lost.
func (k *Keyring) adopt(list []gateway.Document, anew bool) ([]gateway.Document, error) {
	b := k.Brought
	own, err := k.newKey(list, b.Key, b.Selector, admin.KeyActive)
	if err != nil {
		return nil, err
	}
	fresh, err := k.read(&own)
	if err != nil {
		return nil, err
	}
	list, known := slices.Clone(list), false
	for i := range list {
		key, err := k.read(&list[i])
		if err != nil {
			return nil, err
		}
		switch {
		case key.Selector == b.Selector && key.Record != fresh.Record:
			return nil, fmt.Errorf("the signing key %s: %w", b.Selector, ErrOtherKey)
		case key.Selector == b.Selector:
			known = true
			if key.State != admin.KeyActive {
				key.State, key.Active, key.Retired, key.Until = admin.KeyActive, fresh.Active, amtp.Time{}, amtp.Time{}
			}
			if anew {
				list[i].Sealed = own.Sealed
			}
		case key.State == admin.KeyActive:
			k.retire(&key)
		default:
			continue
		}
		if list[i].Facts, err = json.Marshal(key); err != nil {
			return nil, err
		}
	}
	if !known {
		list = append(list, own)
	}
	return list, nil
}

// makeKey makes a key for the algorithm. Bits is the size of an RSA key.
func makeKey(algorithm string, bits int) (crypto.Signer, error) {
	if algorithm == amtp.RS256 {
		return rsa.GenerateKey(rand.Reader, max(bits, rsaSizes[0]))
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// makeLike makes a key of the same kind as the one in use.
func makeLike(keys []admin.SigningKey) (crypto.Signer, error) {
	for _, key := range keys {
		if key.State != admin.KeyActive {
			continue
		}
		record, err := amtp.ParseKeyRecord(key.Record)
		if err != nil {
			return nil, err
		}
		bits := 0
		if public, ok := record.Key.(*rsa.PublicKey); ok {
			bits = rsaSizes[len(rsaSizes)-1]
			if i := slices.IndexFunc(rsaSizes, func(size int) bool { return size >= public.N.BitLen() }); i >= 0 {
				bits = rsaSizes[i]
			}
		}
		return makeKey(record.Algorithm, bits)
	}
	return makeKey(amtp.ES256, 0)
}

// newKey seals a key under a selector that was never used; "" selects the date on which
// it was made, with a number when there are several.
func (k *Keyring) newKey(list []gateway.Document, private crypto.Signer, selector string,
	state admin.KeyState) (gateway.Document, error) {
	now := k.Now()
	if selector == "" {
		selector = freeSelector(list, now.UTC().Format("20060102"))
	}
	signer, err := amtp.NewSigner(selector, private)
	if err != nil {
		return gateway.Document{}, err
	}
	name, err := amtp.KeyRecordName(selector, k.Domain)
	if err != nil {
		return gateway.Document{}, err
	}
	record := signer.KeyRecord()
	key := admin.SigningKey{Selector: selector, State: state, Algorithm: record.Algorithm, Name: name,
		Record: record.String(), Created: amtp.Time{Time: now}}
	if state == admin.KeyActive {
		key.Active = key.Created
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return gateway.Document{}, err
	}
	sealed, err := k.Seal.Close(Signing, selector, der)
	if err != nil {
		return gateway.Document{}, err
	}
	facts, err := json.Marshal(key)
	return gateway.Document{Kind: Signing, Name: selector, Sealed: sealed, Facts: facts, Created: now}, err
}

func freeSelector(list []gateway.Document, day string) string {
	selector := day
	for n := 2; slices.ContainsFunc(list, func(s gateway.Document) bool { return s.Name == selector }); n++ {
		selector = fmt.Sprintf("%s-%d", day, n)
	}
	return selector
}

// presentRecord reads a stored record, in the present form or in that of before the
// protocol defined records, v=amtp1;k=ES256;p={key}. The key is the same.
func presentRecord(stored string) (amtp.KeyRecord, error) {
	record, err := amtp.ParseKeyRecord(stored)
	if err == nil {
		return record, nil
	}
	_, p, _ := strings.Cut(stored, ";p=")
	for _, algorithm := range []string{amtp.ES256, amtp.RS256} {
		if record, err := amtp.ParseKeyRecord("v=amtpkey1;alg=" + algorithm + ";p=" + p); err == nil {
			return record, nil
		}
	}
	return amtp.KeyRecord{}, err
}
