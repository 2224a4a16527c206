package remote_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/test/nowhere"
)

// other is the gateway of b.example, which discovery finds.
type other struct {
	http.HandlerFunc
	asked atomic.Int64
	query atomic.Value
	err   error // of discovery
	url   string
	now   atomic.Int64 // seconds
}

func (o *other) Gateway(context.Context, amtp.Domain) (discovery.Found, error) {
	c := amtp.Capabilities{Version: "1.0", Gateway: o.url, MaxSize: 5000, Auth: []string{"sig"}}
	return discovery.Found{Capabilities: c, TTL: time.Minute, DiscoveredAt: time.Unix(1000, 0)}, o.err
}

func (o *other) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	o.query.Store(r.URL.String() + " " + r.Header.Get("Authorization") + r.Header.Get("X-Api-Key"))
	w.Header().Set("Content-Type", "application/json")
	o.HandlerFunc(w, r)
}

// answers makes b.example answer with the status and body.
func answers(t *testing.T, status int, body string) (*remote.Domains, *other) {
	t.Helper()
	o := &other{HandlerFunc: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}}
	s := httptest.NewServer(o)
	t.Cleanup(s.Close)
	o.url = s.URL
	client := outbound.New(outbound.Options{PlainHTTP: true, Allow: rules(s.URL)})
	t.Cleanup(client.CloseIdleConnections)
	return remote.New(o, client, func() time.Time { return time.Unix(1e9+o.now.Load(), 0) }), o
}

var key = gateway.Principal{Agent: &gateway.Agent{ID: 1}}

const twoAgents = `{"agents":[
	{"address":"Bob@b.example","delivery_mode":"pull","role":"sales","capabilities":["quotes"],"last_active":"2001-09-09T01:00:00Z","created_at":"2001-01-01T00:00:00Z","api_key":"amtp_stolen","listed":false},
	{"address":"carol@b.example","delivery_mode":"push","active":true,"extra":[1,2]},
	{"address":"alice@a.example","delivery_mode":"pull"},
	{"address":"no address","delivery_mode":"pull"},
	{"address":"dan@b.example","delivery_mode":"pigeon"},
	{"address":"eve@b.example","delivery_mode":"pull","role":7},
	null, 7],"agent_count":99,"domain":"a.example"}`

// TestAgents: a gateway speaks for the agents of its own domain only. Members that are not
// the protocol's are not passed on.
func TestAgents(t *testing.T) {
	s, o := answers(t, 200, twoAgents)
	list, refused := s.Agents(t.Context(), key, "b.example",
		amtp.AgentQuery{Role: "sales & more", ActiveOnly: true, DeliveryMode: "pull", Capability: "c", Schema: "x:*",
			Address: "bob@b.example"})
	if refused != nil {
		t.Fatal(refused)
	}
	if list.AgentCount != 2 || len(list.Agents) != 2 || list.Domain != "b.example" || list.Timestamp.Unix() != 1e9 {
		t.Fatalf("the list is %+v, want two agents of b.example", list)
	}
	if list.HasMore || list.NextCursor != "" {
		t.Errorf("the list goes on at %q, which is not in the answer", list.NextCursor)
	}
	bob, carol := list.Agents[0], list.Agents[1]
	if bob.Address.String() != "Bob@b.example" || bob.Role != "sales" || len(bob.Capabilities) != 1 || !bob.Active ||
		!bob.Listed || bob.APIKey != "" {
		t.Errorf("bob is %+v", bob)
	}
	if carol.DeliveryMode != "push" || !carol.Active || carol.Capabilities == nil || carol.SupportedSchemas == nil {
		t.Errorf("carol is %+v", carol)
	}
	want := "/v1/discovery/agents?active_only=true&address=bob%40b.example&capability=c&delivery_mode=pull&role=sales+%26+more&schema=x%3A%2A "
	if got := o.query.Load(); got != want {
		t.Errorf("it was asked %q, want %q", got, want)
	}
}

