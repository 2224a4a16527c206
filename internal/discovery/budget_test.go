package discovery_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/limits"
)

func newBudget(t *testing.T, dns discovery.Resolver) *discovery.Budget {
	t.Helper()
	accounts := limits.New(limits.Options{Messages: 1, Bytes: 1, Now: time.Now})
	return discovery.NewBudget(newFinder(t, discovery.Options{Resolver: dns,
		Static: map[string]string{"static.example": record}}), accounts)
}

// nth is a domain that no caller asked for before.
func nth(i int) amtp.Domain { return amtp.Domain(fmt.Sprintf("d%d.example", i)) }

func TestTenNewDomainsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		b := newBudget(t, dns)
		stranger := netip.MustParseAddr("192.0.2.1")
		taken := 0
		for i := range 10_000 {
			if _, err := b.Key(t.Context(), stranger, nth(i), "s1"); class(t, err) != discovery.ErrBudget {
				taken++
			}
		}
		if taken != 10 || total(dns) != 10 {
			t.Fatalf("10,000 new domains at once: %d were taken, %d asked for; want 10", taken, total(dns))
		}
		time.Sleep(time.Minute)
		for i := range 100 {
			if _, err := b.Key(t.Context(), stranger, nth(20_000+i), "s1"); class(t, err) != discovery.ErrBudget {
				taken++
			}
		}
		if taken != 20 {
			t.Errorf("a minute later %d were taken in all, want 20", taken)
		}
	})
}

// TestProvenDomainsAreNotNew: after a restart, many domains behind one address are not
// in memory. The ones that proved themselves before are looked up without a charge.
// Selectors that a stranger invents in their name are charged to the stranger.
func TestProvenDomainsAreNotNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		b := newBudget(t, dns)
		b.Proven = func(_ context.Context, d amtp.Domain) bool { return d != "other.example" }
		host := netip.MustParseAddr("192.0.2.1")
		for i := range 500 {
			if _, err := b.Key(t.Context(), host, nth(i), "s1"); class(t, err) != discovery.ErrNone {
				t.Fatalf("the look-up of proven domain %d: %v, want that it has no key", i, err)
			}
		}
		asked := 0
		for i := range 1000 {
			if _, err := b.Key(t.Context(), host, nth(0), fmt.Sprintf("x%d", i)); class(t, err) != discovery.ErrBudget {
				asked++
			}
		}
		if asked != 10 {
			t.Errorf("of a thousand invented selectors of one domain %d were looked up, want the 10 of the address",
				asked)
		}
		if _, err := b.Key(t.Context(), host, "other.example", "s1"); class(t, err) != discovery.ErrBudget {
			t.Errorf("the look-up of a domain that is new: %v, want ErrBudget", err)
		}
		time.Sleep(time.Minute)
		if _, err := b.Key(t.Context(), host, nth(0), "s2"); class(t, err) != discovery.ErrNone {
			t.Errorf("a minute later the domain's next selector: %v, want ErrNone", err)
		}
	})
}

func TestWhoIsOneClient(t *testing.T) {
	for _, tc := range []struct {
		spent, other string
		want         error
	}{
		{"192.0.2.1", "192.0.2.2", discovery.ErrNone},
		{"192.0.2.1", "192.0.2.1", discovery.ErrBudget},
		{"192.0.2.1", "::ffff:192.0.2.1", discovery.ErrBudget},
		{"2001:db8::1", "2001:db8::2", discovery.ErrBudget},
		{"2001:db8::1", "2001:db8:0:1::1", discovery.ErrNone},
		{"127.0.0.1", "127.0.0.1", discovery.ErrNone},
		{"::1", "::1", discovery.ErrNone},
		{"", "", discovery.ErrBudget},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(t, newSay())
			spent, _ := netip.ParseAddr(tc.spent)
			other, _ := netip.ParseAddr(tc.other)
			for i := range 20 {
				b.Key(t.Context(), spent, nth(i), "s1")
			}
			if _, err := b.Key(t.Context(), other, "new.example", "s1"); class(t, err) != tc.want {
				t.Errorf("after %s spent its budget, %s gets %v; want %v", tc.spent, tc.other, err, tc.want)
			}
		})
	}
}

