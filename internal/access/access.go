// Package access decides who is calling. It turns the credentials of a request
// into a gateway.Principal, and nothing but the principal decides afterwards
// what the caller may do.
//
// It fails closed: a credential that was shown and is not right is an error,
// never the same as none; an administrator's route without a configured key is
// shut.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Owners finds the agent whose key has a hash. gateway.Store is one.
type Owners interface {
	KeyOwner(hash [32]byte, now time.Time) (*gateway.Agent, string, error)
}

// Door authenticates requests.
type Door struct {
	Owners      Owners
	Admin       []string // the administrator's keys
	Development bool     // the development profile is on: see Development
	Failures    *Failures
	Proxies     Proxies // whose word counts for where a request comes from
}

// Caller returns who makes the request. The error is an *amtp.Error: 401 for a
// key that is not right, 400 for credentials that contradict one another, 429
// for an address that keeps guessing.
func (d *Door) Caller(r *http.Request, now time.Time) (gateway.Principal, *amtp.Error) {
	admin, adminShown, err := header(r, "X-Admin-Key")
	if err != nil {
		return gateway.Principal{}, err
	}
	key, keyShown, err := credential(r)
	if err != nil {
		return gateway.Principal{}, err
	}
	p := gateway.Principal{}
	switch {
	case adminShown && !d.isAdmin(admin):
		return p, d.Wrong(r, now, amtp.Errorf(amtp.CodeAdminAccessDenied, "This is not an admin key of this gateway."))
	case adminShown:
		p.Admin = true
	}
	if keyShown {
		agent, id, fault := d.Owners.KeyOwner(sha256.Sum256([]byte(key)), now)
		switch {
		case fault == nil:
			p.Agent, p.KeyID = agent, id
		case d.isAdmin(key):
			p.Admin = true
		case !errors.Is(fault, gateway.ErrNotFound): // nobody can say now whose it is
			return gateway.Principal{}, gateway.Refusal(fault)
		default:
			return gateway.Principal{}, d.Wrong(r, now, gateway.Refusal(gateway.ErrRevoked))
		}
	}
	if !adminShown && !keyShown {
		p.Development = d.Development && fromHere(r)
	}
	return p, nil
}

// Wrong counts a failed attempt to show something secret and replaces err when the
// address has had too many of them.
func (d *Door) Wrong(r *http.Request, now time.Time, err *amtp.Error) *amtp.Error {
	wait := d.Failures.Count(d.Proxies.Client(r), now)
	if wait == 0 {
		return err
	}
	limited := amtp.Errorf(amtp.CodeRateLimitExceeded, "Too many wrong keys from this address; wait and show the right one.")
	limited.RetryAfter = wait
	return limited
}

// isAdmin compares with every configured key in a time that depends on their
// number only.
func (d *Door) isAdmin(key string) bool {
	sum := sha256.Sum256([]byte(key))
	found := 0
	for _, k := range d.Admin {
		want := sha256.Sum256([]byte(k))
		found |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return found == 1 && key != ""
}

// credential returns the key in Authorization (Bearer) or X-API-Key.
func credential(r *http.Request) (key string, shown bool, err *amtp.Error) {
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
		return api, apiShown, nil // a client that has no key to show here
	}
	if apiShown && api != token {
		return "", false, amtp.Errorf(amtp.CodeInvalidRequest, "Authorization and X-API-Key show two different keys; send one.")
	}
	return token, true, nil
}

// header returns a header that may stand once. Empty counts as absent.
func header(r *http.Request, name string) (string, bool, *amtp.Error) {
	values := r.Header[name]
	if len(values) > 1 {
		return "", false, amtp.Errorf(amtp.CodeInvalidRequest, "The header %s stands in the request %d times; send it once.", name, len(values))
	}
	if len(values) == 0 || values[0] == "" {
		return "", false, nil
	}
	return values[0], true, nil
}

// fromHere reports whether a request without credentials comes from a program
// on this machine and from nothing else: not through a proxy, not from a page
// in a browser, not by a name that somebody made point here. DESIGN §4. The
// reference client sends Sec-Fetch-Mode, so that header says nothing.
func fromHere(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "Via", "Origin"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	for name := range r.Header {
		for _, proxy := range []string{"X-Forwarded-", "X-Real-Ip", "X-Client-Ip", "X-Original-", "X-Envoy-", "True-Client-Ip", "Cf-", "Fly-", "Fastly-"} {
			if strings.HasPrefix(name, proxy) {
				return false
			}
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

// IsThisMachine reports whether a host, with a port or without, names this
// machine by a name that no DNS answer can be made to stand for.
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
