package httpapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/held"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/invite"
	"github.com/amtp-go/amtp/internal/keyring"
	"github.com/amtp-go/amtp/internal/limits"
	"github.com/amtp-go/amtp/internal/operator"
	"github.com/amtp-go/amtp/internal/peering"
	"github.com/amtp-go/amtp/internal/remote"
)

// Server answers the API.
type Server struct {
	Intake        *intake.Intake
	Agents        *agent.Agents
	Store         gateway.Store
	Authenticator *access.Authenticator
	Verifier      *access.DomainVerifier // nil where no other domain may call
	Keys          *keyring.Keyring       // nil like Peering
	Seal          gateway.Seal           // for the keys of a prepared domain, and for cursors
	Brought       *keyring.Brought       // for the keys of a prepared domain; nil for none
	Operator      *operator.Operator
	Domains       *remote.Domains
	Domain        amtp.Domain
	MaxMessage    int64 // bytes of one request body
	InFlight      int64 // bytes of all bodies in work, see inflight
	Timeouts      Timeouts
	Log           *slog.Logger
	Now           func() time.Time
	Peering       *peering.Peering // nil for a gateway without a domain of its own
	Invites       *invite.Invites

	// Limits bounds the volume that callers cause; nil bounds nothing.
	Limits *limits.Limits
	// Connections counts the open connections; nil if they are not counted here.
	Connections Connections

	// Held takes over the connections of calls that wait; nil leaves them to net/http.
	Held *held.Connections

	room      inflight
	readiness readiness
	sampled   sampler
	causeless sampler     // of failures without a cause of their own
	proxied   atomic.Bool // a proxy that is not trusted was logged
}

// Connections counts the connections that are open.
type Connections interface {
	// Shown notes that a caller has shown a right key or signature over the connection
	// from that address and port (as in http.Request.RemoteAddr).
	Shown(remote string)
	// Count returns how many are open.
	Count() admin.ConnectionCount
}

