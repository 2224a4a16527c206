package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
)

// network is the network between the gateways.
type network struct {
	mu    sync.Mutex
	seen  map[string]int       // posts and DNS queries, by their subject
	doubt map[string]bool      // letters that arrived although their gateway was not told, by name and recipient
	open  map[string]int       // posts without an answer so far
	told  map[string]time.Time // when a gateway got the answer that a letter arrived, by gateway and letter
	kill  map[string]time.Time // when a gateway was last killed
	late  sync.WaitGroup       // copies of requests that are still on their way
}

func newNetwork() *network {
	return &network{
		seen: make(map[string]int), doubt: make(map[string]bool), open: make(map[string]int),
		told: make(map[string]time.Time), kill: make(map[string]time.Time),
	}
}

// turn counts repeated events of one subject.
func (n *network) turn(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen[what]++
	return n.seen[what]
}

// begin counts a post that begins, and returns how many are under way, including it.
func (n *network) begin(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[what]++
	return n.open[what]
}

// end counts a post that has ended.
func (n *network) end(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[what]--
}

// unsure records that a letter arrived and that its gateway was not told.
func (n *network) unsure(about string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doubt[about] = true
}

// noteTime is how long a gateway may take to store an answer. It stores those for all
// recipients of one attempt together, and waits for one that is silent until it gives up.
const noteTime = time.Minute

// arrived records that a gateway was told of an arrival. A gateway that is killed at
// that moment does not know it later.
func (n *network) arrived(gateway, about string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told[gateway+" "+about] = time.Now(); time.Since(n.kill[gateway]) < noteTime {
		n.doubt[about] = true
	}
}

// killed records that a gateway was killed.
func (n *network) killed(gateway string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill[gateway] = time.Now()
	for told, at := range n.told {
		if about, own := strings.CutPrefix(told, gateway+" "); own && time.Since(at) < noteTime {
			n.doubt[about] = true
		}
	}
}

func (n *network) isUnsure(about string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.doubt[about]
}

// trouble is a fault between a request and its answer.
type trouble int

const (
	fine      trouble = iota
	refused           // no server listens
	lost              // the request is lost on its way
	silent            // the request is lost, and the caller learns it only when its patience ends
	unheard           // it arrives, and the answer is lost
	cut               // the answer is cut in its middle
	busy              // a proxy before the gateway answers in its place
	elsewhere         // another server answers, and reports success for everything
	doubled           // it arrives twice
	echoed            // a copy of it arrives minutes later
	troubles          // the number of troubles
)

var troubleNames = [...]string{"", "refused", "lost", "silence", "answer lost", "answer cut", "503 of a proxy",
	"200 of a stranger", "doubled", "a copy comes late"}

// wire connects one process to others: an http.RoundTripper.
type wire struct{ p *process }

var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset by peer")
)

// post is one request on its way from gateway to gateway.
type post struct {
	from, to *site
	about    string // the letter and its recipient, or another subject
	try      int
	request
}

// RoundTrip carries a request to the other gateway, with the trouble that the seed
// decides.
func (l wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w, from := l.p.site.w, l.p.site
	to := w.siteOf(strings.TrimPrefix(req.URL.Host, "gw."))
	if to == nil {
		return nil, errRefused
	}
	body, err := io.ReadAll(req.Body)
	if err := errors.Join(err, req.Body.Close()); err != nil {
		return nil, err
	}
	t := &post{from: from, to: to, about: about(body), request: request{
		method: req.Method, path: req.URL.RequestURI(), header: req.Header, body: body, from: "203.0.113.9:50000"}}
	key := "post " + from.name() + " " + t.about
	t.try = w.net.turn(key)
	if w.net.begin(key) > 1 && !from.set.Load() {
		w.fault("%s posts %s twice at once", from.name(), t.about)
	}
	defer w.net.end(key)
	what := w.meets(t)
	res, err := l.carry(req.Context(), t, what)
	said := "no answer"
	if err == nil {
		if said = strconv.Itoa(res.StatusCode); res.StatusCode == http.StatusAccepted {
			w.net.arrived(from.name(), t.about)
		}
		res.Request = req
	}
	w.trace.add("%s posts %s to %s, %d. time: %s %s", from.name(), t.about, to.name(), t.try, troubleNames[what], said)
	return res, err
}

// about returns the subject of a body: the name of a letter with its recipient, or
// receipts.
func about(body []byte) string {
	var m struct {
		Recipients []string `json:"recipients"`
		Payload    struct {
			Name string `json:"n"`
			Type string `json:"message_type"`
		} `json:"payload"`
	}
	_ = json.Unmarshal(body, &m) // a body that is no message has no name
	return m.Payload.Name + m.Payload.Type + " for " + strings.Join(m.Recipients, " and ")
}

// meets decides which trouble a post meets.
func (w *world) meets(t *post) trouble {
	if w.healed.Load() {
		return fine
	}
	now := time.Since(w.began)
	for _, s := range w.splits {
		if s.from == t.from && s.begins <= now && now < s.ends {
			return s.what
		}
	}
	r := w.seed.at("post", t.from.name(), t.about, t.try)
	if r.Float64() >= w.weather.network {
		return fine
	}
	return refused + trouble(r.IntN(int(troubles-refused)))
}