// TestRefusals: an answer that is not a list is 404, and an error that may pass is 503.
func TestRefusals(t *testing.T) {
	for what, c := range map[string]struct {
		status int
		body   string
		err    error
		want   amtp.Code
	}{
		"a gateway without discovery": {404, `{}`, nil, amtp.CodeDomainNotFound},
		"one that wants a key":        {401, `{}`, nil, amtp.CodeDomainNotFound},
		"a redirect":                  {302, ``, nil, amtp.CodeDomainNotFound},
		"a page":                      {200, `<html>`, nil, amtp.CodeDomainNotFound},
		"another object":              {200, `{"status":"ok"}`, nil, amtp.CodeDomainNotFound},
		"a list by another name":      {200, `{"Agents":[]}`, nil, amtp.CodeDomainNotFound},
		"a list twice":                {200, `{"agents":[],"agents":[]}`, nil, amtp.CodeDomainNotFound},
		"too much": {200, `{"agents":["` + strings.Repeat("x", 2<<20) + `"]}`, nil,
			amtp.CodeDomainNotFound},
		"one that is not well": {503, `{}`, nil, amtp.CodeTemporaryFailure},
		"one that is busy":     {429, `{}`, nil, amtp.CodeTemporaryFailure},
		"no domain":            {200, twoAgents, fmt.Errorf("%w", discovery.ErrNoDomain), amtp.CodeDomainNotFound},
		"no record":            {200, twoAgents, fmt.Errorf("%w", discovery.ErrNone), amtp.CodeDomainNotFound},
		"a bad record":         {200, twoAgents, fmt.Errorf("%w", discovery.ErrInvalid), amtp.CodeDomainNotFound},
		"DNS that fails":       {200, twoAgents, fmt.Errorf("%w", discovery.ErrTemporary), amtp.CodeTemporaryFailure},
	} {
		s, o := answers(t, c.status, c.body)
		o.err = c.err
		_, refused := s.Agents(t.Context(), key, "b.example", amtp.AgentQuery{})
		if refused == nil || gateway.CodeOf(refused) != c.want ||
			(c.want == amtp.CodeTemporaryFailure) != (gateway.Refusal(refused).RetryAfter > 0) {
			t.Errorf("%s: %v, want %s", what, refused, c.want)
		}
		if found, refused := s.Capabilities(t.Context(), key, "b.example"); (refused == nil) != (c.err == nil) ||
			c.err != nil && gateway.CodeOf(refused) != c.want {
			t.Errorf("capabilities with %s: %+v, %v", what, found, refused)
		}
	}
	s, o := answers(t, 200, twoAgents)
	o.url = "http://" + nowhere.Address(t).String()
	if _, refused := s.Agents(t.Context(), key, "b.example", amtp.AgentQuery{}); refused == nil ||
		gateway.CodeOf(refused) != amtp.CodeDomainNotFound || !strings.Contains(gateway.Refusal(refused).Message, "outbound.allow") {
		t.Errorf("a gateway at an address that is not allowed: %v", refused)
	}
}

// TestRemembered: the gateway is asked for a list once a minute, or once in ten seconds after
// a refusal, however many callers ask.
func TestRemembered(t *testing.T) {
	s, o := answers(t, 200, twoAgents)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if list, refused := s.Agents(t.Context(), key, "b.example", amtp.AgentQuery{}); refused != nil ||
				list.AgentCount != 2 {
				t.Errorf("list %+v, %v", list, refused)
			}
		})
	}
	all.Wait()
	ask := func(at int64, q amtp.AgentQuery, want int64) {
		t.Helper()
		o.now.Store(at)
		_, _ = s.Agents(t.Context(), key, "b.example", q)
		if got := o.asked.Load(); got != want {
			t.Errorf("after %d s it was asked %d times, want %d", at, got, want)
		}
	}
	ask(59, amtp.AgentQuery{}, 1)
	ask(59, amtp.AgentQuery{Role: "x"}, 2)
	ask(60, amtp.AgentQuery{}, 3)
	s, o = answers(t, 503, ``)
	ask(0, amtp.AgentQuery{}, 1)
	ask(9, amtp.AgentQuery{}, 1)
	ask(10, amtp.AgentQuery{}, 2)
}

// TestStrangers: strangers cause no questions, and localhost is not a domain that others find.
func TestStrangers(t *testing.T) {
	s, o := answers(t, 200, twoAgents)
	for _, p := range []gateway.Principal{{}, {Domain: "b.example",
		Found: gateway.Finding{Authentication: amtp.Authentication{Result: "pass"}}}, {Gateway: true}} {
		_, refused := s.Agents(t.Context(), p, "b.example", amtp.AgentQuery{})
		_, again := s.Capabilities(t.Context(), p, "b.example")
		if refused == nil || gateway.CodeOf(refused) != amtp.CodeMissingAuthorization || again == nil ||
			gateway.CodeOf(again) != gateway.CodeOf(refused) {
			t.Errorf("%+v: %v and %v, want MISSING_AUTHORIZATION", p, refused, again)
		}
	}
	for _, p := range []gateway.Principal{{Admin: true}, {Development: true}} {
		if _, refused := s.Capabilities(t.Context(), p, "b.example"); refused != nil {
			t.Errorf("%+v: %v", p, refused)
		}
	}
	if _, refused := s.Capabilities(t.Context(), key, "localhost"); refused == nil ||
		gateway.CodeOf(refused) != amtp.CodeDomainNotFound {
		t.Errorf("localhost: %v, want DOMAIN_NOT_FOUND", refused)
	}
	if o.asked.Load() != 0 {
		t.Errorf("it was asked %d times", o.asked.Load())
	}
}

