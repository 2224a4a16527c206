package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

// What keys begin with, so that people and secret scanners know them.
const (
	agentPrefix = "amtp_"
	adminPrefix = "amtp_admin_"
)

// NewKey makes an agent's key: the secret, to be shown once, and what is kept
// of it.
func NewKey(agent AgentID, now time.Time) (secret string, key Key) {
	return keyOfSecret(agentPrefix+random(), agent, now)
}

// KeyFrom makes the agent's key that belongs to these bits, which nobody else knows:
// the same one every time.
func KeyFrom(bits [32]byte, agent AgentID, now time.Time) (secret string, key Key) {
	return keyOfSecret(agentPrefix+base64.RawURLEncoding.EncodeToString(bits[:]), agent, now)
}

func keyOfSecret(secret string, agent AgentID, now time.Time) (string, Key) {
	sum := sha256.Sum256([]byte(secret))
	return secret, Key{
		ID:        KeyID(sum),
		Agent:     agent,
		Hash:      sum,
		CreatedAt: now,
		LastUsed:  now,
	}
}

// KeyID is how a key is named that is known by these bits.
func KeyID(bits [32]byte) string { return "key_" + hex.EncodeToString(bits[:6]) }

// NewAdminKey makes an administrator's key.
func NewAdminKey() string { return adminPrefix + random() }

// shownKey is where a context holds the key by which somebody acts.
type shownKey struct{}

type keyOf struct {
	agent AgentID
	id    string
}

// WithKey returns a context for what is done for whoever showed that key of the
// agent. A Store does nothing for it once the key has ended.
func WithKey(ctx context.Context, agent AgentID, id string) context.Context {
	return context.WithValue(ctx, shownKey{}, keyOf{agent, id})
}

// WithoutKey returns a context for what the gateway has to do whatever becomes of
// the key.
func WithoutKey(ctx context.Context) context.Context {
	if _, id := KeyShown(ctx); id == "" {
		return ctx
	}
	return context.WithValue(ctx, shownKey{}, keyOf{})
}

// KeyShown returns the key by which is acted, an empty id for none.
func KeyShown(ctx context.Context) (agent AgentID, id string) {
	k, _ := ctx.Value(shownKey{}).(keyOf)
	return k.agent, k.id
}

// random returns 256 random bits in 43 characters that need no escaping.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
