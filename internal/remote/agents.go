package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// Bounds of the calls and of the memory for their answers.
const (
	listTime      = time.Minute // how long a list is remembered
	refusedTime   = askAgain    // how long a refusal is remembered
	callTime      = 10 * time.Second
	atOnce        = 16      // gateways that are asked at the same time
	maxAnswer     = 1 << 20 // bytes of one answer
	maxRemembered = 8 << 20 // bytes of all answers that are remembered
	overhead      = 1 << 10 // bytes that count in addition to those of an answer
	maxCursor     = 512     // bytes of a cursor
	usualLimit    = 1000    // agents on a page without a limit in the request
	lessEach      = 8       // the limit is divided by this if the answer is too large
	asksAgain     = 3       // how often it is divided
)

// remembered is an answer, which is never changed.
type remembered struct {
	list    amtp.AgentList
	refused error
	until   time.Time
	size    int // bytes, about
}

// Agents lists the agents that the domain's gateway shows to all callers. The other gateway
// applies the conditions. The error is DOMAIN_NOT_FOUND if there is no list, and
// TEMPORARY_FAILURE if there is none now.
func (s *Domains) Agents(ctx context.Context, p gateway.Principal, d amtp.Domain, q amtp.AgentQuery) (amtp.AgentList,
	error) {
	if refused := mayAsk(p); refused != nil {
		return amtp.AgentList{}, refused
	}
	key := string(d) + "?" + conditions(q)
	if r, ok := s.lists.Get(key); ok && s.now().Before(r.until) {
		return r.list, r.refused
	}
	// A caller that stops waiting does not stop the call for the others.
	asked := context.WithoutCancel(ctx)
	answers := s.flight.DoChan(key, func() (any, error) { return s.learn(asked, key, d, q), nil })
	select {
	case a := <-answers:
		r := a.Val.(remembered)
		return r.list, r.refused
	case <-ctx.Done():
		return amtp.AgentList{}, notNow("The gateway of %s does not answer now. Try again.", d)
	}
}

