package gateway

import (
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

// Acting is the agent for which a store does something, and the key that a request showed
// for it. With Key "" the gateway itself acts, and no key is checked.
type Acting struct {
	Agent AgentID
	Key   string // Key.ID
}

// random returns 256 random bits in 43 characters that need no escaping.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
