// Package access authenticates callers. It turns the credentials of a request into a
// gateway.Principal. Afterwards only the principal decides what the caller may do.
//
// It fails closed. A wrong credential is an error and never counts as none, except
// where the operation needs no credential (see Tolerance). An administrator's route
// without a configured key refuses every request.
package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Owners finds the agent whose key has a hash. gateway.Store is one.
type Owners interface {
	KeyOwner(ctx context.Context, hash [32]byte, now time.Time) (*gateway.Agent, string, error)
}

// Authenticator authenticates requests.
type Authenticator struct {
	Owners      Owners
	Admin       []string // the administrator's keys
	Development bool     // the development profile is on: see gateway.Principal.Development
	Failures    *Failures
	Proxies     Proxies // the proxies that are believed about a client's address
}

// Tolerance says which wrong keys count as none for an operation. It applies to a
// program on this machine in the development profile, where the operation needs no key.
type Tolerance int

// The tolerances. The published clients send the keys that they have: the command line
// an admin key that was never checked, the Python SDK the key of an agent that it has
// removed.
const (
	Strict   Tolerance = iota // no wrong key
	AnyAdmin                  // an admin key
	AnyKey                    // an admin key and an agent's
)

// Caller returns the principal of the request. The error is an *amtp.Error: 401 for a
// wrong key, 400 for credentials that contradict one another, 429 for an address that
// keeps guessing.
func (d *Authenticator) Caller(r *http.Request, now time.Time, tolerance Tolerance) (gateway.Principal, error) {
	admin, adminShown, err := header(r, "X-Admin-Key")
	if err != nil {
		return gateway.Principal{}, err
	}
	key, keyShown, err := credential(r)
	if err != nil {
		return gateway.Principal{}, err
	}
	p := gateway.Principal{}
	open := d.Development && fromHere(r)
	guessing := d.Failures.Over(d.Proxies.Client(r), now)
	switch {
	case adminShown && d.isAdmin(admin, guessing):
		p.Admin = true
	case adminShown:
		wrong := d.Wrong(r, now, amtp.Errorf(amtp.CodeAdminAccessDenied, "This is not an admin key of this gateway."))
		if adminShown = false; !open || tolerance == Strict {
			return p, wrong
		}
	}
	if keyShown {
		agent, id, fault := d.Owners.KeyOwner(r.Context(), sha256.Sum256([]byte(key)), now)
		switch {
		case fault == nil:
			p.Agent, p.KeyID = agent, id
		case d.isAdmin(key, guessing):
			p.Admin = true
		case !errors.Is(fault, gateway.ErrNotFound): // the owner of the key is unknown now
			return gateway.Principal{}, fault
		default:
			wrong := d.Wrong(r, now, gateway.Refusal(gateway.ErrRevoked))
			if keyShown = false; !open || tolerance != AnyKey {
				return gateway.Principal{}, wrong
			}
		}
	}
	p.Development = open && !adminShown && !keyShown
	return p, nil
}

// Wrong counts a wrong secret from the request's address. It replaces err when the
// address has sent too many of them.
func (d *Authenticator) Wrong(r *http.Request, now time.Time, err error) error {
	wait := d.Failures.Count(d.Proxies.Client(r), now)
	if wait == 0 {
		return err
	}
	limited := amtp.Errorf(amtp.CodeRateLimitExceeded,
		"Too many wrong keys from this address; wait and show the right one.")
	limited.RetryAfter = wait
	return limited
}

// minUnguessable is the length in characters from which an administrator's key cannot
// be found by guessing, however long that lasts. The keys that the gateway makes are
// longer.
const minUnguessable = 32

// isAdmin compares with every configured key in a time that depends only on their
// number. For an address that keeps guessing, a key short enough to be guessed does not
// count until the address has waited. Otherwise the one right guess would succeed.
func (d *Authenticator) isAdmin(key string, guessing bool) bool {
	sum := sha256.Sum256([]byte(key))
	found, unguessable := 0, 0
	for _, k := range d.Admin {
		want := sha256.Sum256([]byte(k))
		same := subtle.ConstantTimeCompare(sum[:], want[:])
		found |= same
		unguessable |= subtle.ConstantTimeSelect(subtle.ConstantTimeLessOrEq(minUnguessable, len(k)), same, 0)
	}
	if guessing {
		found = unguessable
	}
	return found == 1 && key != ""
}

