package amtp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/amtp-go/amtp/internal/calls"
)

// ConnectError says that no answer came from the gateway. Whether it received
// the request is not known.
type ConnectError struct {
	URL string
	Err error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("cannot connect to gateway at %s: %v", e.URL, e.Err)
}

func (e *ConnectError) Unwrap() error { return e.Err }

// URLError says that no request was made because of the gateway's URL.
type URLError struct {
	URL    string
	Reason string
}

func (e *URLError) Error() string {
	return fmt.Sprintf("cannot use the gateway URL %q: %s", e.URL, e.Reason)
}

// SoftwareVersion is the version of this module in the running program, devel
// when it was built without one.
func SoftwareVersion() string {
	const module = "github.com/amtp-go/amtp"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == module && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "devel"
}

// call is one request to a gateway.
type call struct {
	method string
	path   string // escaped, from the root of the gateway
	query  calls.Query
	body   any
	admin  bool   // the administrator's key may be sent with it
	repeat bool   // may be sent again
	secret bool   // its body is for the gateway only
	key    string // the Idempotency-Key, "" for none
	probe  bool   // 503 is an answer like another
	header http.Header
}

func get(path string) call { return call{method: "GET", path: path, repeat: true} }

func (c call) with(q calls.Query) call {
	c.query = q
	return c
}

// Request is a call of a gateway's API for which [Client] has no method.
type Request struct {
	Method string              // GET and others
	Path   []string            // its segments below /v1; they are escaped
	Query  map[string][]string // nil for none
	Body   any                 // written as JSON; nil for none
	Admin  bool                // AdminKey may be sent with it
	Repeat bool                // it may be repeated without harm
	Secret bool                // its body is for the gateway only
}

// Do makes a call and stores the members of its answer, a JSON object, into the struct
// that out points to, by their exact names; nil stores nothing. Package admin is made
// of it.
func (c *Client) Do(ctx context.Context, r Request, out any) error {
	_, err := c.do(ctx, call{method: r.Method, path: path(r.Path...), query: calls.Query(r.Query), body: r.Body,
		admin: r.Admin, repeat: r.Repeat, secret: r.Secret}, out)
	return err
}

// path joins segments below /v1, each escaped. It is empty if one of them would change the
// request into one for another path.
func path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return ""
		}
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// do makes the call, repeats it where that is allowed, and stores the answer
// into out, a pointer to a struct or to a json.RawMessage, or nil.
func (c *Client) do(ctx context.Context, call call, out any) (http.Header, error) {
	target, err := c.allowed(call)
	if err != nil {
		return nil, err
	}
	var body []byte
	if call.body != nil {
		if body, err = encode(call.body); err != nil {
			return nil, err
		}
	}
	for tried := 0; ; tried++ {
		header, answer, err := c.once(ctx, call, target, body)
		if err == nil {
			return header, keep(answer, out)
		}
		pause, again := c.pause(call, tried, err)
		if !again || !wait(ctx, pause) {
			return header, err
		}
	}
}

// allowed returns the URL of a call that may be made.
func (c *Client) allowed(call call) (string, error) {
	target, err := c.target(call)
	if err != nil {
		return "", err
	}
	if call.path == "" {
		return "", Errorf(CodeInvalidParameter, "An id, a name or an address is empty.")
	}
	for _, key := range c.keysOf(call) {
		if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", Errorf(CodeAuthenticationFailed,
				"The key cannot be sent: it has a line break, a space or another character that no key has.")
		}
	}
	return target, nil
}

// target returns the URL of the call, or the reason for which it must not be made.
func (c *Client) target(call call) (string, error) {
	u, err := url.Parse(strings.TrimSpace(c.URL))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", &URLError{c.URL, "write it as https://host, or http://127.0.0.1:8080 on this machine"}
	case u.User != nil:
		return "", &URLError{u.Redacted(), "it must not contain a user name or password"}
	case u.RawQuery != "" || u.Fragment != "":
		return "", &URLError{c.URL, "it must not have a query or a fragment"}
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && c.sendsKey(call):
		return "", &URLError{c.URL, "a key is sent over https only, except to this machine itself"}
	}
	target := u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/") + call.path
	if len(call.query) > 0 {
		target += "?" + url.Values(call.query).Encode()
	}
	return target, nil
}

// keysOf returns the keys that are sent with a call.
func (c *Client) keysOf(call call) []string {
	if call.admin {
		return []string{c.Key, c.AdminKey}
	}
	return []string{c.Key}
}

func (c *Client) sendsKey(call call) bool {
	return c.Key != "" || call.secret || call.key != "" || call.admin && c.AdminKey != ""
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// encode writes a body. Of JSON members it changes only the white space.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(body)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// roundTrip makes one request and returns its answer, whose body is open.
func (c *Client) roundTrip(ctx context.Context, call call, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, call.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, &URLError{c.URL, "it is not a valid URL"}
	}
	c.setHeader(req.Header, call, len(body) > 0)
	resp, err := c.client().Do(req)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, &ConnectError{c.URL, err}
	}
	return resp, nil
}

// once makes one request and returns the body of a good answer.
func (c *Client) once(ctx context.Context, call call, target string, body []byte) (http.Header, []byte, error) {
	resp, err := c.roundTrip(ctx, call, target, body)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := readUpTo(maxAnswer, resp)
	switch {
	case errors.Is(err, errTooLarge):
		return resp.Header, nil, &Error{Code: CodeUnknown, Status: resp.StatusCode,
			Message: "The gateway's answer is larger than 64 MiB."}
	case err != nil:
		return resp.Header, nil, &ConnectError{c.URL, fmt.Errorf("the answer broke off: %w", err)}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		if call.probe && resp.StatusCode == http.StatusServiceUnavailable {
			return resp.Header, answer, nil
		}
		return resp.Header, nil, refusal(resp, answer)
	}
	return resp.Header, answer, nil
}

func (c *Client) setHeader(h http.Header, call call, hasBody bool) {
	h.Set("Accept", "application/json")
	h.Set("X-AMTP-Version", Version)
	h.Set("User-Agent", "AMTP/"+Version+" (amtp/"+SoftwareVersion()+")")
	if c.UserAgent != "" {
		h.Set("User-Agent", c.UserAgent)
	}
	if hasBody {
		h.Set("Content-Type", "application/json")
	}
	if c.Key != "" {
		h.Set("Authorization", "Bearer "+c.Key)
	}
	if call.admin && c.AdminKey != "" {
		h.Set("X-Admin-Key", c.AdminKey)
	}
	if call.key != "" {
		h.Set("Idempotency-Key", call.key)
	}
	for name, values := range call.header {
		h[name] = values
	}
}

// client returns an HTTP client that follows no redirect: a key must not be sent to the
// target of a redirect.
func (c *Client) client() *http.Client {
	var h http.Client
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}
