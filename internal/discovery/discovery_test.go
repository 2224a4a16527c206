package discovery_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
)

const (
	record  = "v=amtp1;gateway=https://gw.b.example"
	another = "v=amtp1;gateway=https://other.b.example"
	// keyText is the key of RFC 8410 §10.1.
	keyText  = "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="
	key2Text = "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPDaLHlJ3eymrFr1dSKz3fdIW2N/m8wiO0JHSXQyCESPZrvMz7MAnAHWAxLirnvzzFSofCwinucJ2wHT7mGpRHA=="
)

// say is a DNS whose answers the test sets.
type say struct {
	mu      sync.Mutex
	answers map[string]discovery.Answer
	failure error         // in place of every answer
	takes   time.Duration // before every answer
	asked   map[string]int
	busy    int // questions under way
	most    int // the most questions at the same time
}

func newSay() *say { return &say{answers: map[string]discovery.Answer{}, asked: map[string]int{}} }

func (s *say) TXT(ctx context.Context, name string) (discovery.Answer, error) {
	s.mu.Lock()
	s.asked[name]++
	s.busy++
	s.most = max(s.most, s.busy)
	takes := s.takes
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	if err := ctx.Err(); err != nil {
		return discovery.Answer{}, err
	}
	if s.failure != nil {
		return discovery.Answer{}, s.failure
	}
	a, ok := s.answers[name]
	if !ok {
		a = discovery.Answer{Status: discovery.NoName, TTL: time.Minute}
	}
	return a, nil
}

func (s *say) set(name string, ttl time.Duration, texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name] = discovery.Answer{Status: discovery.Exists, Records: texts, TTL: ttl}
	if len(texts) == 0 {
		s.answers[name] = discovery.Answer{Status: discovery.NoData, TTL: ttl}
	}
}

func (s *say) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

func (s *say) times(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func newFinder(t *testing.T, o discovery.Options) *discovery.Finder {
	t.Helper()
	o.Now = time.Now
	f, err := discovery.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// class returns the one class of an error, and fails if it has none or several.
func class(t *testing.T, err error) error {
	t.Helper()
	var found []error
	for _, c := range []error{discovery.ErrNone, discovery.ErrNoDomain, discovery.ErrInvalid, discovery.ErrTemporary,
		discovery.ErrBudget} {
		if errors.Is(err, c) {
			found = append(found, c)
		}
	}
	if err == nil {
		return nil
	}
	if len(found) != 1 {
		t.Errorf("the error %v is of %d classes, want 1", err, len(found))
		return err
	}
	return found[0]
}

var errServer = errors.New("SERVFAIL")

func TestGateway(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setup func(*say)
		want  error
	}{
		{"a record", func(s *say) { s.set("_amtp.b.example", 0, record) }, nil},
		{"the same twice", func(s *say) { s.set("_amtp.b.example", 0, record, record) }, nil},
		{"next to others", func(s *say) { s.set("_amtp.b.example", 0, "v=spf1 -all", record) }, nil},
		{"only others", func(s *say) { s.set("_amtp.b.example", 0, "v=spf1 -all") }, discovery.ErrNone},
		{"a name without TXT", func(s *say) { s.set("_amtp.b.example", 0) }, discovery.ErrNone},
		{"no name, but the domain", func(s *say) { s.set("b.example", 0, "v=spf1 -all") }, discovery.ErrNone},
		{"no name, but the domain without TXT", func(s *say) { s.set("b.example", 0) }, discovery.ErrNone},
		{"no domain", func(*say) {}, discovery.ErrNoDomain},
		{"two that differ", func(s *say) { s.set("_amtp.b.example", 0, record, another) }, discovery.ErrInvalid},
		{"without gateway", func(s *say) { s.set("_amtp.b.example", 0, "v=amtp1") }, discovery.ErrInvalid},
		{"plain http", func(s *say) {
			s.set("_amtp.b.example", 0, "v=amtp1;gateway=http://gw.b.example")
		}, discovery.ErrInvalid},
		{"failure", func(s *say) { s.fail(errServer) }, discovery.ErrTemporary},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dns := newSay()
			tc.setup(dns)
			got, err := newFinder(t, discovery.Options{Resolver: dns}).Gateway(t.Context(), "b.example")
			if class(t, err) != tc.want {
				t.Fatalf("Gateway = %+v, %v; want the error %v", got, err, tc.want)
			}
			if err == nil && (got.Gateway != "https://gw.b.example" || got.Source != discovery.FromDNS ||
				got.TTL != time.Minute || got.DiscoveredAt.IsZero()) {
				t.Errorf("Gateway = %+v, want https://gw.b.example from DNS for a minute", got)
			}
			if tc.want == discovery.ErrTemporary && !errors.Is(err, errServer) {
				t.Errorf("Gateway = %v, want the cause in it", err)
			}
		})
	}
}

