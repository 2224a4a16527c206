package agent

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// repeatTime is how long a registration may be repeated: a client whose answer was
// lost comes again within minutes.
const repeatTime = 10 * time.Minute

// Bounds of the key of a registration that may be repeated, in characters: whoever
// knows it gets the agent's key, so that it has 122 random bits or more.
const (
	minRepeatKey = 22
	maxRepeatKey = 128
)

// Register makes an agent and its first key, and what an endpoint needs: all of it or
// nothing. The caller is the administrator, or anybody in the development profile. The
// holder of a working key of the name gets its agent back, and created is false. So it
// is for the registration that comes again with its idempotency key soon: the agent is
// there, and the answer is that of the first time.
func (s *Agents) Register(ctx context.Context, p gateway.Principal, n amtp.NewAgent, shown string) (r amtp.Registration, created bool, _ *amtp.Error) {
	address, refused := s.address(n.Address)
	if refused != nil {
		return r, false, refused
	}
	if p.Agent != nil && p.Agent.Address.Equal(address) {
		return registration(*p.Agent, shown, s.Now(), "Agent is registered already; this key stays valid"), false, nil
	}
	if !p.Admin && !p.Development {
		return r, false, NeedAdmin(p)
	}
	if gateway.IsReserved(address.Local()) {
		return r, false, registrationFailed("the name %q belongs to the gateway itself", address.Local())
	}
	now := s.Now()
	a, why := s.newAgent(address, &n, now)
	if why != nil {
		return r, false, registrationFailed("%s", why)
	}
	secret, key, err := s.firstKey(address, n.IdempotencyKey, now)
	if err != nil {
		return r, false, gateway.Refusal(err)
	}
	pushSecret := ""
	var with []func(gateway.AgentID) (gateway.Secret, error)
	if a.DeliveryMode == "push" {
		with = append(with, func(id gateway.AgentID) (gateway.Secret, error) {
			e := gateway.Endpoint{Headers: n.PushHeaders}
			pushSecret = e.Renew(now, 0)
			return e.Seal(s.Seal, id, now)
		})
	}
	added, err := s.Store.AddAgent(ctx, a, key, with...)
	switch {
	case errors.Is(err, gateway.ErrExists):
		r, refused = s.again(ctx, address, n.IdempotencyKey)
		return r, false, refused
	case err != nil:
		return r, false, gateway.Refusal(err)
	}
	r = registration(added, secret, now, "Agent registered successfully")
	r.PushSecret, r.Agent.PushSecret = pushSecret, pushSecret
	return r, true, nil
}

// newAgent returns the agent that a registration asks for, or what is wrong with it.
func (s *Agents) newAgent(address amtp.Address, n *amtp.NewAgent, now time.Time) (gateway.Agent, error) {
	a := gateway.Agent{Address: address, DeliveryMode: n.DeliveryMode, Target: n.PushTarget, Description: n.Description, Role: n.Role,
		Capabilities: n.Capabilities, SupportedSchemas: n.SupportedSchemas, Listed: n.Listed == nil || *n.Listed,
		CreatedAt: now, LastActive: now}
	if a.DeliveryMode == "" {
		a.DeliveryMode = "pull"
	}
	if err := check(&a); err != nil {
		return a, err
	}
	if err := s.checkPush(&a, n.PushTarget, n.PushHeaders); err != nil {
		return a, err
	}
	return a, checkRepeatKey(n.IdempotencyKey)
}

func checkRepeatKey(key string) error {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if key != "" && (len(key) < minRepeatKey || len(key) > maxRepeatKey || strings.Trim(key, allowed) != "") {
		return errors.New("an Idempotency-Key has 22 to 128 letters, digits, - and _ here, chosen at random: whoever knows it gets the agent's key")
	}
	return nil
}

// firstKey makes the agent's first key: of a registration that may be repeated the
// one that belongs to its idempotency key and to the moment at which the agent was
// made. Who registers the name later, after the agent was removed, gets another.
func (s *Agents) firstKey(address amtp.Address, repeat string, now time.Time) (secret string, key gateway.Key, err error) {
	if repeat == "" {
		secret, key = gateway.NewKey(0, now)
		return secret, key, nil
	}
	bits, err := s.Seal.Derive("registration", address.Key()+"\x00"+strconv.FormatInt(now.UnixMicro(), 10)+"\x00"+repeat)
	if err != nil {
		return "", key, err
	}
	secret, key = gateway.KeyFrom(bits, 0, now)
	return secret, key, nil
}

// again answers a registration of a name that is taken. Who made it a moment ago, and
// shows so by the same idempotency key, is answered as the first time.
func (s *Agents) again(ctx context.Context, address amtp.Address, repeat string) (r amtp.Registration, _ *amtp.Error) {
	taken := amtp.Errorf(amtp.CodeConflict, "The agent %s exists already. Its owner gets a new key with: amtp setup --name %s --take-over", address, address.Local()).
		With("error", "agent already exists: "+address.String())
	a, err := s.Store.AgentNamed(address)
	if errors.Is(err, gateway.ErrNotFound) {
		return r, taken // it was removed just now; the next attempt finds out
	}
	if err != nil {
		return r, gateway.Refusal(err)
	}
	if repeat == "" {
		return r, taken
	}
	secret, first, err := s.firstKey(address, repeat, a.CreatedAt)
	if err != nil {
		return r, gateway.Refusal(err)
	}
	keys, err := s.Store.Keys(a.ID)
	if err != nil {
		return r, gateway.Refusal(err)
	}
	now := s.Now()
	for _, k := range keys {
		if k.Hash != first.Hash || now.Sub(k.CreatedAt) > repeatTime {
			continue
		}
		r = registration(*a, secret, now, "Agent was registered by this request already")
		if a.DeliveryMode == "push" {
			list, err := s.Store.Secrets(ctx, gateway.EndpointKind(a.ID))
			if err != nil {
				return r, gateway.Refusal(err)
			}
			if e, err := gateway.OpenEndpoint(s.Seal, a.ID, list); err == nil && len(e.Secrets) > 0 {
				r.PushSecret, r.Agent.PushSecret = e.Secrets[0].Secret, e.Secrets[0].Secret
			}
		}
		return r, nil
	}
	return r, taken
}

func registration(a gateway.Agent, secret string, now time.Time, text string) amtp.Registration {
	public := View(&a, now, true)
	public.APIKey = secret
	return amtp.Registration{Address: a.Address, APIKey: secret, DeliveryMode: a.DeliveryMode, Agent: public, Message: text}
}

func registrationFailed(format string, args ...any) *amtp.Error {
	why := amtp.Errorf("", format, args...).Message
	return amtp.Errorf(amtp.CodeRegistrationFailed, "The agent was not registered: %s.", why).With("error", why)
}
