package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

// The prefixes of keys, by which people and secret scanners recognise them.
const (
	agentPrefix = "amtp_"
	adminPrefix = "amtp_admin_"
)

// NewKey makes an agent's key: the secret, which is shown once, and the Key that is
// stored.
func NewKey(agent AgentID, now time.Time) (secret string, key Key) {
	return keyOfSecret(agentPrefix+random(), agent, now)
}

// KeyFrom makes the agent's key from these secret bits. The same bits always give the
// same key.
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

// KeyID returns the id of a key that is identified by these bits.
func KeyID(bits [32]byte) string { return "key_" + hex.EncodeToString(bits[:6]) }

// NewAdminKey makes an administrator's key.
func NewAdminKey() string { return adminPrefix + random() }

// Acting is the agent for which a store acts, and the key that a request showed: a key
// of the agent or, for a shared mailbox, of a member. With Key "" the gateway itself
// acts, and no key is checked.
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