// The record is certainly missing, but whether the domain exists is not known.
func TestDomainThatCannotBeAskedFor(t *testing.T) {
	dns := &failing{say: newSay(), name: "b.example"}
	if _, err := newFinder(t, discovery.Options{Resolver: dns}).Gateway(t.Context(), "b.example"); class(t,
		err) != discovery.ErrTemporary {
		t.Errorf("Gateway = %v, want ErrTemporary", err)
	}
}

// failing fails for one name only.
type failing struct {
	*say
	name string
}

func (f *failing) TXT(ctx context.Context, name string) (discovery.Answer, error) {
	if name == f.name {
		return discovery.Answer{}, errServer
	}
	return f.say.TXT(ctx, name)
}

func TestKey(t *testing.T) {
	const name = "s1._amtpkey.b.example"
	for _, tc := range []struct {
		name     string
		selector string
		setup    func(*say)
		want     error
		reason   amtp.Reason
	}{
		{"a key", "s1", func(s *say) { s.set(name, 0, keyText) }, nil, ""},
		{"a key without one in it", "s1", func(s *say) {
			s.set(name, 0, "v=amtpkey1;alg=ES256;p=")
		}, discovery.ErrInvalid, amtp.ReasonKeyInvalid},
		{"the form from before the revision", "s1", func(s *say) {
			s.set(name, 0,
				"v=amtp1;k=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w==")
		}, discovery.ErrNone, amtp.ReasonKeyMissing},
		{"no name", "s1", func(*say) {}, discovery.ErrNone, amtp.ReasonKeyMissing},
		{"no TXT", "s1", func(s *say) { s.set(name, 0) }, discovery.ErrNone, amtp.ReasonKeyMissing},
		{"another record", "s1", func(s *say) { s.set(name, 0, "hello") }, discovery.ErrNone, amtp.ReasonKeyMissing},
		{"malformed", "s1", func(s *say) {
			s.set(name, 0, "v=amtpkey1;alg=ES256;p=AAAA")
		}, discovery.ErrInvalid, amtp.ReasonKeyInvalid},
		{"two that differ", "s1", func(s *say) { s.set(name, 0, keyText, key2Text) }, discovery.ErrInvalid,
			amtp.ReasonKeyAmbiguous},
		{"two that are equal", "s1", func(s *say) { s.set(name, 0, keyText, keyText) }, discovery.ErrInvalid,
			amtp.ReasonKeyAmbiguous},
		{"one next to a broken one", "s1", func(s *say) {
			s.set(name, 0, keyText, "v=amtpkey1;alg=ES256;p=AAAA")
		}, nil, ""},
		{"no selector", "", func(*say) {}, discovery.ErrInvalid, amtp.ReasonMalformed},
		{"a selector that is no name", "a b", func(*say) {}, discovery.ErrInvalid, amtp.ReasonMalformed},
		{"a selector that is too long", strings.Repeat("a.", 120) + "a", func(*say) {}, discovery.ErrInvalid,
			amtp.ReasonMalformed},
		{"failure", "s1", func(s *say) { s.fail(errServer) }, discovery.ErrTemporary, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dns := newSay()
			tc.setup(dns)
			got, err := newFinder(t, discovery.Options{Resolver: dns}).Key(t.Context(), "b.example", tc.selector)
			if class(t, err) != tc.want || err == nil && got.Algorithm == "" {
				t.Fatalf("Key = %+v, %v; want the error %v", got, err, tc.want)
			}
			var why *amtp.SignatureError
			if errors.As(err, &why) != (tc.reason != "") || why != nil && why.Reason != tc.reason {
				t.Errorf("Key = %v, want the reason %q", err, tc.reason)
			}
		})
	}
}

func TestStaticTable(t *testing.T) {
	dns := newSay()
	dns.set("_amtp.b.example", 0, another)
	dns.set("_amtp.c.example", 0, another)
	f := newFinder(t, discovery.Options{Resolver: dns, Static: map[string]string{
		"B.example":             record,
		"s1._amtpkey.b.example": keyText,
	}})
	got, err := f.Gateway(t.Context(), "b.example")
	if err != nil || got.Gateway != "https://gw.b.example" || got.Source != discovery.FromStatic || got.TTL != 0 {
		t.Errorf("Gateway of a domain in the table = %+v, %v; want its entry", got, err)
	}
	if key, err := f.Key(t.Context(), "b.example", "s1"); err != nil || key.Algorithm != amtp.ES256 {
		t.Errorf("Key in the table = %+v, %v; want its entry", key, err)
	}
	if len(dns.asked) != 0 {
		t.Errorf("DNS was asked for %v, want nothing", dns.asked)
	}
	if got, err := f.Gateway(t.Context(), "c.example"); err != nil || got.Source != discovery.FromDNS {
		t.Errorf("Gateway of a domain outside of the table = %+v, %v; want the answer of DNS", got, err)
	}
	if _, err := f.Key(t.Context(), "b.example", "s2"); class(t, err) != discovery.ErrNone {
		t.Errorf("Key outside of the table = %v, want ErrNone from DNS", err)
	}
}