// carry carries the post with its trouble.
func (l wire) carry(ctx context.Context, t *post, what trouble) (*http.Response, error) {
	w := t.from.w
	if what != fine {
		w.trace.count(troubleNames[what])
	}
	place := []any{t.from.name(), t.about, t.try}
	there := w.seed.between(time.Millisecond, 80*time.Millisecond, append(place, "there")...)
	if err := l.p.pause(ctx, there); err != nil {
		return nil, err
	}
	switch what {
	case refused:
		return nil, errRefused
	case lost:
		if err := l.p.pause(ctx, w.seed.between(time.Second, 20*time.Second, append(place, "lost")...)); err != nil {
			return nil, err
		}
		return nil, errReset
	case silent:
		return nil, l.p.pause(ctx, 24*time.Hour) // the caller gives up first
	case busy:
		return proxied(http.StatusServiceUnavailable, "<h1>503</h1>",
			1+w.seed.at(append(place, "wait")...).IntN(90)), nil
	case elsewhere:
		return proxied(http.StatusOK, "<h1>Welcome to our network</h1>", 0), nil
	case doubled:
		w.net.unsure(t.about)
		if _, err := w.arrive(t); err != nil {
			return nil, err
		}
	case echoed:
		w.net.unsure(t.about)
		w.net.late.Go(func() {
			time.Sleep(w.seed.between(time.Second, 5*time.Minute, append(place, "late")...))
			_, _ = w.arrive(t) // no caller waits for the answer
		})
	}
	res, err := w.arrive(t)
	if err != nil {
		return nil, err
	}
	if what == unheard || what == cut {
		w.net.unsure(t.about)
	}
	back := w.seed.between(time.Millisecond, 80*time.Millisecond, append(place, "back")...)
	if err := l.p.pause(ctx, back); err != nil {
		w.net.unsure(t.about)
		return nil, err
	}
	switch what {
	case unheard:
		return nil, errReset
	case cut:
		res.Body = io.NopCloser(io.MultiReader(io.LimitReader(res.Body, res.ContentLength/2), broken{}))
	}
	return res, nil
}

// broken is the end of an answer that is cut off.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// arrive makes the other gateway answer. Posts arrive one after the other: if two
// waited for the same DNS answer, the scheduler would choose which goes first.
func (w *world) arrive(t *post) (*http.Response, error) {
	t.to.way <- struct{}{}
	defer func() { <-t.to.way }()
	p := t.to.enter()
	if p == nil {
		return nil, errRefused
	}
	status, header, body := p.serve(t.request)
	if p.over() {
		w.net.unsure(t.about)
		if status != http.StatusAccepted {
			return nil, errReset
		}
	}
	return answer(status, header, body), nil
}

func answer(status int, header http.Header, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: header, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// proxied is the answer of a server that is no gateway.
func proxied(status int, text string, wait int) *http.Response {
	h := http.Header{"Content-Type": {"text/html"}}
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(wait))
	}
	return answer(status, h, []byte(text))
}

// names is DNS as one process sees it: a discovery.Resolver.
type names struct{ p *process }

var errDNS = errors.New("no name server answers")

// TXT answers for the two domains of the simulation. There are no others.
func (n names) TXT(ctx context.Context, name string) (discovery.Answer, error) {
	w, who := n.p.site.w, n.p.site.name()
	try := w.net.turn("question " + who + " " + name)
	wait := w.seed.between(time.Millisecond, 50*time.Millisecond, "answer", who, name, try)
	fails := !w.healed.Load() && w.seed.at("question", who, name, try).Float64() < w.weather.dns
	if fails {
		w.trace.count("questions to DNS without an answer")
		w.trace.add("%s asks DNS for %s, %d. time: no answer", who, name, try)
	}
	if err := n.p.pause(ctx, wait); err != nil {
		return discovery.Answer{}, err
	}
	if fails {
		return discovery.Answer{}, errDNS
	}
	return w.published(name), nil
}

// published returns the records of a name.
func (w *world) published(name string) discovery.Answer {
	const ttl = 5 * time.Minute
	for _, s := range w.sites {
		if name == string(s.domain) {
			return discovery.Answer{Status: discovery.NoData, TTL: ttl}
		}
		if name == amtp.CapabilitiesName(s.domain) {
			record := amtp.Capabilities{Gateway: "https://gw." + string(s.domain),
				Features: []string{amtp.FeatureReceipts}}
			if w.weather.strict {
				record.Auth = []string{"sig"}
			}
			return discovery.Answer{Status: discovery.Exists, Records: []string{record.String()}, TTL: ttl}
		}
		if key, err := amtp.KeyRecordName(s.signer.Selector(), s.domain); err == nil && name == key {
			return discovery.Answer{Status: discovery.Exists,
				Records: []string{s.signer.KeyRecord().String()}, TTL: ttl}
		}
	}
	return discovery.Answer{Status: discovery.NoName, TTL: ttl}
}