// conditions writes the query of the request.
func conditions(q amtp.AgentQuery) string {
	v := make(url.Values)
	for name, value := range map[string]string{"address": q.Address, "role": q.Role, "delivery_mode": q.DeliveryMode,
		"capability": q.Capability, "schema": q.Schema, "cursor": q.Cursor} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.ActiveOnly {
		v.Set("active_only", "true")
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v.Encode()
}

// learn asks the domain's gateway and remembers the result.
func (s *Domains) learn(ctx context.Context, key string, d amtp.Domain, q amtp.AgentQuery) remembered {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return remembered{refused: notNow("This gateway is asking as many others as it may. Try again.")}
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, fewer, refused := s.askLess(ctx, d, q)
	r := remembered{refused: refused, size: len(body) + overhead}
	if refused == nil {
		r.list, r.refused = s.read(d, body)
		r.list.Incomplete = fewer && r.list.HasMore
	}
	r.until = s.now().Add(listTime)
	if r.refused != nil {
		r.until = s.now().Add(refusedTime)
	}
	s.lists.Set(key, r)
	return r
}

// askLess asks for a page, and for smaller pages while the answer is too large. fewer says
// that it asked for a smaller page.
func (s *Domains) askLess(ctx context.Context, d amtp.Domain, q amtp.AgentQuery) (body []byte, fewer bool,
	refused error) {
	for again := 0; ; again++ {
		body, large, refused := s.ask(ctx, d, conditions(q))
		if !large || again == asksAgain || q.Limit == 1 {
			return body, again > 0, refused
		}
		q.Limit = max(cmp.Or(q.Limit, usualLimit)/lessEach, 1)
	}
}

// ask makes the request and returns the body of a good answer. large says that the answer
// was refused because of its size.
func (s *Domains) ask(ctx context.Context, d amtp.Domain, query string) (body []byte, large bool, refused error) {
	found, refused := s.find(ctx, d)
	if refused != nil {
		return nil, false, refused
	}
	path := "/v1/discovery/agents"
	if query != "" {
		path += "?" + query
	}
	a, err := Call(ctx, cmp.Or(found.Client, s.client), http.MethodGet, found.Gateway, path, nil)
	switch {
	case errors.Is(err, ErrAddress):
		return nil, false, notFound(d, "The address of the gateway of %s is no URL.", d)
	case err != nil && a.Status == 0:
		return nil, false, unreachable(d, err)
	case a.IsDown():
		return nil, false, notNow("The gateway of %s cannot list its agents now (%d). Try again.", d, a.Status)
	case a.Status != http.StatusOK:
		return nil, false, notFound(d, "The gateway of %s does not list its agents (%d).", d, a.Status)
	case err != nil:
		return nil, false, unreachable(d, err)
	case a.Large, len(a.Body) > maxAnswer:
		return nil, true, notFound(d,
			"The gateway of %s lists more than %d bytes; ask for fewer agents, by role, capability or limit.",
			d, maxAnswer)
	}
	return a.Body, false, nil
}

// unreachable is the error for a gateway that does not answer. The error's own text is
// not used, because it has addresses of machines.
func unreachable(d amtp.Domain, err error) error {
	if errors.Is(err, outbound.ErrForbidden) {
		return notFound(d,
			"The gateway of %s is at an address that this gateway does not go to; its operator allows it with outbound.allow.",
			d)
	}
	return notNow("The gateway of %s does not answer now. Try again.", d)
}

// read takes the agents out of an answer. Entries that are not of the domain, or not
// agents, are left out: a gateway speaks only for its own domain.
func (s *Domains) read(d amtp.Domain, body []byte) (amtp.AgentList, error) {
	var answer struct {
		Agents *[]json.RawMessage `json:"agents"`
		Count  json.RawMessage    `json:"agent_count"`
		More   json.RawMessage    `json:"has_more"`
		Next   json.RawMessage    `json:"next_cursor"`
		Capped json.RawMessage    `json:"count_capped"`
	}
	if err := strictjson.Decode(body, &answer); err != nil || answer.Agents == nil {
		return amtp.AgentList{}, notFound(d, "The gateway of %s answered with what is no list of agents.", d)
	}
	now := s.now()
	list := amtp.AgentList{Agents: []amtp.Agent{}, Domain: string(d), Timestamp: amtp.Time{Time: now}}
	for _, doc := range *answer.Agents {
		if a, ok := agent(doc, now); ok && a.Address.Domain() == d {
			list.Agents = append(list.Agents, a)
		}
	}
	list.AgentCount = len(list.Agents)
	var more, capped bool
	var next string
	var count int
	// The members about further pages are used if they can be read.
	if json.Unmarshal(answer.More, &more) == nil && more && json.Unmarshal(answer.Next, &next) == nil && next != "" &&
		len(next) <= maxCursor {
		list.HasMore, list.NextCursor = true, next
		if json.Unmarshal(answer.Count, &count) == nil {
			list.AgentCount = max(count, list.AgentCount)
			list.CountCapped = json.Unmarshal(answer.Capped, &capped) == nil && capped
		}
	}
	return list, nil
}

// agent reads one agent of a list. It takes only the protocol's members, and none that
// would change how this gateway treats the agent.
func agent(doc []byte, now time.Time) (amtp.Agent, bool) {
	var said struct {
		Address          amtp.Address `json:"address"`
		DeliveryMode     string       `json:"delivery_mode"`
		Description      string       `json:"description"`
		Role             string       `json:"role"`
		Capabilities     []string     `json:"capabilities"`
		SupportedSchemas []string     `json:"supported_schemas"`
		CreatedAt        amtp.Time    `json:"created_at"`
		LastActive       amtp.Time    `json:"last_active"`
		Active           *bool        `json:"active"`
	}
	if strictjson.DecodeValue(doc, &said) != nil || said.DeliveryMode != "pull" && said.DeliveryMode != "push" {
		return amtp.Agent{}, false
	}
	a := amtp.Agent{
		Address: said.Address, DeliveryMode: said.DeliveryMode, Description: said.Description, Role: said.Role,
		Capabilities:     append([]string{}, said.Capabilities...),
		SupportedSchemas: append([]string{}, said.SupportedSchemas...),
		CreatedAt:        said.CreatedAt, LastActive: said.LastActive, Listed: true,
		Active: now.Sub(said.LastActive.Time) < gateway.ActiveWithin,
	}
	if said.Active != nil {
		a.Active = *said.Active
	}
	return a, true
}