func TestWithoutDNSThereIsTheTableOnly(t *testing.T) {
	f := newFinder(t, discovery.Options{Static: map[string]string{"b.example": record}})
	if _, err := f.Gateway(t.Context(), "b.example"); err != nil {
		t.Errorf("Gateway of a domain in the table: %v", err)
	}
	if _, err := f.Gateway(t.Context(), "c.example"); class(t, err) != discovery.ErrNoDomain {
		t.Errorf("Gateway of another domain = %v, want ErrNoDomain", err)
	}
	if _, err := f.Key(t.Context(), "b.example", "s1"); class(t, err) != discovery.ErrNone {
		t.Errorf("Key = %v, want ErrNone", err)
	}
}

func TestPlainHTTPNeedsAnOption(t *testing.T) {
	const plain = "v=amtp1;gateway=http://127.0.0.1:8080"
	dns := newSay()
	dns.set("_amtp.b.example", 0, plain)
	table := map[string]string{"c.example": plain}
	if _, err := discovery.New(discovery.Options{Static: table, Now: time.Now}); err == nil {
		t.Errorf("New with the table %v = nil, want an error", table)
	}
	f := newFinder(t, discovery.Options{Resolver: dns, Static: table, AllowHTTP: true})
	for _, domain := range []amtp.Domain{"b.example", "c.example"} {
		if got, err := f.Gateway(t.Context(), domain); err != nil || got.Gateway != "http://127.0.0.1:8080" {
			t.Errorf("Gateway(%s) = %+v, %v; want the plain one", domain, got, err)
		}
	}
}

func TestTablesThatAreRefused(t *testing.T) {
	for _, table := range []map[string]string{
		{"": record},
		{"b example": record},
		{"b.example": ""},
		{"b.example": "https://gw.b.example"},
		{"b.example": record, "B.example": record},
		{"b.example": keyText},
		{"s1._amtpkey.b.example": record},
		{"s1._amtpkey.b.example": keyText, "S1._amtpkey.b.example": keyText},
	} {
		if _, err := discovery.New(discovery.Options{Static: table, Now: time.Now}); err == nil {
			t.Errorf("New with the table %q = nil, want an error", table)
		}
	}
}

