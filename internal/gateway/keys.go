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
	secret = agentPrefix + random()
	sum := sha256.Sum256([]byte(secret))
	return secret, Key{
		ID:        "key_" + hex.EncodeToString(sum[:6]),
		Agent:     agent,
		Hash:      sum,
		CreatedAt: now,
		LastUsed:  now,
	}
}

// NewAdminKey makes an administrator's key.
func NewAdminKey() string { return adminPrefix + random() }

// random returns 256 random bits in 43 characters that need no escaping.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
