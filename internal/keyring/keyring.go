// Package keyring keeps the keys with which this domain signs its messages: it makes,
// imports, publishes, rotates and retires them. Every change is one transaction of the
// store, so that a crash leaves the keys of before or those of after, and replicas on
// one store come to sign with the same key.
package keyring

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Keyring keeps the keys with which this domain signs its messages. One is in use. One
// or more may wait until all other gateways can know them. Retired ones are kept while
// messages that they signed may still be on their way. Private keys are stored sealed;
// the one in use is kept in memory. AMTP §9.
type Keyring struct {
	Store   gateway.Documents
	Seal    gateway.Seal
	Domain  amtp.Domain
	Records Records
	Now     func() time.Time
	Brought *Brought // the key from the configuration, nil for none

	current  atomic.Pointer[amtp.Signer]
	changing sync.Mutex // held from storing the choice of key until current has it
}

// Records reads the published records, as other gateways see them. from is the address
// on whose account the question is asked, "" for the gateway itself.
type Records interface {
	// Key returns the key that the domain publishes under the selector. The error is a
	// *amtp.SignatureError when there certainly is no valid one.
	Key(ctx context.Context, from string, d amtp.Domain, selector string) (amtp.KeyRecord, error)
}

// Signing is the kind of the documents of a Keyring.
const Signing = "signing"

// publishTime is how long a new key is published before it signs. A gateway that asked
// too early remembers for half a minute that the key was not there. The name servers
// between us and it remember that for as long as the zone's SOA record says (RFC 2308
// §5). The last of the domain's own name servers may get the record as late. retireTime
// is how long a retired key stays published: a signature is valid for as long as a
// message may be on its way.
const (
	publishTime = time.Hour
	retireTime  = amtp.MaxSignatureAge
)

// Load reads the keys and makes the first one, which signs at once: no gateway expects
// a signature before the key is published. A key from the configuration signs in its
// place.
func (k *Keyring) Load(ctx context.Context) error {
	err := k.Store.ChangeDocuments(ctx, Signing, func(list []gateway.Document) ([]gateway.Document, error) {
		if k.Brought != nil {
			return k.adopt(list, false)
		}
		if len(list) > 0 {
			return list, nil
		}
		private, err := makeKey(amtp.ES256, 0)
		if err != nil {
			return nil, err
		}
		first, err := k.newKey(list, private, "", admin.KeyActive)
		return append(list, first), err
	})
	if err != nil {
		return fmt.Errorf("make the first signing key: %w", err)
	}
	return k.use(ctx)
}

// Refresh reads which key is in use, since another gateway on the store may have
// changed it.
func (k *Keyring) Refresh(ctx context.Context) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	return k.use(ctx)
}

// Made reports whether the store has keys already.
func (k *Keyring) Made(ctx context.Context) (bool, error) {
	list, err := k.Store.Documents(ctx, Signing)
	return len(list) > 0, err
}

// ErrNothingLost refuses a reset of keys that can be opened.
var ErrNothingLost = errors.New("the signing key in use opens with the seal key that is there, so nothing is lost; for a new one: amtp keys rotate")

// Reset retires the keys that do not open with the seal, and makes a key that signs in
// place of the one in use. The records of the keys that signed must stay published, as
// after any other change, for messages on their way. Other gateways do not know the new
// key yet. Until its record is in DNS they refuse messages that it signed, and those
// are sent again.
func (k *Keyring) Reset(ctx context.Context) (fresh admin.SigningKey, err error) {
	err = k.Store.ChangeDocuments(ctx, Signing, func(list []gateway.Document) ([]gateway.Document, error) {
		list = slices.Clone(list)
		for i := range list {
			key, err := k.read(&list[i])
			if err != nil {
				return nil, err
			}
			_, sealed := k.Seal.Open(Signing, key.Selector, list[i].Sealed)
			switch {
			case key.State == admin.KeyRetired || key.State == admin.KeyWaiting && sealed == nil:
				continue
			case sealed == nil:
				return nil, ErrNothingLost
			}
			k.retire(&key)
			if list[i].Facts, err = json.Marshal(key); err != nil {
				return nil, err
			}
		}
		if k.Brought != nil {
			if list, err = k.adopt(list, true); err == nil {
				fresh, err = k.named(list, k.Brought.Selector)
			}
			return list, err
		}
		private, err := makeKey(amtp.ES256, 0)
		if err != nil {
			return nil, err
		}
		made, err := k.newKey(list, private, "", admin.KeyActive)
		if err != nil {
			return nil, err
		}
		fresh, err = k.read(&made)
		return append(list, made), err
	})
	return fresh, err
}

