package amtp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// InviteSecretSize is how many random bytes an invitation has.
const InviteSecretSize = 16

// Join is the request to become the agent of an invitation.
type Join struct {
	Secret           string   `json:"secret"`
	Description      string   `json:"description,omitempty"`
	Role             string   `json:"role,omitempty"`
	Capabilities     []string `json:"capabilities,omitempty"`
	SupportedSchemas []string `json:"supported_schemas,omitempty"`
	Listed           *bool    `json:"listed,omitempty"`
}

// Joined answers POST /v1/join. The key is shown only once.
type Joined struct {
	Address Address `json:"address"`
	APIKey  string  `json:"api_key"`
	Result  string  `json:"result"` // registered, or issued for an agent that existed
}

// Join uses an invitation. It needs no key. It uses https only, except to this machine
// itself. It is not repeated, because the key in its answer is shown only once.
func (c *Client) Join(ctx context.Context, j Join) (Joined, error) {
	var out Joined
	_, err := c.do(ctx, call{method: "POST", path: path("join"), body: j, secret: true}, &out)
	return out, err
}

// InviteCode is an invitation in one word, for the person who is invited. It has the
// gateway's URL, the secret, and how the gateway's certificate is known.
type InviteCode struct {
	Gateway string // base URL, https unless it is this machine
	Secret  string // of Invite
	Pin     *Pin   // of the gateway's certificate, nil if an authority issued it
}

const (
	invitePrefix   = "amtp_invite_"
	inviteChecksum = 4 // bytes, so that half a code is refused
	invitePlain    = 1 // its form: secret, URL
	invitePinned   = 2 // secret, pin, URL
)

// String writes the code, "" if the secret is not valid.
func (c InviteCode) String() string {
	secret, err := base64.RawURLEncoding.DecodeString(c.Secret)
	if err != nil || len(secret) != InviteSecretSize {
		return ""
	}
	form := []byte{invitePlain}
	if c.Pin != nil {
		form[0] = invitePinned
		secret = append(secret, c.Pin[:]...)
	}
	body := append(append(form, secret...), c.Gateway...)
	sum := sha256.Sum256(body)
	return invitePrefix + base64.RawURLEncoding.EncodeToString(append(body, sum[:inviteChecksum]...))
}

// ParseInviteCode reads a code. Its gateway is an https URL, or one of this machine.
func ParseInviteCode(s string) (InviteCode, error) {
	broken := errors.New("this is no invitation, or not all of one: it begins with " + invitePrefix)
	text, ok := strings.CutPrefix(strings.TrimSpace(s), invitePrefix)
	doc, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(doc) < 1+InviteSecretSize+inviteChecksum {
		return InviteCode{}, broken
	}
	body := doc[:len(doc)-inviteChecksum]
	sum := sha256.Sum256(body)
	if subtle.ConstantTimeCompare(sum[:inviteChecksum], doc[len(body):]) != 1 {
		return InviteCode{}, broken
	}
	c := InviteCode{Secret: base64.RawURLEncoding.EncodeToString(body[1 : 1+InviteSecretSize])}
	rest := body[1+InviteSecretSize:]
	switch {
	case body[0] == invitePinned && len(rest) > len(Pin{}):
		pin := Pin(rest[:len(Pin{})])
		c.Pin, rest = &pin, rest[len(Pin{}):]
	case body[0] != invitePlain:
		return InviteCode{}, errors.New("this invitation was made by another release: bring amtp up to date")
	}
	u, err := url.Parse(string(rest))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return InviteCode{}, errors.New("the gateway of this invitation is no https URL")
	}
	c.Gateway = u.String()
	return c, nil
}