// A caller without budget still gets remembered answers, and answers that need no DNS.
func TestWhatIsRememberedCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("s1._amtpkey.b.example", time.Hour, keyText)
		dns.set("_amtp.b.example", time.Hour, record)
		b := newBudget(t, dns)
		stranger := netip.MustParseAddr("192.0.2.1")
		b.Key(t.Context(), stranger, "b.example", "s1")
		b.Gateway(t.Context(), stranger, "b.example")
		b.Key(t.Context(), stranger, "c.example", "s1")
		for i := range 20 {
			b.Gateway(t.Context(), stranger, nth(i))
		}
		before := total(dns)
		for range 1000 {
			_, key := b.Key(t.Context(), stranger, "b.example", "s1")
			_, gateway := b.Gateway(t.Context(), stranger, "b.example")
			_, table := b.Gateway(t.Context(), stranger, "static.example")
			_, absent := b.Key(t.Context(), stranger, "c.example", "s1")
			_, malformed := b.Key(t.Context(), stranger, "c.example", "a b")
			if key != nil || gateway != nil || table != nil || class(t, absent) != discovery.ErrNone ||
				class(t, malformed) != discovery.ErrInvalid {
				t.Fatalf("without budget: key %v, gateway %v, table %v, absent key %v, malformed selector %v; want the answers",
					key, gateway, table, absent, malformed)
			}
		}
		if _, err := b.Gateway(t.Context(), stranger, "new.example"); class(t, err) != discovery.ErrBudget {
			t.Errorf("without budget, a new domain = %v, want ErrBudget", err)
		}
		if total(dns) != before {
			t.Errorf("DNS was asked %d times more, want none", total(dns)-before)
		}
	})
}

// A failure is remembered for a while as well.
func TestFailuresCostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.fail(errServer)
		b := newBudget(t, dns)
		for range 100 {
			if _, err := b.Key(t.Context(), netip.MustParseAddr("192.0.2.1"), "b.example", "s1"); class(t,
				err) != discovery.ErrTemporary {
				t.Fatalf("Key = %v, want ErrTemporary", err)
			}
		}
		if total(dns) != 1 {
			t.Errorf("DNS was asked %d times, want once", total(dns))
		}
	})
}

// Fifty questions are under way at once, even when all callers that caused them hang
// up.
func TestFiftyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.takes = time.Second
		b := newBudget(t, dns)
		ctx, hangUp := context.WithCancel(t.Context())
		var mu sync.Mutex
		refused := 0
		ask := func(from, to int) *sync.WaitGroup {
			var all sync.WaitGroup
			for i := from; i < to; i++ {
				all.Go(func() {
					client := netip.AddrFrom4([4]byte{198, 18, byte(i), byte(i >> 8)})
					if _, err := b.Key(ctx, client, nth(i), "s1"); class(t, err) == discovery.ErrBudget {
						mu.Lock()
						refused++
						mu.Unlock()
					}
				})
			}
			synctest.Wait()
			return &all
		}
		first := ask(0, 200)
		hangUp()
		second := ask(200, 400)
		if dns.most != 50 || refused != 350 {
			t.Errorf("400 clients caused %d questions at once and %d were refused, want 50 and 350", dns.most, refused)
		}
		first.Wait()
		second.Wait()
		time.Sleep(dns.takes)
		synctest.Wait() // all questions are answered
		if ask(400, 450).Wait(); refused != 350 || total(dns) != 100 {
			t.Errorf("afterwards %d were refused and %d asked for in all, want still 350, and 100", refused, total(dns))
		}
		time.Sleep(dns.takes)
		synctest.Wait()
	})
}

// One network has a quarter of them at most, whatever addresses it has.
func TestOneNetworkLeavesQuestionsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.takes = time.Second
		b := newBudget(t, dns)
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() { b.Key(t.Context(), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), nth(i), "s1") })
		}
		synctest.Wait()
		if _, err := b.Key(t.Context(), netip.MustParseAddr("203.0.113.1"), "new.example", "s1"); class(t,
			err) != discovery.ErrNone || dns.most > 13 {
			t.Errorf("with 200 questions of one network, %d of them asked at once, another network gets %v; want 12 and an answer",
				dns.most-1, err)
		}
		all.Wait()
	})
}

