package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Endpoint is what a request to the endpoint of a push agent carries apart from the
// message: the secrets that sign it, and the headers that the agent asked for. Both are
// stored sealed, and no list contains them.
type Endpoint struct {
	Secrets []EndpointSecret  `json:"secrets"` // the newest first
	Headers map[string]string `json:"headers,omitempty"`
}

// EndpointSecret is one secret that signs what is pushed to an agent.
type EndpointSecret struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until,omitzero"` // when it stops signing; zero for the newest
}

// MaxPushAnswer is the largest size in bytes of an endpoint's answer to a push that is
// sent as a reply.
const MaxPushAnswer = 64 << 10

// SecretOverlap is how long the secret before the newest one signs too, so that a
// receiver has time to change to the new one.
const SecretOverlap = day

const (
	endpointName = "endpoint"
	secretPrefix = "whsec_"
	maxSecrets   = 4 // that sign at once, however often they are renewed
)

// EndpointKind is the kind of the document of an agent's endpoint. Each agent has its
// own kind, so that its document is read and changed without the others.
func EndpointKind(agent AgentID) string { return string(PushTo(agent)) }

// Renew gives the endpoint a new secret and returns it. Earlier secrets sign for
// overlap longer.
func (e *Endpoint) Renew(now time.Time, overlap time.Duration) string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the program instead
	secret := secretPrefix + base64.StdEncoding.EncodeToString(b)
	list := []EndpointSecret{{Secret: secret}}
	for _, old := range e.Secrets {
		if end := now.Add(overlap); old.Until.IsZero() || old.Until.After(end) {
			old.Until = end
		}
		if old.Until.After(now) && len(list) < maxSecrets {
			list = append(list, old)
		}
	}
	e.Secrets = list
	return secret
}

// Seal returns the endpoint as it is stored.
func (e Endpoint) Seal(s Seal, agent AgentID, now time.Time) (Document, error) {
	plain, err := json.Marshal(e)
	if err != nil {
		return Document{}, err
	}
	kind := EndpointKind(agent)
	sealed, err := s.Close(kind, endpointName, plain)
	return Document{Kind: kind, Name: endpointName, Sealed: sealed, Facts: []byte("{}"), Created: now}, err
}

// OpenEndpoint reads the endpoint from the stored documents of EndpointKind. The error
// is ErrNotFound when there is none, and ErrSealed when it was sealed with another key.
func OpenEndpoint(s Seal, agent AgentID, list []Document) (e Endpoint, err error) {
	if len(list) == 0 {
		return e, ErrNotFound
	}
	plain, err := s.Open(EndpointKind(agent), endpointName, list[0].Sealed)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(plain, &e); err != nil {
		return Endpoint{}, fmt.Errorf("an endpoint's secret cannot be read: %w", err)
	}
	return e, nil
}

// Sign returns the value of webhook-signature for a body that is pushed now: one
// signature for each secret that still signs.
func (e Endpoint) Sign(id string, now time.Time, body []byte) (string, error) {
	var list []string
	for _, s := range e.Secrets {
		if !s.Until.IsZero() && !s.Until.After(now) {
			continue
		}
		signature, err := SignWebhook(s.Secret, id, now, body)
		if err != nil {
			return "", err
		}
		list = append(list, signature)
	}
	return strings.Join(list, " "), nil
}

// SignWebhook signs a body as Standard Webhooks defines: v1, HMAC-SHA256 over the id,
// the time in seconds and the body.
func SignWebhook(secret, id string, at time.Time, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil || len(key) == 0 {
		return "", fmt.Errorf("a webhook's secret is not %s and base64", secretPrefix)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}
