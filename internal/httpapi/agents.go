package httpapi

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// decode reads the request's body into v.
func (c *call) decode(v any, optional bool) error {
	if c.stranger() {
		return gateway.NeedAdmin(&c.principal) // a stranger is refused before the body is read
	}
	body, err := c.body(amtp.CodeInvalidRequest, optional)
	if err != nil || body == nil {
		return err
	}
	if err := strictjson.Decode(body, v); err != nil {
		return amtp.Errorf(amtp.CodeInvalidRequest, "The request is not valid: %v.",
			err).With("parse_error", err.Error())
	}
	return nil
}

// newAgent is a registration as clients write it. It tolerates members that the tools of
// other gateways send with zero values. Those tools call push_headers headers.
type newAgent struct {
	amtp.NewAgent
	APIKey  string            `json:"api_key"`
	Headers map[string]string `json:"headers"`
}

// register makes an agent.
func (s *Server) register(c *call) {
	var n newAgent
	if err := c.decode(&n, false); err != nil {
		c.fail(err)
		return
	}
	if n.APIKey != "" {
		c.fail(amtp.Errorf(amtp.CodeRegistrationFailed, "The gateway makes the keys; register without api_key."))
		return
	}
	if len(n.Headers) > 0 {
		if len(n.PushHeaders) > 0 {
			c.fail(amtp.Errorf(amtp.CodeRegistrationFailed,
				"The agent was not registered: headers is another name of push_headers; give one of them."))
			return
		}
		n.PushHeaders = n.Headers
	}
	n.IdempotencyKey = c.r.Header.Get("Idempotency-Key")
	result, created, err := s.Agents.Register(c.r.Context(), c.principal, n.NewAgent, shownKey(c.r))
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.unchanged = !created
	c.note("agent", result.Address.String(), "delivery_mode", result.DeliveryMode)
	c.result(status, result, err)
}

// listAgents is the administrator's list.
func (s *Server) listAgents(c *call) {
	p := c.params()
	after, limit := s.agentCursor(p, ofAgents), p.agentLimit()
	if p.err != nil {
		c.fail(p.err)
		return
	}
	all, page := s.Agents.All(after, limit)
	all.NextCursor = ofAgents.agentText(page.HasMore, page.Next)
	c.reply(http.StatusOK, all)
}

// showAgent shows one agent to itself or the administrator.
func (s *Server) showAgent(c *call) {
	a, err := s.Agents.Show(c.r.Context(), c.principal, c.r.PathValue("name"))
	c.result(http.StatusOK, a, err)
}

// updateAgent changes what an agent says about itself.
func (s *Server) updateAgent(c *call) {
	var u amtp.AgentUpdate
	if err := c.decode(&u, false); err != nil {
		c.fail(err)
		return
	}
	a, err := s.Agents.Update(c.r.Context(), c.principal, c.r.PathValue("name"), u)
	c.note("agent", a.Address.String(), "members", given(&u))
	c.result(http.StatusOK, a, err)
}

// given names the members of an update; their values may be secrets.
func given(u *amtp.AgentUpdate) string {
	var names []string
	v := reflect.ValueOf(u).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// deleteAgent ends an agent.
func (s *Server) deleteAgent(c *call) {
	address, err := s.Agents.Delete(c.r.Context(), c.principal, c.r.PathValue("name"))
	c.note("agent", address.String())
	c.result(http.StatusOK, map[string]any{
		"message": "Agent unregistered successfully", "name": address.Local(), "address": address,
	}, err)
}

// issueKey gives an agent a new key.
func (s *Server) issueKey(c *call) {
	var wish struct {
		RevokeOthers bool `json:"revoke_others"`
	}
	if err := c.decode(&wish, true); err != nil {
		c.fail(err)
		return
	}
	key, err := s.Agents.IssueKey(c.r.Context(), c.principal, c.r.PathValue("name"), wish.RevokeOthers)
	c.note("agent", key.Address.String(), "key", key.ID, "revoked", key.Revoked)
	c.result(http.StatusCreated, key, err)
}

// listKeys lists an agent's keys without their secrets.
func (s *Server) listKeys(c *call) {
	keys, err := s.Agents.Keys(c.r.Context(), c.principal, c.r.PathValue("name"))
	c.result(http.StatusOK, keys, err)
}

// revokeKey ends one key.
func (s *Server) revokeKey(c *call) {
	kid := c.r.PathValue("kid")
	address, err := s.Agents.RevokeKey(c.r.Context(), c.principal, c.r.PathValue("name"), kid)
	c.note("agent", address.String(), "key", kid)
	c.result(http.StatusOK, map[string]any{"message": "Key revoked", "id": kid, "address": address}, err)
}

// renewPushSecret gives a push agent's endpoint a new secret.
func (s *Server) renewPushSecret(c *call) {
	var wish struct {
		AtOnce bool `json:"at_once"`
	}
	if err := c.decode(&wish, true); err != nil {
		c.fail(err)
		return
	}
	issued, err := s.Agents.RenewPushSecret(c.r.Context(), c.principal, c.r.PathValue("name"), wish.AtOnce)
	c.note("agent", issued.Address.String(), "at_once", wish.AtOnce)
	c.result(http.StatusCreated, issued, err)
}

// whoAmI tells an agent the identity that its key proves.
func (s *Server) whoAmI(c *call) {
	who, err := s.Agents.WhoAmI(c.r.Context(), c.principal)
	c.result(http.StatusOK, who, err)
}

// discover lists the agents of this domain. AMTP §3.
func (s *Server) discover(c *call) {
	if !c.asks() {
		return
	}
	q, p := c.agentQuery()
	page := agent.Page{After: s.agentCursor(p, ofListed), Limit: p.agentLimit()}
	if c.stranger() {
		page.Limit = min(page.Limit, strangersPage)
	}
	if p.err != nil {
		c.fail(p.err)
		return
	}
	list, next, err := s.Agents.Discover(c.r.Context(), c.principal, agent.QueryOf(q), page)
	if list.NextCursor = ofListed.agentText(list.HasMore, next); list.Incomplete {
		list.NextCursor = s.hiddenCursorText(next)
	}
	c.result(http.StatusOK, list, err)
}

// agentQuery reads the conditions of the query, and returns all its parameters.
func (c *call) agentQuery() (amtp.AgentQuery, *params) {
	p := c.params()
	q := amtp.AgentQuery{
		Address:      p.text("address"),
		Role:         p.text("role"),
		DeliveryMode: p.oneOf("delivery_mode", "pull", "push"),
		ActiveOnly:   p.flag("active_only"),
		Capability:   p.text("capability"),
		Schema:       p.text("schema"),
	}
	return q, p
}