// Every answer is remembered for the time that it states, within bounds.
func TestHowLongAnswersAreRemembered(t *testing.T) {
	const longest = 24 * time.Hour
	ask := func(f *discovery.Finder) error { _, err := f.Gateway(context.Background(), "b.example"); return err }
	askKey := func(f *discovery.Finder) error { _, err := f.Key(context.Background(), "b.example", "s1"); return err }
	for _, tc := range []struct {
		name  string
		setup func(*say)
		ask   func(*discovery.Finder) error
		most  time.Duration // of the options
		want  time.Duration
	}{
		{"a record", func(s *say) { s.set("_amtp.b.example", time.Hour, record) }, ask, 0, time.Hour},
		{"a record for no time", func(s *say) { s.set("_amtp.b.example", 0, record) }, ask, 0, time.Minute},
		{"a record for years", func(s *say) { s.set("_amtp.b.example", 99999*time.Hour, record) }, ask, 0, longest},
		{"a record, with a bound", func(s *say) {
			s.set("_amtp.b.example", time.Hour, record)
		}, ask, 5 * time.Minute, 5 * time.Minute},
		{"a record, with a short bound", func(s *say) {
			s.set("_amtp.b.example", time.Hour, record)
		}, ask, 10 * time.Second, 10 * time.Second},
		{"absence", func(s *say) { s.set("_amtp.b.example", 2*time.Minute) }, ask, 0, 2 * time.Minute},
		{"absence for no time", func(s *say) { s.set("_amtp.b.example", 0) }, ask, 0, time.Minute},
		{"absence for hours", func(s *say) { s.set("_amtp.b.example", time.Hour) }, ask, 0, 5 * time.Minute},
		{"absence, with a bound", func(s *say) { s.set("_amtp.b.example", time.Hour) }, ask, 10 * time.Second,
			10 * time.Second},
		{"no domain", func(s *say) {}, ask, 0, time.Minute},
		{"a bad record", func(s *say) { s.set("_amtp.b.example", time.Hour, "v=amtp1") }, ask, 0, 5 * time.Minute},
		{"a key", func(s *say) {
			s.set("s1._amtpkey.b.example", 10*time.Minute, keyText)
		}, askKey, 0, 10 * time.Minute},
		{"a key for years", func(s *say) {
			s.set("s1._amtpkey.b.example", 99999*time.Hour, keyText)
		}, askKey, 0, time.Hour},
		{"no key", func(s *say) { s.set("s1._amtpkey.b.example", time.Hour) }, askKey, 0, 30 * time.Second},
		{"no key, for no time", func(s *say) { s.set("s1._amtpkey.b.example", 0) }, askKey, 0, 30 * time.Second},
		{"a key that is not valid", func(s *say) {
			s.set("s1._amtpkey.b.example", time.Hour, "v=amtpkey1;alg=ES256;p=AAAA")
		}, askKey, 0, 30 * time.Second},
		{"two keys", func(s *say) {
			s.set("s1._amtpkey.b.example", time.Hour, keyText, key2Text)
		}, askKey, 0, 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dns := newSay()
				tc.setup(dns)
				f := newFinder(t, discovery.Options{Resolver: dns, MaxTTL: tc.most})
				first := tc.ask(f)
				before := total(dns)
				time.Sleep(tc.want - time.Second)
				if err := tc.ask(f); class(t, err) != class(t, first) || total(dns) != before {
					t.Errorf("a second before %v: %v after asking again; want %v without", tc.want, err, first)
				}
				time.Sleep(time.Second)
				if err := tc.ask(f); class(t, err) != class(t, first) || total(dns) == before {
					t.Errorf("after %v: %v without asking; want that DNS is asked again", tc.want, err)
				}
			})
		})
	}
}

func total(s *say) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.asked {
		n += times
	}
	return n
}

// While DNS fails, the earlier answer is used for a day. Then the answer is a temporary
// error, and never "there is none".
func TestStaleAnswersWhileDNSFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("_amtp.b.example", time.Hour, record)
		f := newFinder(t, discovery.Options{Resolver: dns})
		start := time.Now()
		if got, err := f.Gateway(t.Context(), "b.example"); err != nil || got.Stale {
			t.Fatalf("Gateway = %+v, %v; want a fresh answer", got, err)
		}
		dns.fail(errServer)
		time.Sleep(time.Hour)
		for range 3 {
			got, err := f.Gateway(t.Context(), "b.example")
			if err != nil || !got.Stale || got.Gateway != "https://gw.b.example" || !got.DiscoveredAt.Equal(start) {
				t.Fatalf("Gateway while DNS fails = %+v, %v; want the stale answer", got, err)
			}
		}
		if n := dns.times("_amtp.b.example"); n != 2 {
			t.Errorf("DNS was asked %d times, want twice: it is left alone after a failure", n)
		}
		time.Sleep(24*time.Hour - time.Second)
		if got, err := f.Gateway(t.Context(), "b.example"); err != nil || !got.Stale {
			t.Errorf("Gateway after 25 hours but a second = %+v, %v; want the stale answer", got, err)
		}
		time.Sleep(time.Minute)
		if got, err := f.Gateway(t.Context(), "b.example"); class(t, err) != discovery.ErrTemporary {
			t.Errorf("Gateway after 25 hours = %+v, %v; want ErrTemporary", got, err)
		}
		dns.fail(nil)
		time.Sleep(time.Minute)
		if got, err := f.Gateway(t.Context(), "b.example"); err != nil || got.Stale {
			t.Errorf("Gateway when DNS is back = %+v, %v; want a fresh answer", got, err)
		}
	})
}

// A record that was withdrawn is no longer used, however long it was valid.
func TestWithdrawnRecordIsNotServedStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("_amtp.b.example", time.Minute, record)
		f := newFinder(t, discovery.Options{Resolver: dns})
		f.Gateway(t.Context(), "b.example")
		dns.set("_amtp.b.example", time.Minute)
		time.Sleep(time.Minute)
		if _, err := f.Gateway(t.Context(), "b.example"); class(t, err) != discovery.ErrNone {
			t.Fatalf("Gateway of a withdrawn record = %v, want ErrNone", err)
		}
		dns.fail(errServer)
		time.Sleep(5 * time.Minute)
		if got, err := f.Gateway(t.Context(), "b.example"); class(t, err) != discovery.ErrTemporary {
			t.Errorf("Gateway when DNS fails after that = %+v, %v; want ErrTemporary", got, err)
		}
	})
}

