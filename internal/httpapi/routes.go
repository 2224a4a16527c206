// Package httpapi is the JSON API of a gateway. A handler decodes the request,
// calls one service and encodes its answer; who may do what is decided by the
// services from the principal that access found.
//
// Every answer is JSON and carries the request's id. A request that is refused
// has changed nothing; input never causes an answer of the 500s.
package httpapi

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/amtp-go/amtp/internal/access"
)

// route is one operation of the API.
type route struct {
	method  string
	pattern string // of http.ServeMux, without the method
	handle  func(*Server, *call)
	// changed is what the log says at its default level once the operation has
	// succeeded. Every operation that changes what the gateway is has one: its
	// agents, keys, peers, domain and certificates, and what an operator does to
	// the queue. "" is for reading, for the traffic of messages and for probes.
	changed string
}

// routes is the API.
var routes = []route{
	{"POST", "/v1/messages", (*Server).send, ""},
	{"GET", "/v1/messages", (*Server).listMessages, ""},
	{"GET", "/v1/messages/{id}", (*Server).message, ""},
	{"GET", "/v1/messages/{id}/status", (*Server).status, ""},

	{"GET", "/v1/inbox/{recipient}", (*Server).inbox, ""},
	{"POST", "/v1/inbox/{recipient}/{id}/read", (*Server).markRead, ""},
	{"DELETE", "/v1/inbox/{recipient}/{id}", (*Server).acknowledge, ""},

	{"GET", "/v1/discovery/agents", (*Server).discover, ""},
	{"GET", "/v1/discovery/agents/{domain}", (*Server).discoverDomain, ""},
	{"GET", "/v1/discovery/keys", (*Server).domainKeys, ""},
	{"GET", "/v1/capabilities/{domain}", (*Server).capabilities, ""},
	{"POST", "/v1/peers/check", (*Server).answerPeer, ""},

	{"POST", "/v1/admin/agents", (*Server).register, "an agent was registered"},
	{"GET", "/v1/admin/agents", (*Server).listAgents, ""},
	{"GET", "/v1/admin/agents/{name}", (*Server).showAgent, ""},
	{"PATCH", "/v1/admin/agents/{name}", (*Server).updateAgent, "an agent was changed"},
	{"DELETE", "/v1/admin/agents/{name}", (*Server).deleteAgent, "an agent was deleted"},
	{"POST", "/v1/admin/agents/{name}/keys", (*Server).issueKey, "a key was issued to an agent"},
	{"GET", "/v1/admin/agents/{name}/keys", (*Server).listKeys, ""},
	{"DELETE", "/v1/admin/agents/{name}/keys/{kid}", (*Server).revokeKey, "a key of an agent was revoked"},
	{"POST", "/v1/admin/agents/{name}/push-secret", (*Server).renewPushSecret,
		"the push secret of an agent was renewed"},
	{"POST", "/v1/admin/domain", (*Server).prepareDomain, "a domain was prepared"},
	{"GET", "/v1/admin/keys", (*Server).listSigningKeys, ""},
	{"POST", "/v1/admin/keys", (*Server).makeSigningKey, "a signing key was made"},
	{"POST", "/v1/admin/keys/{selector}/use", (*Server).useSigningKey, "a signing key was taken into use"},
	{"DELETE", "/v1/admin/keys/{selector}", (*Server).retireSigningKey, "a signing key was retired"},
	{"GET", "/v1/admin/certificate", (*Server).showCertificate, ""},
	{"POST", "/v1/admin/certificate/renew", (*Server).renewCertificate, "the certificates were renewed on request"},
	{"GET", "/v1/admin/limits", (*Server).showLimits, ""},
	{"GET", "/v1/admin/peers", (*Server).listPeers, ""},
	{"POST", "/v1/admin/peers", (*Server).addPeer, "a peer was added"},
	{"DELETE", "/v1/admin/peers/{domain}", (*Server).removePeer, "a peer was removed"},
	{"POST", "/v1/admin/peers/{domain}/check", (*Server).checkPeer, ""},
	{"POST", "/v1/admin/invites", (*Server).makeInvite, "somebody was invited"},
	{"POST", "/v1/admin/resume", (*Server).resume, "the pause was ended: messages are accepted"},

	{"GET", "/v1/admin/queue", (*Server).listJobs, ""},
	{"GET", "/v1/admin/queue/{job}", (*Server).showJob, ""},
	{"POST", "/v1/admin/queue/{job}/retry", (*Server).retryJob, "a job is tried at once"},
	{"DELETE", "/v1/admin/queue/{job}", (*Server).cancelJob, "a job was cancelled"},
	{"GET", "/v1/admin/dead-letters", (*Server).listDead, ""},
	{"DELETE", "/v1/admin/dead-letters", (*Server).purgeDead, "dead letters were removed"},
	{"POST", "/v1/admin/dead-letters/redrive", (*Server).redriveDead, "dead letters were queued again"},
	{"GET", "/v1/admin/dead-letters/{id}", (*Server).showDead, ""},
	{"DELETE", "/v1/admin/dead-letters/{id}", (*Server).purgeOneDead, "a dead letter was removed"},

	{"POST", "/v1/join", (*Server).join, "somebody joined by an invitation"},
	{"GET", "/v1/whoami", (*Server).whoAmI, ""},
	{"GET", "/v1/openapi.json", (*Server).openAPI, ""},
	{"GET", "/health", (*Server).health, ""},
	{"GET", "/ready", (*Server).ready, ""},
}

