package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// repeatTime is how long a registration may be repeated: a client whose answer was
// lost comes again within minutes.
const repeatTime = 10 * time.Minute

// Bounds, in characters, of the idempotency key of a registration. A caller that knows
// it gets the agent's key, so that it has 122 random bits or more.
const (
	minRepeatKey = 22
	maxRepeatKey = 128
)

// Register makes an agent and its first key, and the secret of its endpoint: all of it
// or nothing. The caller is the administrator, or any caller in the development
// profile. A shared mailbox and a group are made by the administrator only.
// The holder of a working key of the name gets its agent back, and created is false. A
// registration that is repeated soon with its idempotency key gets the answer of the
// first time, also with created false. Another registration with that key is
// IDEMPOTENCY_KEY_REUSED.
// The document changes are made with the agent. A change that fails with an *amtp.Error
// refuses the registration.
func (s *Agents) Register(ctx context.Context, p gateway.Principal, n amtp.NewAgent, shownKey string,
	with ...gateway.DocumentChange) (r amtp.Registration, created bool, _ error) {
	address, err := s.address(n.Address)
	if err != nil {
		return r, false, err
	}
	if p.Agent != nil && p.Agent.Address.Equal(address) {
		return s.registration(p.Agent, shownKey,
			"Agent is registered already; this key stays valid"), false, nil
	}
	kind, unknown := kindOf(n.Kind)
	if !p.Admin && (!p.Development || kind != gateway.SingleAgent) {
		return r, false, gateway.NeedAdmin(&p)
	}
	if gateway.IsReserved(address.Local()) {
		return r, false, registrationFailed("the name %q belongs to the gateway itself", address.Local())
	}
	now := s.Now()
	a, why := s.newAgent(address, &n, now)
	if why = cmp.Or(unknown, why); why != nil {
		return r, false, registrationFailed("%s", why)
	}
	a.Kind = kind
	a.Members, err = s.members(ctx, kind, n.Members)
	if err == nil {
		err = checkKind(&a)
	}
	if err != nil {
		return r, false, registrationFailed("%v", err)
	}
	secret, key, err := s.firstKey(&a, &n)
	if err != nil {
		return r, false, err
	}
	pushSecret := ""
	var secrets []func(gateway.AgentID) gateway.DocumentChange
	for _, c := range with {
		secrets = append(secrets, func(gateway.AgentID) gateway.DocumentChange { return c })
	}
	if a.DeliveryMode == "push" {
		secrets = append(secrets, func(id gateway.AgentID) gateway.DocumentChange {
			return s.endpoint(id, func(e *gateway.Endpoint) error {
				pushSecret, e.Headers = e.Renew(now, 0), n.PushHeaders
				return nil
			})
		})
	}
	added, err := s.Store.AddAgent(ctx, a, key, secrets...)
	switch {
	case errors.Is(err, gateway.ErrExists):
		r, err = s.again(ctx, &a, &n)
		return r, false, err
	case err != nil:
		return r, false, err
	}
	r = s.registration(&added, secret, "Agent registered successfully")
	r.PushSecret, r.Agent.PushSecret = pushSecret, pushSecret
	return r, true, nil
}

