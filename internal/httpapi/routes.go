// Package httpapi is the JSON API of a gateway. A handler decodes the request,
// calls one service and encodes its answer. The table of routes says who may call each
// operation. Where that depends on the object, the services decide from the principal
// that access found.
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
	"github.com/amtp-go/amtp/internal/gateway"
)

// route is one operation of the API.
type route struct {
	method  string
	pattern string // of http.ServeMux, without the method
	who     who
	// changed is the log line, at the default level, of an operation that succeeded. Every
	// operation that changes the gateway has one: its agents, keys, peers, domain and
	// certificates, and an operator's changes to the queue. It is "" for reading, for the
	// traffic of messages and for probes.
	changed string
	handle  func(*Server, *call)
}

// who is the group of callers of an operation. Where access depends on the object of the
// call, the service decides from the principal. In every group, a key that is shown must
// be right. The exceptions are everyone, and keys that the development profile tolerates.
type who int

// The callers.
const (
	everyone   who = iota // all callers; their keys are not checked
	anybody               // all callers; the answer depends on the caller
	client                // as anybody; with access.AnyAdmin, for the reference's command line
	registrant            // the operator, and all callers in the development profile; with access.AnyKey
	reader                // the operator, and an agent for its own messages
	self                  // an agent, with its own key
	owner                 // the operator, and an agent for itself
	operators             // the operator, with the admin key; this is checked here
)

// tolerance says which keys count as no key. The probes and the document are for
// everyone, whatever key a client sends: an ended key must not make a gateway look dead.
func (w who) tolerance() access.Tolerance {
	switch w {
	case everyone:
		return nobody
	case client:
		return access.AnyAdmin
	case registrant:
		return access.AnyKey
	}
	return access.Strict
}

// admits returns the refusal of a caller to whom the route is not open, nil for others.
func (w who) admits(p *gateway.Principal) error {
	if w == operators && !p.Admin {
		return gateway.NeedAdmin(p)
	}
	return nil
}

// routes is the API.
var routes = []route{
	{"POST", "/v1/messages", client, "", (*Server).send},
	{"GET", "/v1/messages", reader, "", (*Server).listMessages},
	{"GET", "/v1/messages/{id}", reader, "", (*Server).message},
	{"POST", "/v1/messages/{id}/labels", self, "", (*Server).labelMessage},
	{"GET", "/v1/messages/{id}/status", client, "", (*Server).status},

	{"GET", "/v1/threads", self, "", (*Server).listThreads},
	{"GET", "/v1/threads/{id}", self, "", (*Server).thread},
	{"GET", "/v1/search", self, "", (*Server).search},

	{"GET", "/v1/inbox/{recipient}", self, "", (*Server).inbox},
	{"GET", "/v1/inbox/{recipient}/events", self, "", (*Server).events},
	{"POST", "/v1/inbox/{recipient}/{id}/read", self, "", (*Server).markRead},
	{"POST", "/v1/inbox/{recipient}/claim", self, "", (*Server).claim},
	{"POST", "/v1/inbox/{recipient}/{id}/extend", self, "", (*Server).extend},
	{"POST", "/v1/inbox/{recipient}/{id}/nack", self, "", (*Server).giveBack},
	{"POST", "/v1/inbox/{recipient}/{id}/reject", self, "", (*Server).reject},
	{"DELETE", "/v1/inbox/{recipient}/{id}", self, "", (*Server).acknowledge},
	{"POST", "/v1/inbox/{recipient}/ack", self, "", (*Server).acknowledgeAll},

	{"GET", "/v1/discovery/agents", anybody, "", (*Server).discover},
	{"GET", "/v1/discovery/agents/{domain}", anybody, "", (*Server).discoverDomain},
	{"GET", "/v1/discovery/keys", anybody, "", (*Server).domainKeys},
	{"GET", "/v1/capabilities/{domain}", anybody, "", (*Server).capabilities},
	{"POST", "/v1/peers/check", anybody, "", (*Server).answerPeer},

	{"POST", "/v1/admin/agents", registrant, "an agent was registered", (*Server).register},
	{"GET", "/v1/admin/agents", operators, "", (*Server).listAgents},
	{"GET", "/v1/admin/agents/{name}", owner, "", (*Server).showAgent},
	{"PATCH", "/v1/admin/agents/{name}", owner, "an agent was changed", (*Server).updateAgent},
	{"DELETE", "/v1/admin/agents/{name}", owner, "an agent was deleted", (*Server).deleteAgent},
	{"POST", "/v1/admin/agents/{name}/keys", owner, "a key was issued to an agent", (*Server).issueKey},
	{"GET", "/v1/admin/agents/{name}/keys", owner, "", (*Server).listKeys},
	{"DELETE", "/v1/admin/agents/{name}/keys/{kid}", owner, "a key of an agent was revoked", (*Server).revokeKey},
	{"POST", "/v1/admin/agents/{name}/push-secret", owner,
		"the push secret of an agent was renewed", (*Server).renewPushSecret},
	{"POST", "/v1/admin/domain", operators, "a domain was prepared", (*Server).prepareDomain},
	{"GET", "/v1/admin/keys", operators, "", (*Server).listSigningKeys},
	{"POST", "/v1/admin/keys", operators, "a signing key was made", (*Server).makeSigningKey},
	{"POST", "/v1/admin/keys/{selector}/use", operators, "a signing key was taken into use", (*Server).useSigningKey},
	{"DELETE", "/v1/admin/keys/{selector}", operators, "a signing key was retired", (*Server).retireSigningKey},
	{"GET", "/v1/admin/certificate", operators, "", (*Server).showCertificate},
	{"POST", "/v1/admin/certificate/renew", operators,
		"the certificates were renewed on request", (*Server).renewCertificate},
	{"GET", "/v1/admin/limits", operators, "", (*Server).showLimits},
	{"GET", "/v1/admin/peers", operators, "", (*Server).listPeers},
	{"POST", "/v1/admin/peers", operators, "a peer was added", (*Server).addPeer},
	{"DELETE", "/v1/admin/peers/{domain}", operators, "a peer was removed", (*Server).removePeer},
	{"POST", "/v1/admin/peers/{domain}/check", operators, "", (*Server).checkPeer},
	{"POST", "/v1/admin/invites", operators, "an invitation was made", (*Server).makeInvite},
	{"POST", "/v1/admin/resume", operators, "the pause was ended: messages are accepted", (*Server).resume},

	{"GET", "/v1/admin/queue", operators, "", (*Server).listJobs},
	{"GET", "/v1/admin/queue/{job}", operators, "", (*Server).showJob},
	{"POST", "/v1/admin/queue/{job}/retry", operators, "a job is tried at once", (*Server).retryJob},
	{"DELETE", "/v1/admin/queue/{job}", operators, "a job was cancelled", (*Server).cancelJob},
	{"GET", "/v1/admin/dead-letters", operators, "", (*Server).listDead},
	{"DELETE", "/v1/admin/dead-letters", operators, "dead letters were removed", (*Server).purgeDead},
	{"POST", "/v1/admin/dead-letters/redrive", operators, "dead letters were queued again", (*Server).redriveDead},
	{"GET", "/v1/admin/dead-letters/{id}", operators, "", (*Server).showDead},
	{"DELETE", "/v1/admin/dead-letters/{id}", operators, "a dead letter was removed", (*Server).purgeOneDead},

	{"POST", "/v1/join", anybody, "an agent joined by an invitation", (*Server).join},
	{"GET", "/v1/whoami", self, "", (*Server).whoAmI},
	{"GET", "/v1/openapi.json", everyone, "", (*Server).openAPI},
	{"GET", "/health", everyone, "", (*Server).health},
	{"GET", "/ready", everyone, "", (*Server).ready},
}