// probes are the paths that answer HEAD as GET, without the body (RFC 9110
// §9.3.2): load balancers and monitors ask so.
var probes = []string{"/health", "/ready"}

// tolerances are the operations that have one. The probes and the document are for
// everybody, whatever key a client sends along: a key that has ended is no reason to
// take a gateway for a dead one.
var tolerances = map[string]access.Tolerance{
	"GET /health":                  nobody,
	"GET /ready":                   nobody,
	"GET /v1/openapi.json":         nobody,
	"POST /v1/admin/agents":        access.AnyKey,
	"POST /v1/messages":            access.AnyAdmin,
	"GET /v1/messages/{id}/status": access.AnyAdmin,
}

// doubling are the operations that the reference's clients call with a doubled slash
// when the URL in their configuration ends in one.
var doubling = []string{
	"POST /v1/messages", "GET /v1/messages/{id}/status", "GET /v1/inbox/{recipient}",
	"DELETE /v1/inbox/{recipient}/{id}",
	"GET /v1/discovery/agents", "GET /v1/discovery/agents/{domain}", "POST /v1/admin/agents",
	"DELETE /v1/admin/agents/{name}", "GET /health",
}

// mayDouble reports whether the slash that a request began with twice does not matter.
func mayDouble(mux *http.ServeMux, r *http.Request) bool {
	_, pattern := mux.Handler(r)
	return slices.Contains(doubling, pattern)
}

// mux routes to the operations. A path that exists but not with the method is 405
// with the methods that it has; any other is 404.
func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	allowed := make(map[string]string)
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.pattern, s.serveTo(tolerances[r.method+" "+r.pattern], func(s *Server, c *call) {
			r.handle(s, c)
			c.logChange(r.changed)
		}))
		if allowed[r.pattern] != "" {
			allowed[r.pattern] += ", "
		}
		allowed[r.pattern] += r.method
		if slices.Contains(probes, r.pattern) {
			allowed[r.pattern] += ", HEAD"
		}
	}
	for _, r := range routes {
		if r.method == http.MethodGet && !slices.Contains(probes, r.pattern) { // which the mux would serve
			mux.HandleFunc("HEAD "+r.pattern, s.serve(func(_ *Server, c *call) {
				c.methodNotAllowed(allowed[r.pattern])
			}))
		}
	}
	for pattern, methods := range allowed {
		if _, wider := allowed[path.Dir(pattern)+"/{id}"]; wider && !strings.HasSuffix(pattern, "}") {
			continue // the mux would not know which of the two is meant
		}
		mux.HandleFunc(pattern, s.serve(func(_ *Server, c *call) {
			if own := allowed[c.r.URL.Path]; own != "" {
				c.methodNotAllowed(own)
				return
			}
			c.methodNotAllowed(methods)
		}))
	}
	mux.HandleFunc("/", s.serve(func(_ *Server, c *call) { c.noRoute() }))
	return mux
}
