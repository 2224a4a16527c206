package amtp

import "context"

// Register registers an agent. It needs AdminKey, except with a gateway in its development
// profile or with the Key of that same agent. It is repeated only with an IdempotencyKey,
// because the key in its answer is shown only once.
func (c *Client) Register(ctx context.Context, a NewAgent) (Registration, error) {
	if a.DeliveryMode == "" {
		a.DeliveryMode = "pull"
	}
	var out Registration
	once := call{method: "POST", path: agentPath(), body: a, admin: true, repeat: a.IdempotencyKey != "",
		key: a.IdempotencyKey}
	_, err := c.do(ctx, once, &out)
	return out, err
}

// Agent returns one agent, by name or address. This call and those below need AdminKey or
// the agent's own Key.
func (c *Client) Agent(ctx context.Context, name string) (Agent, error) {
	var out Agent
	_, err := c.do(ctx, call{method: "GET", path: agentPath(name), admin: true, repeat: true}, &out)
	return out, err
}

// UpdateAgent changes an agent and returns it as it is now. A change to push is not
// repeated, because the secret in its answer is shown only once.
func (c *Client) UpdateAgent(ctx context.Context, name string, u AgentUpdate) (Agent, error) {
	var out Agent
	_, err := c.do(ctx, call{method: "PATCH", path: agentPath(name), body: u, admin: true,
		repeat: u.DeliveryMode == nil}, &out)
	return out, err
}

// DeleteAgent removes an agent and its keys. It is not repeated: a second call would find
// neither.
func (c *Client) DeleteAgent(ctx context.Context, name string) error {
	_, err := c.do(ctx, call{method: "DELETE", path: agentPath(name), admin: true}, nil)
	return err
}

// IssueKey makes one more key for an agent. With alone it revokes all its other keys in the
// same step. It is not repeated, because the key in its answer is shown only once.
func (c *Client) IssueKey(ctx context.Context, name string, alone bool) (IssuedKey, error) {
	body := struct {
		RevokeOthers bool `json:"revoke_others"`
	}{alone}
	var out IssuedKey
	_, err := c.do(ctx, call{method: "POST", path: agentPath(name, "keys"), body: body, admin: true}, &out)
	return out, err
}

// Keys lists the keys of an agent, without their secrets.
func (c *Client) Keys(ctx context.Context, name string) (AgentKeys, error) {
	var out AgentKeys
	_, err := c.do(ctx, call{method: "GET", path: agentPath(name, "keys"), admin: true, repeat: true}, &out)
	return out, err
}

// RevokeKey revokes one key of an agent at once. It is not repeated.
func (c *Client) RevokeKey(ctx context.Context, name, keyID string) error {
	_, err := c.do(ctx, call{method: "DELETE", path: agentPath(name, "keys", keyID), admin: true}, nil)
	return err
}

// RenewPushSecret makes a new secret that signs the messages pushed to an agent. For a day
// the previous secret also signs them, unless atOnce is set. It is not repeated.
func (c *Client) RenewPushSecret(ctx context.Context, name string, atOnce bool) (IssuedPushSecret, error) {
	body := struct {
		AtOnce bool `json:"at_once"`
	}{atOnce}
	var out IssuedPushSecret
	_, err := c.do(ctx, call{method: "POST", path: agentPath(name, "push-secret"), body: body, admin: true}, &out)
	return out, err
}

func agentPath(segments ...string) string {
	return path(append([]string{"admin", "agents"}, segments...)...)
}