// probes are the paths that answer HEAD like GET, without the body (RFC 9110 §9.3.2).
// Load balancers and monitors use HEAD.
var probes = []string{"/health", "/ready"}

// doubling lists the operations that clients of the reference gateway call with a doubled
// slash. They do so when the URL in their configuration ends in a slash.
var doubling = []string{
	"POST /v1/messages", "GET /v1/messages/{id}/status", "GET /v1/inbox/{recipient}",
	"DELETE /v1/inbox/{recipient}/{id}",
	"GET /v1/discovery/agents", "GET /v1/discovery/agents/{domain}", "POST /v1/admin/agents",
	"DELETE /v1/admin/agents/{name}", "GET /health",
}

// mayDouble reports whether the path of the request may begin with a doubled slash.
func mayDouble(mux *http.ServeMux, r *http.Request) bool {
	_, pattern := mux.Handler(r)
	return slices.Contains(doubling, pattern)
}

// mux routes requests to the operations. A path that exists without the method of the
// request is 405, with the methods that it has. A path that does not exist is 404.
func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	allowed := make(map[string]string)
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.pattern, s.serveTo(r.who.tolerance(), func(s *Server, c *call) {
			err := r.who.admits(&c.principal)
			if err == nil {
				err = r.checkMailbox(c)
			}
			if err != nil {
				c.fail(err)
				return
			}
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
		if r.method == http.MethodGet && !slices.Contains(probes, r.pattern) { // else the mux would serve HEAD
			mux.HandleFunc("HEAD "+r.pattern, s.serve(func(_ *Server, c *call) {
				c.methodNotAllowed(allowed[r.pattern])
			}))
		}
	}
	for pattern, methods := range allowed {
		if _, wider := allowed[path.Dir(pattern)+"/{id}"]; wider && !strings.HasSuffix(pattern, "}") {
			continue // the mux refuses two patterns that conflict
		}
		mux.HandleFunc(pattern, s.serve(func(_ *Server, c *call) {
			// A path such as /v1/inbox/{recipient}/events is also one of .../{id}.
			if own := allowed[path.Dir(pattern)+"/"+path.Base(c.r.URL.Path)]; own != "" {
				c.methodNotAllowed(own)
				return
			}
			c.methodNotAllowed(methods)
		}))
	}
	mux.HandleFunc("/", s.serve(func(_ *Server, c *call) { c.noRoute() }))
	return mux
}