// A key is used for at most two hours after its domain withdrew it.
func TestStaleKeysEndSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("s1._amtpkey.b.example", 24*time.Hour, keyText)
		f := newFinder(t, discovery.Options{Resolver: dns})
		f.Key(t.Context(), "b.example", "s1")
		dns.fail(errServer)
		time.Sleep(2*time.Hour - time.Second)
		if _, err := f.Key(t.Context(), "b.example", "s1"); err != nil {
			t.Errorf("Key after two hours but a second = %v, want the stale one", err)
		}
		time.Sleep(time.Minute)
		if _, err := f.Key(t.Context(), "b.example", "s1"); class(t, err) != discovery.ErrTemporary {
			t.Errorf("Key after two hours = %v, want ErrTemporary", err)
		}
	})
}

// A failing name is asked for again after 5, 10, 20 and then every 30 seconds.
func TestPausesAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.fail(errServer)
		f := newFinder(t, discovery.Options{Resolver: dns})
		start := time.Now()
		var asked []time.Duration
		for time.Since(start) < 2*time.Minute {
			before := dns.times("_amtp.b.example")
			if _, err := f.Gateway(t.Context(), "b.example"); class(t, err) != discovery.ErrTemporary ||
				!errors.Is(err, errServer) {
				t.Fatalf("Gateway = %v, want ErrTemporary with its cause", err)
			}
			if dns.times("_amtp.b.example") > before {
				asked = append(asked, time.Since(start))
			}
			time.Sleep(time.Second)
		}
		want := []time.Duration{0, 5 * time.Second, 15 * time.Second, 35 * time.Second, 65 * time.Second,
			95 * time.Second}
		if len(asked) != len(want) {
			t.Fatalf("DNS was asked after %v, want %v", asked, want)
		}
		for i := range want {
			if asked[i] != want[i] {
				t.Fatalf("DNS was asked after %v, want %v", asked, want)
			}
		}
	})
}

// However many callers wait for a name, it is asked for once. A caller that stops
// waiting does not stop the others.
func TestOneQuestionForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.takes = time.Second
		dns.set("_amtp.b.example", time.Hour, record)
		f := newFinder(t, discovery.Options{Resolver: dns})
		impatient, stop := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := f.Gateway(impatient, "b.example")
			gaveUp <- err
		}()
		synctest.Wait()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := f.Gateway(t.Context(), "b.example"); err != nil {
					t.Errorf("Gateway = %v, want the answer", err)
				}
			})
		}
		synctest.Wait()
		stop()
		if err := <-gaveUp; class(t, err) != discovery.ErrTemporary || !errors.Is(err, context.Canceled) {
			t.Errorf("Gateway of a caller that gave up = %v, want ErrTemporary and the reason", err)
		}
		all.Wait()
		if n := dns.times("_amtp.b.example"); n != 1 {
			t.Errorf("DNS was asked %d times, want once", n)
		}
	})
}

// A question that gets no answer ends by itself.
func TestQuestionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.takes = 1000 * time.Hour
		start := time.Now()
		_, err := newFinder(t, discovery.Options{Resolver: dns}).Gateway(t.Context(), "b.example")
		if class(t, err) != discovery.ErrTemporary || time.Since(start) > time.Minute {
			t.Errorf("Gateway = %v after %v, want ErrTemporary within a minute", err, time.Since(start))
		}
	})
}

// The domains are remembered within bounds, and a flood of new ones does not evict
// those in use.
func TestMemoryIsBounded(t *testing.T) {
	dns := newSay()
	dns.set("_amtp.b.example", time.Hour, record)
	f := newFinder(t, discovery.Options{Resolver: dns})
	for range 100 {
		f.Gateway(t.Context(), "b.example")
	}
	name := func(i int) amtp.Domain {
		return amtp.Domain("d" + strings.Repeat("x", i%50) + string(rune('a'+i/50%26)) +
			string(rune('a'+i/1300%26)) + ".example")
	}
	const flood = 15_000
	for i := range flood {
		f.Gateway(t.Context(), name(i))
	}
	if n := dns.times("_amtp.b.example"); n != 1 {
		t.Errorf("a domain in use was asked for %d times, want once", n)
	}
	before := total(dns)
	for i := range flood {
		f.Gateway(t.Context(), name(i))
	}
	if again := (total(dns) - before) / 2; again < 5000 {
		t.Errorf("after %d names, %d of them were asked for again; want 5000 or more, for 10000 are remembered",
			flood, again)
	}
}