// TestCapabilitiesOnTheWire: the answer has the form that the reference gateway prints.
func TestCapabilitiesOnTheWire(t *testing.T) {
	s, o := answers(t, 200, twoAgents)
	found, refused := s.Capabilities(t.Context(), key, "b.example")
	if refused != nil {
		t.Fatal(refused)
	}
	got, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":"1.0","gateway":"` + o.url +
		`","auth":["sig"],"max_size":5000,"discovered_at":"1970-01-01T00:16:40.000Z","ttl":60000000000}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// rules allows the one address of a test's server.
func rules(base string) []outbound.Rule {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // it comes from the server itself
	}
	at := netip.MustParseAddrPort(u.Host)
	return []outbound.Rule{{Prefix: netip.PrefixFrom(at.Addr(), at.Addr().BitLen()), Port: at.Port()}}
}

// TestPagesElsewhere: another gateway's cursor is passed on unchanged, if it can be read.
func TestPagesElsewhere(t *testing.T) {
	const one = `{"agents":[{"address":"bob@b.example","delivery_mode":"pull"}],"agent_count":99`
	for rest, want := range map[string]struct {
		count int
		next  string
	}{
		`}`: {1, ""}, `,"has_more":true,"next_cursor":"x1"}`: {99, "x1"}, `,"has_more":true}`: {1, ""},
		`,"has_more":1,"next_cursor":"x1"}`:                        {1, ""},
		`,"has_more":true,"next_cursor":"x1","count_capped":true}`: {99, "x1"},
		`,"has_more":true,"next_cursor":[]}`:                       {1, ""},
		`,"has_more":false,"next_cursor":"x1"}`:                    {1, ""},
	} {
		s, _ := answers(t, 200, one+rest)
		list, refused := s.Agents(t.Context(), key, "b.example", amtp.AgentQuery{Limit: 1, Cursor: "x0"})
		if refused != nil || list.AgentCount != want.count || list.NextCursor != want.next ||
			list.HasMore != (want.next != "") ||
			list.CountCapped != strings.Contains(rest, "capped") {
			t.Errorf("%s: %+v (%v), want %+v", rest, list, refused, want)
		}
	}
}

// TestListThatIsTooLarge: if an answer is too large, fewer agents are asked for.
func TestListThatIsTooLarge(t *testing.T) {
	const all = 1000
	about := strings.Repeat("x", 5000)
	s, o := answers(t, 200, "")
	o.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
		from, limit := 0, all
		fmt.Sscan(r.URL.Query().Get("cursor"), &from)
		fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		list := amtp.AgentList{Agents: []amtp.Agent{}, AgentCount: all}
		for i := from; i < min(from+limit, all); i++ {
			address, err := amtp.ParseAddress(fmt.Sprintf("a%d@b.example", i))
			if err != nil {
				t.Error(err)
			}
			list.Agents = append(list.Agents, amtp.Agent{Address: address, DeliveryMode: "pull", Description: about})
		}
		if from+limit < all {
			list.HasMore, list.NextCursor = true, fmt.Sprint(from+limit)
		}
		_ = json.NewEncoder(w).Encode(list)
	}
	var q amtp.AgentQuery
	seen := 0
	for {
		list, refused := s.Agents(t.Context(), key, "b.example", q)
		if refused != nil {
			t.Fatal(refused)
		}
		seen += len(list.Agents)
		if !list.HasMore {
			break
		}
		if !list.Incomplete || list.NextCursor == q.Cursor {
			t.Fatalf("%d agents behind %q, incomplete is %v, it goes on at %q; want that it says so and goes on",
				len(list.Agents), q.Cursor, list.Incomplete, list.NextCursor)
		}
		q.Cursor = list.NextCursor
	}
	if seen != all {
		t.Errorf("%d agents on all pages, want %d", seen, all)
	}
}

// TestListThatStaysTooLarge: a gateway that ignores the limit is asked a few times only.
func TestListThatStaysTooLarge(t *testing.T) {
	s, o := answers(t, 200, `{"agents":["`+strings.Repeat("x", 2<<20)+`"]}`)
	if _, refused := s.Agents(t.Context(), key, "b.example", amtp.AgentQuery{}); refused == nil ||
		gateway.CodeOf(refused) != amtp.CodeDomainNotFound {
		t.Errorf("refused as %v, want %s", refused, amtp.CodeDomainNotFound)
	}
	if n := o.asked.Load(); n != 4 {
		t.Errorf("it was asked %d times, want 4", n)
	}
}
