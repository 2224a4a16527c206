package amtp

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// MessageID names a message: a token of 1 to 128 letters, digits and . _ : -
// A gateway's own ids are UUIDs in lower case.
type MessageID string

// NewMessageID mints a UUIDv7: ids made later sort later.
func NewMessageID() MessageID {
	return MessageID(uuid.Must(uuid.NewV7()).String())
}

// ParseMessageID checks that a token may be a message id.
func ParseMessageID(s string) (MessageID, error) {
	if s == "" || len(s) > 128 {
		return "", fmt.Errorf("a message id has 1 to 128 characters")
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '.' && c != '_' && c != ':' && c != '-' {
			return "", fmt.Errorf("a message id has only letters, digits and . _ : -")
		}
	}
	return MessageID(s), nil
}

// UUID returns the id as a UUID, and whether it is one in its usual form of
// 36 characters.
func (id MessageID) UUID() (uuid.UUID, bool) {
	if len(id) != 36 {
		return uuid.UUID{}, false
	}
	u, err := uuid.Parse(string(id))
	return u, err == nil
}

// CheckIdempotencyKey reports why s cannot be an idempotency key: it has 1 to
// 255 visible ASCII characters.
func CheckIdempotencyKey(s string) error {
	if s == "" || len(s) > 255 {
		return fmt.Errorf("an idempotency key has 1 to 255 characters")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return fmt.Errorf("an idempotency key has only visible ASCII characters, no spaces")
		}
	}
	return nil
}

// CheckSchema reports why s cannot name a schema: namespace:name.name.vN, for
// example agntcy:commerce.order.v1. AMTP §6; other namespaces are allowed.
func CheckSchema(s string) error {
	if len(s) > 255 {
		return fmt.Errorf("a schema id has at most 255 characters")
	}
	namespace, name, ok := strings.Cut(s, ":")
	labels := strings.Split(name, ".")
	if !ok || !isToken(namespace) || len(labels) < 3 || !isVersion(labels[2:]) {
		return fmt.Errorf("%s is not a schema id: write namespace:domain.entity.version, such as agntcy:commerce.order.v1",
			quoteShort(s))
	}
	for _, l := range labels {
		if !isToken(l) {
			return fmt.Errorf("%s is not a schema id: its names have only letters, digits, - and _", quoteShort(s))
		}
	}
	return nil
}

// isVersion reports whether labels end in v followed by numbers: v1, v1.2.
func isVersion(labels []string) bool {
	for i := len(labels) - 1; i >= 0; i-- {
		l := labels[i]
		digits := strings.TrimPrefix(l, "v")
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return false
		}
		if digits != l {
			return true
		}
	}
	return false
}

// CheckSchemaPattern reports why s cannot be a pattern of schemas: a schema id,
// or the beginning of one with * at its end, such as agntcy:commerce.*
func CheckSchemaPattern(s string) error {
	prefix, wild := strings.CutSuffix(s, "*")
	if !wild {
		return CheckSchema(s)
	}
	namespace, name, ok := strings.Cut(prefix, ":")
	if !ok || !isToken(namespace) || !strings.Contains(name, ".") || len(s) > 255 {
		return fmt.Errorf("%s is not a schema pattern: write at least namespace:domain.*", quoteShort(s))
	}
	for _, l := range strings.Split(name, ".") {
		if l != "" && !isToken(l) {
			return fmt.Errorf("%s is not a schema pattern: its names have only letters, digits, - and _", quoteShort(s))
		}
	}
	return nil
}

// MatchSchema reports whether the pattern covers the schema id.
func MatchSchema(pattern, schema string) bool {
	if prefix, wild := strings.CutSuffix(pattern, "*"); wild {
		return strings.HasPrefix(schema, prefix)
	}
	return pattern == schema
}

func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