// named reads the key with the selector, which exists.
func (k *Keyring) named(list []gateway.Document, selector string) (admin.SigningKey, error) {
	i := slices.IndexFunc(list, func(s gateway.Document) bool { return s.Name == selector })
	if i < 0 {
		return admin.SigningKey{}, noKey(selector)
	}
	return k.read(&list[i])
}

// Signer returns the key in use. It does no I/O.
func (k *Keyring) Signer() *amtp.Signer { return k.current.Load() }

// Keys lists the keys, oldest first.
func (k *Keyring) Keys(ctx context.Context) ([]admin.SigningKey, error) {
	list, err := k.Store.Documents(ctx, Signing)
	if err != nil {
		return nil, err
	}
	return ReadKeys(list, k.Domain)
}

// ReadKeys reads the domain's keys from the documents of the kind Signing. It does not
// open them.
func ReadKeys(list []gateway.Document, d amtp.Domain) (keys []admin.SigningKey, err error) {
	k := Keyring{Domain: d}
	keys = make([]admin.SigningKey, len(list))
	for i := range list {
		if keys[i], err = k.read(&list[i]); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Use makes the waiting key sign from now on and retires the one in use. It refuses
// while other gateways may not know the key: until its record has been in DNS for an
// hour, unless atOnce is set. It also refuses where the configuration names the key,
// since the next start would return to that one.
func (k *Keyring) Use(ctx context.Context, selector string, atOnce bool) (admin.SigningKey, error) {
	if k.Brought != nil && k.Brought.Selector != selector {
		return admin.SigningKey{}, amtp.Errorf(amtp.CodeConflict,
			"The configuration says that %s signs. Change or remove AMTP_SIGNATURE_PRIVATE_KEY_FILE and AMTP_SIGNATURE_KEY_ID, and start the gateway again.",
			k.Brought.Selector)
	}
	if !atOnce {
		if refused := k.published(ctx, selector); refused != nil {
			return admin.SigningKey{}, refused
		}
	}
	var used admin.SigningKey
	k.changing.Lock()
	defer k.changing.Unlock()
	err := k.change(ctx, selector, func(key *admin.SigningKey) error {
		switch {
		case key.Selector == selector && key.State != admin.KeyWaiting:
			return amtp.Errorf(amtp.CodeConflict, "The key %s is %s already.", selector, key.State)
		case key.Selector == selector:
			key.State, key.Active = admin.KeyActive, amtp.Time{Time: k.Now()}
			used = *key
		case key.State == admin.KeyActive:
			k.retire(key)
		}
		return nil
	})
	if err != nil {
		return admin.SigningKey{}, err
	}
	if err := k.use(context.WithoutCancel(ctx)); err != nil { // the store has the change already
		return admin.SigningKey{}, err
	}
	return used, nil
}

// Retire ends a waiting key, so that it is never used. The key in use ends only when
// another takes its place.
func (k *Keyring) Retire(ctx context.Context, selector string) (admin.SigningKey, error) {
	var ended admin.SigningKey
	err := k.change(ctx, selector, func(key *admin.SigningKey) error {
		switch {
		case key.Selector != selector:
			return nil
		case key.State == admin.KeyActive:
			return amtp.Errorf(amtp.CodeConflict,
				"The key %s signs what is sent now. Make the next one and use it first: amtp keys rotate", selector)
		case key.State == admin.KeyWaiting:
			k.retire(key)
		}
		ended = *key
		return nil
	})
	if err != nil {
		return admin.SigningKey{}, err
	}
	return ended, nil
}

func (k *Keyring) retire(key *admin.SigningKey) {
	now := k.Now()
	key.State, key.Retired, key.Until = admin.KeyRetired, amtp.Time{Time: now}, amtp.Time{Time: now.Add(retireTime)}
	if key.Active.IsZero() {
		key.Until = key.Retired // it never signed
	}
}

func noKey(selector string) error {
	return amtp.Errorf(amtp.CodeKeyNotFound, "There is no signing key %.80q. Those that are: amtp keys list", selector)
}

// published checks that other gateways have had time to learn of a key.
func (k *Keyring) published(ctx context.Context, selector string) error {
	record, err := k.Records.Key(ctx, "", k.Domain, selector)
	var refused error
	changed := k.change(ctx, selector, func(key *admin.SigningKey) error {
		now := k.Now()
		switch {
		case key.Selector != selector || key.State != admin.KeyWaiting:
		case err != nil || record.String() != key.Record:
			key.Seen = amtp.Time{}
			refused = amtp.Errorf(amtp.CodeConflict,
				"DNS does not show the key %s yet. Publish at %s the TXT record: %s", selector, key.Name, key.Record)
		case key.Seen.IsZero(), key.Seen.After(now): // or seen by a clock that was ahead
			key.Seen = amtp.Time{Time: now}
			fallthrough
		case now.Sub(key.Seen.Time) < publishTime:
			ready := key.Seen.Add(publishTime)
			early := amtp.Errorf(amtp.CodeConflict,
				"DNS shows the key %s since %s. Others may remember until %s that it was not there; use it then, or at once with --now.",
				selector, key.Seen.UTC().Format(time.RFC3339), ready.UTC().Format(time.RFC3339)).With("ready_at",
				amtp.Time{Time: ready})
			early.RetryAfter, refused = ready.Sub(now), early
		}
		return nil
	})
	if changed != nil {
		return changed
	}
	return refused
}

// change calls fn for every key and stores its changes. Nothing changes when no key has
// that name.
func (k *Keyring) change(ctx context.Context, selector string, fn func(*admin.SigningKey) error) error {
	return k.Store.ChangeDocuments(ctx, Signing, func(list []gateway.Document) ([]gateway.Document, error) {
		if !slices.ContainsFunc(list, func(s gateway.Document) bool { return s.Name == selector }) {
			return nil, noKey(selector)
		}
		list = slices.Clone(list)
		for i := range list {
			key, err := k.read(&list[i])
			if err != nil {
				return nil, err
			}
			if refused := fn(&key); refused != nil {
				return nil, refused
			}
			if list[i].Facts, err = json.Marshal(key); err != nil {
				return nil, err
			}
		}
		return list, nil
	})
}

// read reads a key. It derives the record from the key, since the stored record may
// have the form of an earlier version.
func (k *Keyring) read(s *gateway.Document) (key admin.SigningKey, err error) {
	if err := json.Unmarshal(s.Facts, &key); err != nil {
		return key, fmt.Errorf("the signing key %s cannot be read: %w", s.Name, err)
	}
	record, err := presentRecord(key.Record)
	if err != nil {
		return key, fmt.Errorf("the signing key %s cannot be read: %w", s.Name, err)
	}
	key.Algorithm, key.Record = record.Algorithm, record.String()
	key.Name, err = amtp.KeyRecordName(key.Selector, k.Domain) // the domain may have changed since
	return key, err
}

// use opens the active key, which signs from now on.
func (k *Keyring) use(ctx context.Context) error {
	list, err := k.Store.Documents(ctx, Signing)
	if err != nil {
		return err
	}
	for i := range list {
		key, err := k.read(&list[i])
		if err != nil {
			return err
		}
		if key.State != admin.KeyActive {
			continue
		}
		der, err := k.Seal.Open(Signing, key.Selector, list[i].Sealed)
		if err != nil {
			return fmt.Errorf("open the signing key %s: %w", key.Selector, err)
		}
		private, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return fmt.Errorf("read the signing key %s: %w", key.Selector, err)
		}
		able, ok := private.(crypto.Signer)
		if !ok {
			return fmt.Errorf("the signing key %s cannot sign", key.Selector)
		}
		signer, err := amtp.NewSigner(key.Selector, able)
		if err != nil {
			return fmt.Errorf("read the signing key %s: %w", key.Selector, err)
		}
		k.current.Store(signer)
		return nil
	}
	return errors.New("no signing key is in use")
}