// credential returns the key in Authorization (Bearer) or X-API-Key.
func credential(r *http.Request) (key string, shown bool, err error) {
	auth, shown, err := header(r, "Authorization")
	if err != nil {
		return "", false, err
	}
	api, apiShown, err := header(r, "X-Api-Key")
	if err != nil || !shown {
		return api, apiShown, err
	}
	scheme, token, _ := strings.Cut(auth, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, amtp.Errorf(amtp.CodeAuthenticationFailed, "Authorization must be written: Bearer KEY")
	}
	if token == "" {
		return api, apiShown, nil // a client without a key in this header
	}
	if apiShown && api != token {
		return "", false, amtp.Errorf(amtp.CodeInvalidRequest,
			"Authorization and X-API-Key show two different keys; send one.")
	}
	return token, true, nil
}

// header returns a header that may occur once. An empty value counts as absent.
func header(r *http.Request, name string) (string, bool, error) {
	values := r.Header[name]
	if len(values) > 1 {
		return "", false, amtp.Errorf(amtp.CodeInvalidRequest,
			"The header %s is in the request %d times; send it once.", name, len(values))
	}
	if len(values) == 0 || values[0] == "" {
		return "", false, nil
	}
	return values[0], true, nil
}

// ofBrowser has headers that browsers write and other programs do not.
var ofBrowser = map[string]bool{"Origin": true, "Cookie": true, "Referer": true, "Sec-Fetch-User": true,
	"Upgrade-Insecure-Requests": true}

// ofProxy matches the names of headers in which proxies, load balancers and tunnels
// name the client for which they ask. It has those of many products, and every other
// header that is named after a client's address, in the form of http.Header.
var ofProxy = regexp.MustCompile(`^(Forwarded|Via|Cdn-Loop|Max-Forwards|Proxy-.*|` +
	`(X-)?(Original|Originating|Envoy|Amzn?|Azure|Arr|Appgw|Varnish|Nginx|Haproxy|Traefik|Caddy|Akamai|Fastly|Cloud-Trace-Context|Goog|Gfe|` +
	`Vercel|Netlify|Render|Heroku|Fly|Cf|Cloudfront|Tailscale|Ngrok|Authentik|Authelia|Auth-Request|Remote|Proxy(user)?|Proxied|Scheme|Https?|Tls|Ssl|Host|Port|` +
	`Url-Scheme|Client-Cert|Sucuri|Incap|Wap|Coming|Rewrite|Script-Name)(-.*)?|` +
	`.*(Forward(ed)?|Client-?Ip|Clientip|Connecting-Ip|Real-Ip|Remote-(Ip|Addr|User)|Source-Ip|Cluster-Ip|User-Ip)(-.*)?)$`)

// ofClients has the headers that clients write. They do not indicate a proxy. A request
// has hardly any other header, so that the expression above is rarely evaluated.
var ofClients = map[string]bool{"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Authorization": true,
	"Cache-Control": true, "Connection": true,
	"Content-Length": true, "Content-Type": true, "Idempotency-Key": true, "Prefer": true, "Sec-Fetch-Mode": true,
	"Sec-Fetch-Site": true, "User-Agent": true,
	"X-Admin-Key": true, "X-Amtp-Version": true, "X-Api-Key": true, "X-Request-Id": true}

// fromHere reports whether a request without credentials comes directly from a program
// on this machine. It must not come through a proxy, from a page in a browser, or by a
// name that an attacker pointed here. DESIGN §4. The reference client sends
// Sec-Fetch-Mode, so that header says nothing. A proxy that adds no header speaks
// HTTP/1.0 to the server behind it.
func fromHere(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) {
		return false
	}
	for name := range r.Header {
		if !ofClients[name] && (ofBrowser[name] || ofProxy.MatchString(name)) {
			return false
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" {
			return false
		}
	}
	ip := net.ParseIP(RemoteIP(r))
	return ip != nil && ip.IsLoopback() && IsThisMachine(r.Host)
}

// IsThisMachine reports whether a host, with a port or without, names this machine by a
// name that no DNS answer can redirect.
func IsThisMachine(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil && port != "" {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.EqualFold(host, "localhost") || host == "127.0.0.1" || host == "::1"
}

// RemoteIP returns the address of the other end of the connection.
func RemoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