// Handler returns the API as an http.Handler.
func (s *Server) Handler() http.Handler {
	mux := s.mux()
	foreign := s.serve(func(_ *Server, c *call) {
		c.fail(amtp.Errorf(amtp.CodeInvalidRequest,
			"The request target must be a path, or name this gateway; this is no proxy."))
	})
	elsewhere := s.serve(func(_ *Server, c *call) {
		c.fail(amtp.Errorf(amtp.CodeMisdirected,
			"This gateway is for the programs of its machine: write its URL with 127.0.0.1, [::1] or localhost, or give it a domain."))
	})
	none := s.serve(func(_ *Server, c *call) { c.noRoute() })
	lacking := s.serveTo(nobody, func(_ *Server, c *call) { c.noRoute() }) // without checking a key
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ours, doubled := s.local(r), false
		for strings.HasPrefix(r.URL.Path, "//") {
			r.URL.Path, r.URL.RawPath = r.URL.Path[1:], strings.TrimPrefix(r.URL.RawPath, "/")
			doubled = true
		}
		switch {
		case !ours:
			foreign(w, r)
		case s.Authenticator.Development && !s.isHere(r): // a page that rebinds its name, or a proxy
			elsewhere(w, r)
		case path.Clean(r.URL.Path) != r.URL.Path || r.URL.Path[0] != '/':
			none(w, r) // before the mux would redirect
		case lacks(r.URL.Path) != "":
			lacking(w, r)
		case doubled && !mayDouble(mux, r):
			none(w, r) // else a doubled slash would bypass a proxy's rules for a prefix
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// call is one request on its way through a handler.
type call struct {
	s         *Server
	w         http.ResponseWriter
	r         *http.Request
	id        gateway.RequestID
	from      string     // the address of the caller, behind the trusted proxies
	addr      netip.Addr // from as an address, the zero value if it is none
	principal gateway.Principal
	status    int   // of the answer, 0 before it
	held      int64 // bytes that inflight counts for this call
	refused   bool  // fail was called
	late      bool  // its body was cut off because its time was over
	unchanged bool  // it succeeded without changing anything
	asked     bool  // the bytes of its answer are counted: see asks
	facts     []any // names and values for the line of logChange
	began     time.Time
	whole     bool // its body was read to the end
	left      bool // it goes on elsewhere: see waits
}

// Values of headers that every answer has, shared so that none is allocated.
var (
	jsonType = []string{"application/json; charset=utf-8"}
	noSniff  = []string{"nosniff"}
	noStore  = []string{"no-store"}
	closing  = []string{"close"}
	hsts     = []string{"max-age=31536000"} // this host only: hosts below its name may be other people's
)

// serve wraps an operation: it sets the request id and headers, finds the caller, and
// makes the checks that all operations have in common.
func (s *Server) serve(handle func(*Server, *call)) http.HandlerFunc {
	return s.serveTo(access.Strict, handle)
}

// nobody is the tolerance with which a caller's keys are not checked.
const nobody access.Tolerance = -1

// serveTo is serve for an operation for which some keys count as no key.
func (s *Server) serveTo(tolerance access.Tolerance, handle func(*Server, *call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{s: s, w: w, r: r, id: gateway.RequestID(rand.Uint64()), from: s.Authenticator.Proxies.Client(r)}
		c.addr, _ = netip.ParseAddr(c.from)
		s.noteProxy(c)
		c.began = s.Now()
		h := w.Header()
		h["X-Request-Id"] = []string{c.id.String()}
		h["X-Content-Type-Options"], h["Cache-Control"] = noSniff, noStore
		if r.TLS != nil { // the listener for this machine has none
			h["Strict-Transport-Security"] = hsts
		}
		if r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0) {
			h["Connection"] = closing // else a request could be smuggled behind the body: docs/decisions/007
		}
		defer c.end()
		if v := r.Header.Get("X-Amtp-Version"); v != "" && v != amtp.Version {
			c.fail(amtp.Errorf(amtp.CodeUnsupportedVersion,
				"X-AMTP-Version %.20q is not supported; this gateway speaks %s.", v, amtp.Version))
			return
		}
		if tolerance != nobody {
			var err error
			if c.principal, err = s.Authenticator.Caller(r, c.began, tolerance); err != nil {
				c.fail(err)
				return
			}
		}
		c.principal.From = c.addr
		if !c.stranger() {
			c.proven()
		}
		handle(s, c)
	}
}

// noteProxy logs once that requests come through a proxy on this machine that is not
// trusted. Limits by network do not bind the callers behind such a proxy.
func (s *Server) noteProxy(c *call) {
	if len(s.Authenticator.Proxies) > 0 || s.Verifier == nil || len(c.r.Header["X-Forwarded-For"]) == 0 ||
		!c.addr.IsLoopback() || s.proxied.Swap(true) {
		return
	}
	s.Log.Warn("callers come through a proxy on this machine that server.trusted_proxies does not name: limits by network do not bind them")
}

// proven notes that the caller on this connection has proven its identity.
func (c *call) proven() {
	if c.s.Connections != nil {
		c.s.Connections.Shown(c.r.RemoteAddr)
	}
}

// end runs after every operation.
func (c *call) end() {
	c.leaveRoom()
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v)
		}
		c.s.Log.Error("a handler panicked", "request", c.id.String(), "route", c.r.Pattern, "panic", v, "stack",
			string(debug.Stack()))
		if c.status == 0 {
			c.fail(amtp.Errorf(amtp.CodeInternal,
				"The gateway failed; its log has the cause under this request id. Try again."))
		}
	}
	if !c.left && c.s.Log.Enabled(c.r.Context(), slog.LevelDebug) {
		c.s.Log.Debug("request", "request", c.id.String(), "method", c.r.Method, "route", c.r.Pattern,
			"status", c.status,
			"from", c.from, "took", c.s.Now().Sub(c.began), "client_request", clientID(c.r))
	}
}

// note adds facts to the line of logChange: names and values, in the form that slog
// takes. A fact is never a secret, and never a part of a message.
func (c *call) note(facts ...any) { c.facts = append(c.facts, facts...) }