// A busy peer's messages come together, when its key is new and whenever the question
// has to be asked again. That is one question, and it is charged once.
func TestManyMessagesOfOnePeerAreOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("s1._amtpkey.b.example", 5*time.Minute, keyText)
		dns.takes = 20 * time.Millisecond
		b := newBudget(t, dns)
		for round := range 3 {
			if n := refusedOf(t, 64, func() error {
				_, err := b.Key(t.Context(), netip.MustParseAddr("192.0.2.1"), "b.example", "s1")
				return err
			}); n != 0 || total(dns) != round+1 {
				t.Errorf("round %d: %d of 64 messages of one peer were refused and DNS was asked %d times in all, want none and %d",
					round, n, total(dns), round+1)
			}
			time.Sleep(6 * time.Minute)
		}
	})
}

// refusedOf asks n times at once and returns how many calls got ErrBudget.
func refusedOf(t *testing.T, n int, ask func() error) int {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range errs {
		all.Go(func() { errs[i] = ask() })
	}
	all.Wait()
	refused := 0
	for _, err := range errs {
		switch {
		case err == nil:
		case class(t, err) == discovery.ErrBudget:
			refused++
		default:
			t.Fatalf("got %v, want an answer or ErrBudget", err)
		}
	}
	return refused
}

// The answer to a question that is under way goes to all callers that wait for it, even
// to callers without budget.
func TestWhoJoinsAQuestionPaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("s1._amtpkey.b.example", time.Hour, keyText)
		b := newBudget(t, dns)
		spent := netip.MustParseAddr("192.0.2.1")
		for i := range 20 {
			b.Key(t.Context(), spent, nth(i), "s1")
		}
		dns.takes = time.Second
		var other sync.WaitGroup
		other.Go(func() {
			if _, err := b.Key(t.Context(), netip.MustParseAddr("192.0.2.2"), "b.example", "s1"); err != nil {
				t.Errorf("Key for the caller that asks first = %v, want the key", err)
			}
		})
		synctest.Wait()
		if _, err := b.Key(t.Context(), spent, "b.example", "s1"); err != nil {
			t.Errorf("Key for a caller that joins without budget = %v, want the key", err)
		}
		other.Wait()
	})
}

// A domain that was found once is asked for again without a charge, and not after fifty
// strangers. A name that does not exist is charged each time.
func TestWhatWasFoundIsAskedForAgainFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newSay()
		dns.set("s1._amtpkey.b.example", time.Minute, keyText)
		b := newBudget(t, dns)
		peer := netip.MustParseAddr("192.0.2.1")
		b.Key(t.Context(), peer, "b.example", "s1")
		b.Key(t.Context(), peer, "none.example", "s1")
		time.Sleep(10 * time.Minute)
		for i := range 10 {
			b.Key(t.Context(), peer, nth(i), "s1")
		}
		if _, err := b.Key(t.Context(), peer, "none.example", "s1"); class(t, err) != discovery.ErrBudget {
			t.Errorf("without budget, a name that did not exist = %v, want ErrBudget", err)
		}
		dns.takes = time.Second
		var strangers sync.WaitGroup
		for i := range 50 {
			strangers.Go(func() {
				b.Key(t.Context(), netip.AddrFrom4([4]byte{198, 18, byte(i), 1}), nth(100+i), "s1")
			})
		}
		synctest.Wait()
		if _, err := b.Key(t.Context(), peer, "new.example", "s1"); class(t, err) != discovery.ErrBudget {
			t.Errorf("with fifty strangers, a new domain = %v, want ErrBudget", err)
		}
		before := total(dns)
		if _, err := b.Key(t.Context(), peer, "b.example", "s1"); err != nil || total(dns) != before+1 {
			t.Errorf("with fifty strangers, a known domain = %v with %d questions, want the key and one", err,
				total(dns)-before)
		}
		strangers.Wait()
	})
}
