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
	"strings"
)

// route is one operation of the API.
type route struct {
	method  string
	pattern string // of http.ServeMux, without the method
	handle  func(*Server, *call)
}

// routes is the API.
var routes = []route{
	{"POST", "/v1/messages", (*Server).send},
	{"GET", "/v1/messages", (*Server).listMessages},
	{"GET", "/v1/messages/{id}", (*Server).message},
	{"GET", "/v1/messages/{id}/status", (*Server).status},

	{"GET", "/v1/inbox/{recipient}", (*Server).inbox},
	{"POST", "/v1/inbox/{recipient}/{id}/read", (*Server).markRead},
	{"DELETE", "/v1/inbox/{recipient}/{id}", (*Server).acknowledge},

	{"GET", "/v1/discovery/agents", (*Server).discover},
	{"GET", "/v1/discovery/agents/{domain}", (*Server).discoverDomain},
	{"GET", "/v1/discovery/keys", (*Server).domainKeys},
	{"GET", "/v1/capabilities/{domain}", (*Server).capabilities},
	{"POST", "/v1/peers/check", (*Server).answerPeer},

	{"POST", "/v1/admin/agents", (*Server).register},
	{"GET", "/v1/admin/agents", (*Server).listAgents},
	{"GET", "/v1/admin/agents/{name}", (*Server).showAgent},
	{"PATCH", "/v1/admin/agents/{name}", (*Server).updateAgent},
	{"DELETE", "/v1/admin/agents/{name}", (*Server).deleteAgent},
	{"POST", "/v1/admin/agents/{name}/keys", (*Server).issueKey},
	{"GET", "/v1/admin/agents/{name}/keys", (*Server).listKeys},
	{"DELETE", "/v1/admin/agents/{name}/keys/{kid}", (*Server).revokeKey},
	{"POST", "/v1/admin/agents/{name}/push-secret", (*Server).renewPushSecret},
	{"POST", "/v1/admin/domain", (*Server).prepareDomain},
	{"GET", "/v1/admin/keys", (*Server).listSigningKeys},
	{"POST", "/v1/admin/keys", (*Server).makeSigningKey},
	{"POST", "/v1/admin/keys/{selector}/use", (*Server).useSigningKey},
	{"DELETE", "/v1/admin/keys/{selector}", (*Server).retireSigningKey},
	{"GET", "/v1/admin/certificate", (*Server).showCertificate},
	{"POST", "/v1/admin/certificate/renew", (*Server).renewCertificate},
	{"GET", "/v1/admin/peers", (*Server).listPeers},
	{"POST", "/v1/admin/peers", (*Server).addPeer},
	{"DELETE", "/v1/admin/peers/{domain}", (*Server).removePeer},
	{"POST", "/v1/admin/peers/{domain}/check", (*Server).checkPeer},
	{"POST", "/v1/admin/invites", (*Server).makeInvite},
	{"POST", "/v1/admin/resume", (*Server).resume},

	{"GET", "/v1/admin/queue", (*Server).listJobs},
	{"GET", "/v1/admin/queue/{job}", (*Server).showJob},
	{"POST", "/v1/admin/queue/{job}/retry", (*Server).retryJob},
	{"DELETE", "/v1/admin/queue/{job}", (*Server).cancelJob},
	{"GET", "/v1/admin/dead-letters", (*Server).listDead},
	{"DELETE", "/v1/admin/dead-letters", (*Server).purgeDead},
	{"POST", "/v1/admin/dead-letters/redrive", (*Server).redriveDead},
	{"GET", "/v1/admin/dead-letters/{id}", (*Server).showDead},
	{"DELETE", "/v1/admin/dead-letters/{id}", (*Server).purgeOneDead},

	{"POST", "/v1/join", (*Server).join},
	{"GET", "/v1/whoami", (*Server).whoAmI},
	{"GET", "/v1/openapi.json", (*Server).openAPI},
	{"GET", "/health", (*Server).health},
	{"GET", "/ready", (*Server).ready},
}

// mux routes to the operations. A path that exists but not with the method is
// 405 with the methods that it has; any other is 404.
func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	allowed := make(map[string]string)
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.pattern, s.serve(func(s *Server, c *call) {
			if c.r.Method != r.method { // the mux has GET answer HEAD too
				c.methodNotAllowed(allowed[r.pattern])
				return
			}
			r.handle(s, c)
		}))
		if allowed[r.pattern] != "" {
			allowed[r.pattern] += ", "
		}
		allowed[r.pattern] += r.method
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