// logChange logs a change that a call made, and the caller who asked for it. It logs
// nothing if the call was refused or changed nothing, or if said is "".
func (c *call) logChange(said string) {
	if said == "" || c.refused || c.unchanged {
		return
	}
	fields := []any{"request", c.id.String()}
	switch p := &c.principal; {
	case p.Admin:
		fields = append(fields, "by", "admin")
	case p.Agent != nil:
		fields = append(fields, "by", p.Agent.Address.String())
	case p.Development:
		fields = append(fields, "by", "development profile")
	}
	c.s.Log.Info(said, append(fields, c.facts...)...)
}

// clientID returns the client's own name for the request, if it is harmless.
func clientID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if _, err := amtp.ParseMessageID(id); err != nil || len(id) > 64 {
		return ""
	}
	return id
}

// body reads the request's JSON. An empty body is an error unless optional.
func (c *call) body(code amtp.Code, optional bool) ([]byte, error) {
	r := c.r
	if optional && c.noBody() {
		return nil, nil
	}
	if refused := checkMedia(r); refused != nil {
		return nil, refused
	}
	if r.ContentLength > c.s.MaxMessage {
		return nil, c.tooLarge()
	}
	data, err := c.read()
	switch {
	case errors.Is(err, errNoRoom):
		e := amtp.Errorf(amtp.CodeTemporaryFailure, "The gateway is working on as many bytes as it may. Try again.")
		e.RetryAfter = time.Second
		return nil, e
	case err != nil:
		return nil, c.cut(code, err)
	case int64(len(data)) > c.s.MaxMessage:
		return nil, c.tooLarge()
	case len(data) == 0:
		return nil, amtp.Errorf(code, "The request body is empty; send a JSON object.").With("parse_error", "EOF")
	}
	return data, nil
}

// noBody reports whether the request has no body. A proxy may announce a body of unknown
// length and send no bytes.
func (c *call) noBody() bool {
	if c.r.ContentLength >= 0 {
		return c.r.ContentLength == 0
	}
	var first [1]byte
	n, err := io.ReadFull(c.r.Body, first[:])
	if n == 0 {
		return errors.Is(err, io.EOF) // after another error, reading the body reports it
	}
	c.r.Body = &begunBody{io.MultiReader(bytes.NewReader(first[:n]), c.r.Body), c.r.Body}
	return false
}

// begunBody is a body whose first byte was read already.
type begunBody struct {
	io.Reader
	io.Closer
}

// read reads the body, up to one byte more than is allowed. It makes room as the bytes
// come, so a client that announces many bytes and sends none takes no room from others.
func (c *call) read() ([]byte, error) {
	size := c.r.ContentLength
	if size < 0 {
		size = c.s.MaxMessage + 1
	}
	var data []byte
	p := c.reading()
	defer p.done()
	for int64(len(data)) < size {
		if len(data) == cap(data) {
			room := min(size, max(firstPiece, 2*int64(len(data))))
			more := room - c.held
			if !c.makeRoom(more) {
				c.s.room.makeWay(c, more)
				return nil, errNoRoom
			}
			data = append(make([]byte, 0, room), data...)
		}
		n, err := c.r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF && (c.r.ContentLength < 0 || int64(len(data)) == size) {
			break
		}
		if err != nil {
			return nil, err
		}
		p.reaches(len(data))
	}
	c.whole = c.r.ContentLength == int64(len(data))
	return data, nil
}

func (c *call) tooLarge() *amtp.Error {
	c.w.Header().Set("Connection", "close")
	// The gateway does not wait for the rest. If the deadline cannot be moved, the
	// connection ends at its old deadline.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now())
	return amtp.Errorf(amtp.CodeMessageTooLarge, "Request body too large. Maximum size is %d bytes", c.s.MaxMessage).
		With("max_size", c.s.MaxMessage)
}

func checkMedia(r *http.Request) error {
	if len(r.Header["Content-Encoding"]) > 0 {
		return amtp.Errorf(amtp.CodeUnsupportedMediaType,
			"A Content-Encoding is not supported; send the JSON as it is.")
	}
	t := r.Header.Get("Content-Type")
	if t == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(t)
	if err != nil || media != "application/json" || params["charset"] != "" &&
		!strings.EqualFold(params["charset"], "utf-8") {
		return amtp.Errorf(amtp.CodeUnsupportedMediaType, "The Content-Type must be application/json in UTF-8.")
	}
	return nil
}
