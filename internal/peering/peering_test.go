package peering

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// store keeps documents as gateway.Documents promises. It has no domains.
type store struct {
	mu    sync.Mutex
	list  []gateway.Document
	reads int
}

func (s *store) Documents(context.Context, string) ([]gateway.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.list, nil
}

func (s *store) ChangeDocuments(_ context.Context, _ string,
	change func([]gateway.Document) ([]gateway.Document, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := change(s.list)
	if err == nil {
		s.list = list
	}
	return err
}

func (s *store) SenderDomain(context.Context, amtp.Domain) (gateway.SenderDomain, error) {
	return gateway.SenderDomain{}, nil
}

func (s *store) SenderDomainsPage(context.Context, amtp.Domain, int) ([]gateway.SenderDomain, error) {
	return nil, nil
}

// watch is a clock that the test moves.
type watch struct {
	mu  sync.Mutex
	now time.Time
}

func (c *watch) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *watch) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newPeering(s Store, c *watch) *Peering {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := amtp.NewSigner("ours", key)
	if err != nil {
		panic(err)
	}
	return &Peering{Store: s, Domain: "here.lan", Now: c.Now, Signer: func() *amtp.Signer { return signer },
		Self: func(context.Context) admin.GatewaySelf { return admin.GatewaySelf{} }}
}

// far is the gateway of far.lan, with its answers.
type far struct {
	*httptest.Server
	domain amtp.Domain
	keys   []amtp.DomainKey
	at     time.Time
	back   amtp.PeerAnswer
	status int         // of the answer to a question, 200 if it is 0
	says   *amtp.Error // in place of the answer
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{domain: "far.lan", keys: []amtp.DomainKey{{Selector: "one",
		Record: "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="}},
		at: noon,
		back: amtp.PeerAnswer{Domain: "far.lan", Authentication: amtp.Authentication{Result: amtp.AuthPass},
			Listed: true, Reached: true}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Date", f.at.Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // the test notices a failure
	}
	mux.HandleFunc("GET /v1/discovery/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, amtp.DomainKeys{Domain: f.domain, Keys: f.keys})
	})
	mux.HandleFunc("POST /v1/peers/check", func(w http.ResponseWriter, _ *http.Request) {
		if f.says != nil {
			answer(w, f.status, map[string]any{"error": f.says})
			return
		}
		answer(w, max(f.status, 200), f.back)
	})
	f.Server = httptest.NewTLSServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *far) peer() admin.NewPeer {
	return admin.NewPeer{Domain: "far.lan", Gateway: f.URL, Pin: amtp.PinOf(f.Certificate()).String()}
}

// TestEveryReplicaSees: a change at one replica holds there at once. It holds at another
// replica within a second. Until then that replica does not read the store.
func TestEveryReplicaSees(t *testing.T) {
	f, s, c := newFar(t), &store{}, &watch{now: noon}
	one, two := newPeering(s, c), newPeering(s, c)
	here := func(p *Peering) bool {
		t.Helper()
		found, err := p.Route(t.Context(), "far.lan")
		if err != nil {
			t.Fatal(err)
		}
		return found != nil
	}
	if here(two) {
		t.Fatal("there is a peer before one was added")
	}
	if _, refused := one.Add(t.Context(), f.peer()); refused != nil {
		t.Fatal(refused)
	}
	if !here(one) {
		t.Error("the gateway that added the peer does not know it at once")
	}
	reads := s.reads
	for range 100 {
		here(one)
	}
	if s.reads != reads {
		t.Errorf("100 looks read the store %d times, want none", s.reads-reads)
	}
	c.pass(time.Second)
	if !here(two) {
		t.Error("the other gateway does not know the peer after a second")
	}
	before, _ := two.Route(t.Context(), "far.lan")
	c.pass(time.Second)
	if after, _ := two.Route(t.Context(), "far.lan"); after != before {
		t.Error("a peer that has not changed lost its connections")
	}
	if refused := two.Remove(t.Context(), "far.lan"); refused != nil || here(two) {
		t.Errorf("the gateway that removed the peer still knows it: %v", refused)
	}
	c.pass(time.Second)
	if here(one) {
		t.Error("the other gateway still knows the peer after a second")
	}
	if refused := one.Remove(t.Context(), "far.lan"); codeOf(refused) != amtp.CodeDomainNotFound {
		t.Errorf("removing a domain that is not a peer: %v, want DOMAIN_NOT_FOUND", refused)
	}
}

