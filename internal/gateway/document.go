package gateway

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"
)

// Document is a small record that is stored whole: a signing key, an invitation, what
// is known of a peer. A part that must stay secret in a copy of the store is sealed.
type Document struct {
	Kind    string // its purpose, such as "signing"
	Name    string // unique within its kind
	Sealed  []byte // the secret part, encrypted by a Seal; empty without a secret
	Facts   []byte // JSON that is not secret, stored unchanged
	Created time.Time
}

// Documents is the part of a Store that keeps documents.
type Documents interface {
	// Documents lists the documents of a kind, oldest first.
	Documents(ctx context.Context, kind string) ([]Document, error)

	// ChangeDocuments applies change to the documents of a kind as they are at that
	// moment, and stores what it returns in their place. An error of change is returned
	// and nothing is stored. The same holds when a document is of another kind, and
	// when two have one name, which is ErrExists.
	ChangeDocuments(ctx context.Context, kind string, change func([]Document) ([]Document, error)) error
}

// DocumentChange is a change of the documents of a kind that is part of another
// transaction: all of it or nothing. Change is that of ChangeDocuments. It may be
// called more than once, and only its last result counts.
type DocumentChange struct {
	Kind   string
	Change func([]Document) ([]Document, error)
}

// Seal encrypts stored data with a key that is not stored with it: AES-256-GCM. The
// zero value has no key and every method of it fails.
type Seal struct{ key []byte }

// SealKeySize is the number of bytes of a Seal's key.
const SealKeySize = 32

// NewSeal returns the seal with the key of SealKeySize bytes.
func NewSeal(key []byte) (Seal, error) {
	if len(key) != SealKeySize {
		return Seal{}, errors.New("a seal key has 32 bytes")
	}
	return Seal{key: append([]byte(nil), key...)}, nil
}

// ErrSealed says that a secret was sealed with another key, or for another name.
var ErrSealed = errors.New("a secret cannot be opened: it was sealed with another key")

// Close encrypts a secret for its kind and name. It can be opened only with the same
// kind and name.
func (s Seal) Close(kind, name string, plain []byte) ([]byte, error) {
	box, err := s.box()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, box.NonceSize())
	rand.Read(nonce) // never fails: it ends the program instead
	return box.Seal(nonce, nonce, plain, place(kind, name)), nil
}

// Open is the inverse of Close.
func (s Seal) Open(kind, name string, sealed []byte) ([]byte, error) {
	box, err := s.box()
	if err != nil {
		return nil, err
	}
	n := box.NonceSize()
	if len(sealed) < n {
		return nil, ErrSealed
	}
	plain, err := box.Open(nil, sealed[:n], sealed[n:], place(kind, name))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// Derive returns 256 bits that only the holder of the seal's key can compute. Each
// purpose and text has its own bits, the same every time. HKDF, RFC 5869.
func (s Seal) Derive(purpose, text string) (bits [32]byte, err error) {
	if len(s.key) == 0 {
		return bits, errNoSeal
	}
	out, err := hkdf.Key(sha256.New, s.key, []byte(text), "amtp "+purpose, len(bits))
	copy(bits[:], out)
	return bits, err
}

var errNoSeal = errors.New("there is no seal key")

func (s Seal) box() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, errNoSeal
	}
	return cipher.NewGCM(block)
}

func place(kind, name string) []byte { return []byte(kind + "\x00" + name) }