// newAgent returns the agent that a registration asks for, or an error if it is not
// valid.
func (s *Agents) newAgent(address amtp.Address, n *amtp.NewAgent, now time.Time) (gateway.Agent, error) {
	a := gateway.Agent{Address: address, DeliveryMode: n.DeliveryMode, Target: n.PushTarget, Description: n.Description,
		Role:         n.Role,
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

// firstKey makes the agent's first key. With an idempotency key, the secret is derived
// from that key and the time at which the agent was made. A registration of the same
// name after the agent was removed gets another secret. The id of the key also depends
// on the content of the request. So a repetition is distinguished from another
// registration with that idempotency key, and nothing more is stored.
func (s *Agents) firstKey(a *gateway.Agent, n *amtp.NewAgent) (secret string, key gateway.Key, err error) {
	if a.Kind != gateway.SingleAgent {
		return "", key, nil
	}
	if n.IdempotencyKey == "" {
		secret, key = gateway.NewKey(0, a.CreatedAt)
		return secret, key, nil
	}
	place := a.Address.Key() + "\x00" + strconv.FormatInt(a.CreatedAt.UnixMicro(), 10) + "\x00" + n.IdempotencyKey
	bits, err := s.Seal.Derive("registration", place)
	if err != nil {
		return "", key, err
	}
	headers := n.PushHeaders
	if len(headers) == 0 {
		headers = nil
	}
	asked, err := json.Marshal([]any{a.DeliveryMode, a.Target, headers, a.Description, a.Role,
		orEmpty(a.Capabilities), orEmpty(a.SupportedSchemas), a.Listed})
	if err != nil {
		return "", key, err
	}
	id, err := s.Seal.Derive("registration asked", place+"\x00"+string(asked))
	if err != nil {
		return "", key, err
	}
	secret, key = gateway.KeyFrom(bits, 0, a.CreatedAt)
	key.ID = gateway.KeyID(id)
	return secret, key, nil
}

// exists refuses a name that an agent, a mailbox or a group has already.
func exists(address amtp.Address, kind gateway.AgentKind) error {
	message := fmt.Sprintf("The agent %s exists already. Its owner gets a new key with: amtp setup --name %s --take-over",
		address, address.Local())
	if kind != gateway.SingleAgent {
		message = fmt.Sprintf("The %s %s exists already. Change its members with: amtp %[1]s add %[3]s MEMBER", kind,
			address, address.Local())
	}
	return amtp.Errorf(amtp.CodeConflict, "%s", message).With("error", "agent already exists: "+address.String())
}

// again answers a registration of a name that is taken. A caller that registered it a
// moment ago, and proves that by the same idempotency key, gets the first answer again.
func (s *Agents) again(ctx context.Context, asked *gateway.Agent, n *amtp.NewAgent) (r amtp.Registration,
	_ error) {
	address := asked.Address
	a, err := s.Store.AgentNamed(ctx, address)
	if err != nil && !errors.Is(err, gateway.ErrNotFound) { // it was removed just now; the next attempt finds that out
		return r, err
	}
	taken := exists(address, a.Kind)
	if err != nil || n.IdempotencyKey == "" || a.Kind != gateway.SingleAgent {
		return r, taken
	}
	made := *asked
	made.CreatedAt = a.CreatedAt
	secret, first, err := s.firstKey(&made, n)
	if err != nil {
		return r, err
	}
	keys, err := s.Store.Keys(ctx, a.ID)
	if err != nil {
		return r, err
	}
	now := s.Now()
	i := slices.IndexFunc(keys, func(k gateway.Key) bool {
		return k.Hash == first.Hash && now.Sub(k.CreatedAt) <= repeatTime
	})
	switch {
	case i < 0:
		return r, taken
	case keys[i].ID != first.ID:
		return r, amtp.Errorf(amtp.CodeIdempotencyKeyReused,
			"This idempotency key was already used for another registration of %s. Repeat that one unchanged, or use a new key.",
			address)
	}
	r = s.registration(a, secret, "Agent was registered by this request already")
	if a.DeliveryMode == "push" {
		list, err := s.Store.Documents(ctx, gateway.EndpointKind(a.ID))
		if err != nil {
			return r, err
		}
		if e, err := gateway.OpenEndpoint(s.Seal, a.ID, list); err == nil && len(e.Secrets) > 0 {
			r.PushSecret, r.Agent.PushSecret = e.Secrets[0].Secret, e.Secrets[0].Secret
		}
	}
	return r, nil
}

func (s *Agents) registration(a *gateway.Agent, secret, text string) amtp.Registration {
	public := s.view(a, true)
	public.APIKey = secret
	return amtp.Registration{Address: a.Address, APIKey: secret, DeliveryMode: a.DeliveryMode, Agent: public,
		Message: text}
}

func registrationFailed(format string, args ...any) error {
	why := amtp.Errorf("", format, args...).Message
	return amtp.Errorf(amtp.CodeRegistrationFailed, "The agent was not registered: %s.", why).With("error", why)
}
