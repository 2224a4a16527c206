package testnet

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Proxy is in front of a gateway and disturbs the posts to it, one after the other, by a
// schedule. Posts after the end of the schedule pass undisturbed.
type Proxy struct {
	g      *Gateway
	client *http.Client

	mu    sync.Mutex
	plan  []fault
	seen  map[string]int // posts by disturbance
	posts int            // all posts
	apart time.Time      // until then no post passes
}

// fault is the disturbance of a post: its kind, its length, and how much of an answer
// remains, in thousandths.
type fault struct {
	kind string
	wait time.Duration
	part int
}

// disturbances are the kinds by name. Each decides whether and when the gateway gets the
// post, and which answer its sender gets.
var disturbances = map[string]func(*Proxy, *exchange, fault){
	"delay":           func(p *Proxy, x *exchange, f fault) { x.wait(f.wait); p.pass(x) },
	"partition":       func(p *Proxy, x *exchange, f fault) { p.part(f.wait); x.cut(nil) },
	"reset":           func(_ *Proxy, x *exchange, _ fault) { x.cut(nil) },
	"reset in answer": func(p *Proxy, x *exchange, f fault) { b := p.answer(x); x.cut(b[:len(b)*f.part/1000]) },
	"request lost":    func(_ *Proxy, x *exchange, f fault) { x.wait(f.wait); x.cut(nil) },
	"answer lost":     func(p *Proxy, x *exchange, f fault) { p.answer(x); x.wait(f.wait); x.cut(nil) },
	"answer truncated": func(p *Proxy, x *exchange, f fault) {
		b := p.text(x)
		x.say(202, "application/json", b[:len(b)*f.part/1000])
	},
	"answer exchanged": func(p *Proxy, x *exchange, _ fault) { p.text(x); x.say(503, "text/html", "<html>") },
	"answer of another": func(p *Proxy, x *exchange, _ fault) {
		x.say(202, "application/json", strings.Replace(p.text(x), `"message_id":"0`, `"message_id":"f`, 1))
	},
	"lie": func(_ *Proxy, x *exchange, _ fault) {
		x.say(200, "application/json",
			`{"message_id":"019b1d3e-7c00-7000-8000-000000000001","status":"delivered","recipients":[]}`)
	},
	"redirect": func(_ *Proxy, x *exchange, _ fault) {
		x.w.Header().Set("Location", "/v1/elsewhere")
		x.say(301, "text/html", "")
	},
	"page":    func(_ *Proxy, x *exchange, _ fault) { x.say(200, "text/html", "<html>Welcome to this hotel") },
	"endless": func(_ *Proxy, x *exchange, _ fault) { x.drown() },
}

// Behind puts the gateway behind a new proxy and publishes the proxy instead. It must be
// called before the gateway is looked up for the first time.
func (g *Gateway) Behind() *Proxy {
	t := g.net.t
	t.Helper()
	host := "amtp." + string(g.Domain)
	cert, key, err := g.net.ca.Certificate(g.net.dir, host)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	// Over HTTP/1.1, where a connection carries one post and can be cut.
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair},
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{g: g, client: g.net.HTTP(g.Domain), seen: make(map[string]int)}
	s := &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
		p.client.CloseIdleConnections()
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	g.net.DNS.TXT("_amtp."+string(g.Domain), ttl, fmt.Sprintf("v=amtp1;gateway=https://%s:%s;auth=sig%s", host, port,
		g.features()))
	return p
}

// Disturb begins the schedule of the seed: the disturbances of the next posts.
func (p *Proxy) Disturb(seed uint64) {
	const most = 4
	rng := rand.New(rand.NewPCG(seed, 0))
	names := slices.Sorted(maps.Keys(disturbances))
	plan := make([]fault, 1+rng.IntN(most))
	for i := range plan {
		plan[i] = fault{
			kind: names[rng.IntN(len(names))], part: rng.IntN(1000),
			wait: time.Duration(rng.IntN(1000)) * time.Millisecond,
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Plan returns the rest of the schedule.
func (p *Proxy) Plan() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.plan)
}

// Seen returns how many posts were disturbed in which way.
func (p *Proxy) Seen() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

// Posts returns how many posts came.
func (p *Proxy) Posts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.posts
}

// part lets no post pass for a while.
func (p *Proxy) part(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apart = time.Now().Add(d)
}

// next returns the disturbance of the next post.
func (p *Proxy) next() (f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.posts++
	switch {
	case time.Now().Before(p.apart):
		return fault{kind: "reset"}
	case len(p.plan) > 0:
		f, p.plan = p.plan[0], p.plan[1:]
		p.seen[f.kind]++
	}
	return f
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	x := &exchange{w: w, r: r, body: body}
	f := fault{}
	if r.Method == http.MethodPost {
		f = p.next()
	}
	if do := disturbances[f.kind]; do != nil {
		do(p, x, f)
		return
	}
	p.pass(x)
}

// forward sends the post to the gateway and returns its answer, nil if there is none.
func (p *Proxy) forward(x *exchange) (*http.Response, []byte) {
	req, err := http.NewRequestWithContext(x.r.Context(), x.r.Method, p.g.URL()+x.r.URL.RequestURI(),
		bytes.NewReader(x.body))
	if err != nil {
		return nil, nil
	}
	req.Header = x.r.Header.Clone()
	res, err := p.client.Do(req)
	if err != nil {
		return nil, nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, nil
	}
	return res, body
}

// pass forwards the post and its answer.
func (p *Proxy) pass(x *exchange) {
	res, body := p.forward(x)
	if res == nil {
		x.cut(nil)
		return
	}
	maps.Copy(x.w.Header(), res.Header)
	x.say(res.StatusCode, res.Header.Get("Content-Type"), string(body))
}

// answer forwards the post and returns its answer as it would go over the wire.
func (p *Proxy) answer(x *exchange) []byte {
	res, body := p.forward(x)
	if res == nil {
		return nil
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res.Proto, res.ProtoMajor, res.ProtoMinor = "HTTP/1.1", 1, 1
	b, err := httputil.DumpResponse(res, true)
	if err != nil {
		return nil
	}
	return b
}

// text forwards the post and returns the body of its answer.
func (p *Proxy) text(x *exchange) string {
	_, body := p.forward(x)
	return string(body)
}

// exchange is one post at the proxy.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	body []byte
}

// wait lets time pass, no longer than the sender waits.
func (x *exchange) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-x.r.Context().Done():
	}
}

// say answers the post.
func (x *exchange) say(status int, contentType, body string) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, body) // a sender that hung up gets no answer
}

// cut writes the beginning of an answer and resets the connection.
func (x *exchange) cut(beginning []byte) {
	conn, _, err := x.w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write(beginning) // it is cut anyway
	if raw, ok := conn.(*tls.Conn); ok {
		if c, ok := raw.NetConn().(*net.TCPConn); ok {
			_ = c.SetLinger(0) // a connection that cannot be reset is closed
			c.Close()
		}
	}
}

// drown sends an endless answer until the sender stops reading.
func (x *exchange) drown() {
	x.w.Header().Set("Content-Type", "application/json")
	part := []byte(`{"message_id":"` + strings.Repeat("0", 1<<15))
	for {
		if _, err := x.w.Write(part); err != nil {
			return
		}
	}
}