// TestCheckNamesWhatIsWrong: each fault by itself makes one point fail, the one for it.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*far)
		want   string // the points that fail
		word   string
	}{
		"nothing":        {func(*far) {}, "", ""},
		"it ended":       {func(f *far) { f.Close() }, "address", "does not answer"},
		"another domain": {func(f *far) { f.domain = "near.lan" }, "domain", "is the gateway of near.lan"},
		"no keys":        {func(f *far) { f.keys = nil }, "keys", "0 of its keys"},
		"a clock ahead":  {func(f *far) { f.at = noon.Add(6 * time.Minute) }, "clock", "6m0s ahead of ours"},
		"a clock behind": {func(f *far) { f.at = noon.Add(-time.Hour) }, "clock", "1h0m0s behind ours"},
		"it does not know us": {func(f *far) {
			f.back.Authentication.Result = "fail"
		}, "them", "does not know the keys of here.lan"},
		"it refuses us": {func(f *far) {
			f.status, f.says = 403, amtp.Errorf(amtp.CodeSignatureInvalid, "")
		}, "them", "does not know the keys of here.lan"},
		"it has none of our keys": {func(f *far) {
			f.status, f.says = 503, amtp.Errorf(amtp.CodeSignatureKeyUnavailable, "").With("reason",
				amtp.ReasonKeyMissing)
		}, "them", "does not know the keys of here.lan"},
		"it cannot read our keys": {func(f *far) {
			f.status, f.says = 503, amtp.Errorf(amtp.CodeSignatureKeyUnavailable, "").With("reason",
				amtp.ReasonKeyUnavailable)
		}, "them", "does not reach this gateway"},
		"it does not let us in": {func(f *far) { f.status = 403 }, "them", "(403)"},
		"it does not reach us":  {func(f *far) { f.status = 503 }, "them", "does not reach this gateway"},
		"it reached us once": {func(f *far) {
			f.back.Reached, f.back.Problem = false, "no answer"
		}, "them", "no answer"},
		"an older release":       {func(f *far) { f.status = 404 }, "them", "(404)"},
		"it finds us by itself":  {func(f *far) { f.back.Listed, f.back.Reached = false, false }, "", ""},
		"another key than it is": {func(f *far) {}, "certificate", "which is not the pinned one"},
	} {
		f := newFar(t)
		p := newPeering(&store{}, &watch{now: noon})
		n := f.peer()
		if _, refused := p.Add(t.Context(), n); refused != nil {
			t.Fatal(refused)
		}
		if tc.want == "certificate" {
			facts := strings.Replace(string(p.Store.(*store).list[0].Facts), n.Pin, amtp.Pin{1}.String(), 1)
			p.Store.(*store).list[0].Facts = []byte(facts)
		}
		tc.change(f)
		r, refused := p.Check(t.Context(), "far.lan")
		if refused != nil {
			t.Fatal(refused)
		}
		var bad []string
		said := ""
		for _, point := range r.Points {
			if !point.OK {
				bad, said = append(bad, point.Name), point.Text
				if point.Mend == "" {
					t.Errorf("%s: nothing is said of how to mend %q", name, point.Text)
				}
			}
		}
		if strings.Join(bad, " ") != tc.want || !strings.Contains(said, tc.word) || r.OK != (tc.want == "") {
			t.Errorf("%s: points %v failed (%s), want %q with the text %q", name, bad, said, tc.want, tc.word)
		}
	}
}

// TestKnownBy: a peer is known by a pin or by an authority of its own, and by nothing else
// than the one that was given.
func TestKnownBy(t *testing.T) {
	f := newFar(t)
	ca := func(f *far) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}))
	}
	for name, tc := range map[string]struct {
		change func(*admin.NewPeer)
		want   amtp.Code
	}{
		"a pin":               {func(*admin.NewPeer) {}, ""},
		"its authority":       {func(n *admin.NewPeer) { n.Pin, n.CA = "", ca(f) }, ""},
		"neither":             {func(n *admin.NewPeer) { n.Pin = "" }, amtp.CodeConflict},
		"another pin":         {func(n *admin.NewPeer) { n.Pin = amtp.Pin{1}.String() }, amtp.CodeConflict},
		"both":                {func(n *admin.NewPeer) { n.CA = ca(f) }, amtp.CodeInvalidRequest},
		"no pin at all":       {func(n *admin.NewPeer) { n.Pin = "sha256//x" }, amtp.CodeInvalidRequest},
		"no authority at all": {func(n *admin.NewPeer) { n.Pin, n.CA = "", "x" }, amtp.CodeInvalidRequest},
		"plain http": {func(n *admin.NewPeer) { n.Gateway = "http://192.168.1.7" },
			amtp.CodeInvalidRequest},
		"a URL that ends a record": {func(n *admin.NewPeer) {
			n.Gateway += ";auth=sig;gateway=https://evil.example"
		}, amtp.CodeInvalidRequest},
		"this gateway": {func(n *admin.NewPeer) { n.Domain = "HERE.lan" }, amtp.CodeInvalidRequest},
		"no domain":    {func(n *admin.NewPeer) { n.Domain = "a b" }, amtp.CodeInvalidRequest},
	} {
		p := newPeering(&store{}, &watch{now: noon})
		n := f.peer()
		tc.change(&n)
		_, refused := p.Add(t.Context(), n)
		if codeOf(refused) != tc.want {
			t.Errorf("%s: %v, want %q", name, refused, tc.want)
		}
	}
}

// TestKeys: keys that are not valid are left out, and a gateway that does not sign has none.
func TestKeys(t *testing.T) {
	f := newFar(t)
	f.keys = append(f.keys, amtp.DomainKey{Selector: "UPPER",
		Record: "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="},
		amtp.DomainKey{Selector: "two", Record: "no record"})
	p := newPeering(&store{}, &watch{now: noon})
	if _, refused := p.Add(t.Context(), f.peer()); refused != nil {
		t.Fatal(refused)
	}
	peer, err := p.Route(t.Context(), "far.lan")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := p.Keys(t.Context(), peer)
	if _, ok := keys["one"]; err != nil || len(keys) != 1 || !ok {
		t.Errorf("Keys = %v, %v; want the key one", keys, err)
	}
	f.Close()
	if keys, err := p.Keys(t.Context(), peer); err == nil {
		t.Errorf("Keys of a gateway that ended = %v, want an error", keys)
	}
	var _ discovery.StaticRoutes = p
}

// codeOf returns the code with which a call was refused, "" if it was not refused, and a text
// that is not a code for any other error.
func codeOf(err error) amtp.Code {
	if err == nil {
		return ""
	}
	var refused *amtp.Error
	if !errors.As(err, &refused) {
		return amtp.Code(err.Error())
	}
	return refused.Code
}
