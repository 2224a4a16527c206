package amtp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/strictjson"
)

// CodeUnknown stands in an [Error] for an answer that is not the protocol's: a
// proxy's page, a redirect, an error without a code.
const CodeUnknown Code = "UNKNOWN"

// Bounds of a client's calls.
const (
	maxAnswer  = 64 << 20               // bytes of an answer that are read
	maxRetries = 3                      // repetitions when the caller names no number
	firstPause = 100 * time.Millisecond // before the first repetition; doubled for each further one
	maxPause   = 10 * time.Second       // a gateway that asks for more is not waited for
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
	query  query
	body   any
	admin  bool // an administrator's key may go with it
	repeat bool // may be sent again
	probe  bool // 503 is an answer like another
}

func get(path string) call { return call{method: "GET", path: path, repeat: true} }

func (c call) with(q query) call {
	c.query = q
	return c
}

// path joins segments below /v1, each escaped. It is empty when one of them
// would turn the request into one for something else.
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
	target, err := c.target(call)
	if err != nil {
		return nil, err
	}
	if call.path == "" {
		return nil, Errorf(CodeInvalidParameter, "An id, a name or an address is empty.")
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

// target returns the URL of the call, or why it must not be made.
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

func (c *Client) sendsKey(call call) bool {
	return c.Key != "" || call.admin && c.AdminKey != ""
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// encode writes a body without touching the bytes of JSON members more than
// their white space.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(body)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// once makes one request and returns the body of a good answer.
func (c *Client) once(ctx context.Context, call call, target string, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, call.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, &URLError{c.URL, "it is not a valid URL"}
	}
	c.setHeader(req.Header, call, len(body) > 0)
	resp, err := c.client().Do(req)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, nil, &ConnectError{c.URL, err}
	}
	defer resp.Body.Close()
	answer, err := readUpTo(maxAnswer, resp)
	switch {
	case errors.Is(err, errTooLarge):
		return resp.Header, nil, &Error{Code: CodeUnknown, Status: resp.StatusCode, Message: "The gateway's answer is larger than 64 MiB."}
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

var errTooLarge = errors.New("too large")

// readUpTo reads the body of an answer, errTooLarge when it has more bytes than
// limit or announces more.
func readUpTo(limit int64, resp *http.Response) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, err
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
}

// client returns an HTTP client that follows no redirect: a key must not be
// carried to where somebody else points.
func (c *Client) client() *http.Client {
	var h http.Client
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

// pause says whether a call that failed is tried again, and after how long.
func (c *Client) pause(call call, tried int, err error) (time.Duration, bool) {
	limit := c.Retries
	if limit == 0 {
		limit = maxRetries
	}
	if !call.repeat || tried >= limit {
		return 0, false
	}
	pause := firstPause << min(tried, 6)
	pause = pause*3/4 + rand.N(pause/2)
	var lost *ConnectError
	var refused *Error
	switch {
	case errors.As(err, &lost):
		return pause, true
	case errors.As(err, &refused) && mayPass(refused.Status):
		pause = max(pause, refused.RetryAfter)
		return pause, pause <= maxPause
	}
	return 0, false
}

func mayPass(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// wait waits, and reports false at once when the context would end first.
func wait(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusal reads an answer outside 2xx.
func refusal(resp *http.Response, answer []byte) *Error {
	e := &Error{Code: CodeUnknown, Message: fmt.Sprintf("HTTP %d", resp.StatusCode)}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Message = fmt.Sprintf("HTTP %d: the gateway answered with a redirect, which is not followed", resp.StatusCode)
	}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	var said struct {
		Code      Code           `json:"code"`
		Message   string         `json:"message"`
		Details   map[string]any `json:"details"`
		Timestamp Time           `json:"timestamp"`
		RequestID string         `json:"request_id"`
	}
	if decode(answer, &body) == nil && decode(body.Error, &said) == nil && said.Code != "" {
		*e = Error{Code: said.Code, Message: said.Message, Details: said.Details,
			Timestamp: said.Timestamp, RequestID: said.RequestID}
	}
	var result SendResult
	if decode(answer, &result) == nil && len(result.Recipients) > 0 {
		e.Result = &result
	}
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	return e
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3).
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(n, 0), 1<<31)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// keep stores a good answer where the caller wants it. One without a body, as
// other gateways give to a deletion, leaves out as it was.
func keep(answer []byte, out any) error {
	switch out := out.(type) {
	case nil:
		return nil
	case *json.RawMessage:
		*out = answer
		return nil
	}
	if len(answer) == 0 {
		return nil
	}
	return decode(answer, out)
}

// decode stores the members of a JSON object into the struct that v points to,
// by their exact names at every depth. encoding/json alone would take a
// stranger's member "Trust" for the gateway's "trust". Members that hold JSON
// keep their bytes.
func decode(doc []byte, v any) error {
	members, err := membersOf(doc)
	if err != nil {
		return err
	}
	return fill(reflect.ValueOf(v).Elem(), members)
}

// membersOf splits an object. strictjson would bound the whole of it, and a page
// may hold more than one message that is as large as it may be.
func membersOf(doc []byte) (map[string]json.RawMessage, error) {
	noObject := Errorf(CodeUnknown, "The gateway's answer is not a JSON object.")
	dec := json.NewDecoder(bytes.NewReader(doc))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') || !json.Valid(doc) {
		return nil, noObject
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || dec.Decode(&value) != nil {
			return nil, noObject
		}
		if _, twice := members[name]; twice {
			return nil, Errorf(CodeUnknown, "The gateway's answer names the member %q twice.", name)
		}
		members[name] = value
	}
	return members, nil
}

func fill(v reflect.Value, members map[string]json.RawMessage) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := fill(v.Field(i), members); err != nil {
				return err
			}
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, ok := members[name]
		if !ok || name == "-" {
			continue
		}
		if err := fillValue(v.Field(i), value); err != nil {
			return Errorf(CodeUnknown, "The gateway's answer has a member %q that cannot be read: %v.", name, err)
		}
	}
	return nil
}

// fillValue stores one value. The bounds of strictjson are for one message or
// one agent, so each element of a list is decoded by itself.
func fillValue(v reflect.Value, value json.RawMessage) error {
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes(value)
		return nil
	case v.Kind() == reflect.Slice:
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil || list == nil {
			return err
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i, element := range list {
			if err := fillValue(v.Index(i), element); err != nil {
				return err
			}
		}
		return nil
	case v.Type() == reflect.TypeFor[map[string]Agent]():
		list, err := membersOf(value)
		if err != nil {
			return err
		}
		agents := make(map[string]Agent, len(list))
		for name, doc := range list {
			var a Agent
			if err := strictjson.DecodeValue(doc, &a); err != nil {
				return err
			}
			agents[name] = a
		}
		v.Set(reflect.ValueOf(agents))
		return nil
	}
	return strictjson.DecodeValue(value, v.Addr().Interface())
}
