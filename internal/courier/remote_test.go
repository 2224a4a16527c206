package courier_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// takes is a peer that accepts every message.
func takes(t *testing.T, p **peer) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := (*p).arrived()
		var m struct {
			MessageID  string   `json:"message_id"`
			Recipients []string `json:"recipients"`
		}
		if err := json.Unmarshal([]byte(list[len(list)-1].body), &m); err != nil {
			t.Errorf("what arrived is no JSON: %v", err)
		}
		var said []string
		for _, r := range m.Recipients {
			said = append(said, fmt.Sprintf(`{"address":%q,"status":"delivered"}`, r))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"message_id":%q,"recipients":[%s]}`, m.MessageID, strings.Join(said, ","))
	}
}

func newTaker(t *testing.T) *peer {
	t.Helper()
	var p *peer
	p = newPeer(t, func(w http.ResponseWriter, r *http.Request) { takes(t, &p)(w, r) })
	return p
}

// TestNoAnswer: the outcomes of attempts that end without an answer, or with a part of
// one. All of them are retried, and the destination counts as down.
func TestNoAnswer(t *testing.T) {
	gone := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"message_id":"`+msgID+`"`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	never := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	drips := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		change func(*peer, *outbound.Options)
		limit  time.Duration // of the attempt
		reason string
	}{
		{"hangs up", gone, nil, 0, "cannot be reached"},
		{"hangs up after a part", half, nil, 0, "cannot be reached"},
		{"says nothing", never, nil, 300 * time.Millisecond, "did not answer in time"},
		{"stops speaking", drips, nil, 300 * time.Millisecond, "did not answer in time"},
		{"says nothing for as long as a call may take", never,
			func(_ *peer, o *outbound.Options) { o.Timeout = 300 * time.Millisecond }, 0, "did not answer in time"},
		{"is not there", nil, func(p *peer, _ *outbound.Options) { p.Listener.Close() }, 0, "cannot be reached"},
		{"has a certificate of no known authority", nil, func(_ *peer, o *outbound.Options) { o.Roots = nil }, 0, "certificate"},
		{"has a certificate for another name", nil, func(p *peer, _ *outbound.Options) {
			p.dns.TXT("_amtp."+domain, time.Minute, strings.Replace("v=amtp1;gateway="+p.at(), "example.com",
				"example.net", 1))
		}, 0, "certificate"},
		{"is at a private address", nil, func(_ *peer, o *outbound.Options) { o.Allow = nil }, 0, "outbound.allow"},
		{"has no address", nil, func(_ *peer, o *outbound.Options) {
			o.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		}, 0, "cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, c.answer)
			o := p.options()
			if c.change != nil {
				c.change(p, &o)
			}
			ctx := t.Context()
			if c.limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.limit)
				defer cancel()
			}
			got := p.courier(o).Carry(ctx, parcel(t, "bob"))
			check(t, got, later)
			if !got.Down {
				t.Error("the destination does not count as down")
			}
			if reason := got.Outcomes[0].Reason; !strings.Contains(reason, c.reason) {
				t.Errorf("the reason is %q, want %q in it", reason, c.reason)
			}
		})
	}
}

// TestRecords: the outcomes of the DNS answers about a domain.
func TestRecords(t *testing.T) {
	const setup = "postpone RECIPIENT_NOT_FOUND 4 tries for 15m0s after 5m0s"
	for _, c := range []struct {
		name   string
		change func(*peer)
		want   string
		down   bool
	}{
		{"no such domain", func(p *peer) { p.dns.Remove("_amtp." + domain) }, setup, false},
		{"no gateway", func(p *peer) {
			p.dns.Remove("_amtp." + domain)
			p.dns.TXT(domain, time.Minute, canary)
		}, setup, false},
		{"http", func(p *peer) {
			p.dns.TXT("_amtp."+domain, time.Minute, "v=amtp1;gateway=http://example.com")
		}, aDay, false},
		{"no URL", func(p *peer) { p.dns.TXT("_amtp."+domain, time.Minute, "v=amtp1;gateway="+canary) }, aDay, false},
		{"two different ones", func(p *peer) {
			p.dns.TXT("_amtp."+domain, time.Minute, "v=amtp1;gateway="+p.at(),
				"v=amtp1;gateway=https://"+canary+".example")
		}, aDay, false},
		{"SERVFAIL", func(p *peer) { p.dns.Behave("_amtp."+domain, fakedns.Failing) }, later, true},
		{"refused", func(p *peer) { p.dns.Behave("_amtp."+domain, fakedns.Refusing) }, later, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTaker(t)
			c.change(p)
			got := p.courier(p.options()).Carry(t.Context(), parcel(t, "bob"))
			check(t, got, c.want)
			if got.Down != c.down || len(p.arrived()) != 0 {
				t.Errorf("down %v after %d requests, want %v after none", got.Down, len(p.arrived()), c.down)
			}
		})
	}
}

// TestNoSuchDomain: a domain that does not exist is tried four times within a quarter
// of an hour, and then the message is refused. A domain that appears before that is
// reached.
func TestNoSuchDomain(t *testing.T) {
	for _, appears := range []bool{false, true} {
		t.Run(fmt.Sprintf("appears %v", appears), func(t *testing.T) {
			p := newTaker(t)
			p.dns.Remove("_amtp." + domain)
			box := parcel(t, "bob")
			now, event := noon, gateway.Postpone
			for box.Attempts = 1; ; box.Attempts++ {
				if appears && box.Attempts == 4 {
					p.publish("")
				}
				s := box.Settle(p.courier(p.options()).Carry(t.Context(), box), now)
				if len(s.Results) == 1 {
					event = s.Results[0].Event
					break
				}
				box.Code, box.Since, box.Same = s.Code, s.Since, s.Same
				now = s.Due
			}
			want := gateway.Refuse
			if appears {
				want = gateway.Success
			}
			if took := now.Sub(noon); event != want || box.Attempts != 4 || took < 15*time.Minute ||
				took > 20*time.Minute {
				t.Errorf("%v after %d attempts and %v, want %v after 4 and 15 to 20 minutes", event,
					box.Attempts, took, want)
			}
		})
	}
}

// TestLargest: the bytes that count are those that are sent: with the gateway's members
// and with its signature.
func TestLargest(t *testing.T) {
	for _, tags := range []string{"", ";auth=sig"} {
		t.Run(tags, func(t *testing.T) {
			p := newTaker(t)
			p.publish(tags)
			c := p.courier(p.options())
			signer := newSigner(t)
			c.Signer = func() *amtp.Signer { return signer }
			check(t, c.Carry(t.Context(), parcel(t, "bob")), ok)
			size := len(p.arrived()[0].body)
			if size <= len(parcel(t, "bob").Body) {
				t.Fatalf("%d bytes were sent of a message of %d", size, len(parcel(t, "bob").Body))
			}
			p.publish(fmt.Sprintf("%s;max-size=%d", tags, size))
			c.Finder = p.courier(p.options()).Finder
			check(t, c.Carry(t.Context(), parcel(t, "bob")), ok)
			p.publish(fmt.Sprintf("%s;max-size=%d", tags, size-1))
			c.Finder = p.courier(p.options()).Finder
			got := c.Carry(t.Context(), parcel(t, "bob"))
			check(t, got, "refuse MESSAGE_TOO_LARGE")
			if n := len(p.arrived()); n != 2 {
				t.Errorf("%d requests, want 2: what is too large is not sent", n)
			}
			if want := fmt.Sprint(size - 1); !strings.Contains(got.Outcomes[0].Reason, want) {
				t.Errorf("the reason %q does not say %s", got.Outcomes[0].Reason, want)
			}
		})
	}
}

// posted returns the messages that a peer got, by their one recipient.
func posted(t *testing.T, p *peer, signer *amtp.Signer) map[string]*amtp.Message {
	t.Helper()
	list := make(map[string]*amtp.Message)
	for _, got := range p.arrived() {
		m := signed(t, got.body, signer)
		if len(m.Recipients) != 1 {
			t.Fatalf("a post for %v, want one recipient", m.Recipients)
		}
		list[m.Recipients[0].String()] = m
		if h := got.header; h.Get("X-Amtp-Version") != "1.0" || h.Get("User-Agent") != "AMTP/1.0 (amtp/test)" ||
			h.Get("Content-Type") != "application/json" {
			t.Errorf("header %v", h)
		}
	}
	return list
}

// TestOneRecipient: every recipient of a domain gets a message of its own, signed,
// under a key of its own. The id is the same at gateways that are known to accept it in
// several deliveries. Elsewhere every further recipient has another id.
func TestOneRecipient(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name, tags string
		signed     time.Time // when it last signed
		err        error
		ids        int
	}{
		{"nothing is known", "", time.Time{}, nil, 3},
		{"other ways to prove itself", ";auth=cert,apikey", time.Time{}, nil, 3},
		{"it says that it signs", ";auth=sig", time.Time{}, nil, 1},
		{"it says that it takes fan-out", ";features=x,FanOut", time.Time{}, nil, 1},
		{"it knows receipts", ";features=receipts", time.Time{}, nil, 1},
		{"it has another feature", ";features=fan", time.Time{}, nil, 3},
		{"it signs to us", "", noon.Add(-29 * day), nil, 1},
		{"it signed once", "", noon.Add(-30 * day), nil, 3},
		{"the store has no answer", "", noon, gateway.ErrBusy, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTaker(t)
			p.publish(c.tags)
			p.memory.signed, p.memory.err = c.signed, c.err
			r := p.courier(p.options())
			signer := newSigner(t)
			r.Signer = func() *amtp.Signer { return signer }
			check(t, r.Carry(t.Context(), parcel(t, "bob", "carol", "dan")), ok, ok, ok)
			posts := posted(t, p, signer)
			ids, keys := make(map[amtp.MessageID]bool), make(map[string]bool)
			for _, m := range posts {
				ids[m.MessageID], keys[m.IdempotencyKey] = true, true
			}
			if len(posts) != 3 || len(p.arrived()) != 3 || len(keys) != 3 || len(ids) != c.ids {
				t.Errorf("%d posts for %d recipients with %d keys and %d ids, want 3, 3, 3 and %d", len(p.arrived()),
					len(posts), len(keys), len(ids), c.ids)
			}
			if bob := posts["bob@b.example"]; bob.MessageID != msgID ||
				bob.IdempotencyKey != "550e8400-e29b-41d4-a716-446655440000" {
				t.Errorf("bob, the first, gets id %s and key %s, want those of the message", bob.MessageID,
					bob.IdempotencyKey)
			}
		})
	}
}

// TestStable: a recipient that is retried has the same key as before. Its id is that of
// another recipient only if the peer is known to accept that. This holds whichever
// recipients are decided or added, and whatever is learned about the peer.
func TestStable(t *testing.T) {
	p := newTaker(t)
	r := p.courier(p.options())
	signer := newSigner(t)
	r.Signer = func() *amtp.Signer { return signer }
	check(t, r.Carry(t.Context(), parcel(t, "bob", "carol", "dan")), ok, ok, ok)
	first := posted(t, p, signer)
	for _, c := range []struct {
		name   string
		change func(*gateway.Parcel)
	}{
		{"alone", func(b *gateway.Parcel) { b.Recipients = b.Recipients[2:] }},
		{"next to another", func(b *gateway.Parcel) { b.Recipients[1].Recipient = address(t, "erin@"+domain) }},
		{"later", func(b *gateway.Parcel) { b.Attempts, b.LastTry = 9, noon.Add(time.Hour) }},
		{"at a peer that is known meanwhile", func(*gateway.Parcel) {
			p.publish(";auth=sig")
			r.Finder = p.courier(p.options()).Finder
		}},
	} {
		box := parcel(t, "bob", "carol", "dan")
		c.change(&box)
		r.Carry(t.Context(), box)
		again := posted(t, p, signer)
		dan, before := again["dan@b.example"], first["dan@b.example"]
		if dan.IdempotencyKey != before.IdempotencyKey {
			t.Errorf("%s: the key is %s, want %s as before", c.name, dan.IdempotencyKey, before.IdempotencyKey)
		}
		if want := before.MessageID; !strings.Contains(c.name, "known") && dan.MessageID != want {
			t.Errorf("%s: the id is %s, want %s as before", c.name, dan.MessageID, want)
		}
	}
}

// TestWrittenByAWrongClock: a message that was accepted while the clock was wrong is
// sent with a time that its receiver accepts, and any other with its own.
func TestWrittenByAWrongClock(t *testing.T) {
	p := newTaker(t)
	r := p.courier(p.options())
	signer := newSigner(t)
	r.Signer = func() *amtp.Signer { return signer }
	for off, kept := range map[time.Duration]bool{
		0: true, -7 * 24 * time.Hour: true, 9 * time.Minute: true, -8*24*time.Hour - time.Second: false,
		11 * time.Minute: false, 400 * 24 * time.Hour: false,
	} {
		box := parcel(t, "bob")
		box.Envelope.Timestamp = noon.Add(off)
		check(t, r.Carry(t.Context(), box), ok)
		want := noon
		if kept {
			want = noon.Add(off)
		}
		if got := posted(t, p, signer)["bob@b.example"]; !got.Timestamp.Equal(want) {
			t.Errorf("a message that was written at %v by the clock leaves with %v, want %v", noon.Add(off),
				got.Timestamp, want)
		}
	}
}

// TestNobodyAsks: the memory about a peer is read only for parcels to which it matters,
// and not for each of them.
func TestNobodyAsks(t *testing.T) {
	p := newTaker(t)
	r := p.courier(p.options())
	for range 5 {
		check(t, r.Carry(t.Context(), parcel(t, "bob")), ok)
	}
	if n := p.memory.asked.Load(); n != 0 {
		t.Errorf("the store was asked %d times for messages with one recipient, want never", n)
	}
	for range 5 {
		check(t, r.Carry(t.Context(), parcel(t, "bob", "carol")), ok, ok)
	}
	if n := p.memory.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times within a minute, want once", n)
	}
	r.Now = func() time.Time { return noon.Add(time.Minute) }
	check(t, r.Carry(t.Context(), parcel(t, "bob", "carol")), ok, ok)
	if n := p.memory.asked.Load(); n != 2 {
		t.Errorf("the store was asked %d times, want again after a minute", n)
	}
}

// TestAnsweredID: an answer names the message by the id that its recipient knows. An id
// that the gateway may refuse is in a header.
func TestAnsweredID(t *testing.T) {
	const own = "019b1d3e-7c00-7000-8000-00000000aaaa"
	carol := address(t, "carol@"+domain)
	copied := gateway.Answered{Copies: []gateway.Delivery{{Recipient: carol, Further: true}}}
	for _, c := range []struct {
		name, tags string
		known      amtp.MessageID
		answered   gateway.Answered
		want       amtp.MessageID
		header     bool
	}{
		{"it is not known", "", "", gateway.Answered{}, "m-1", true},
		{"it is not known, at a gateway that takes it", ";auth=sig", "", gateway.Answered{}, "m-1", false},
		{"the peer's own token", "", "token", gateway.Answered{From: domain}, "token", false},
		{"the token of a third", "", "token", gateway.Answered{From: "c.example"}, "token", true},
		{"the peer's own id", "", own, gateway.Answered{From: domain}, own, false},
		{"ours", "", own, gateway.Answered{}, own, false},
		{"ours, of which carol had a copy", "", own, copied, amtp.PeerCopyID(own, carol), false},
		{"ours, at one that takes fan-out", ";auth=sig", own, copied, own, false},
		{"ours, of which another had a copy", "", own,
			gateway.Answered{Copies: []gateway.Delivery{{Recipient: address(t, "x@"+domain),
				Further: true}}}, own, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTaker(t)
			p.publish(c.tags)
			signer := newSigner(t)
			r := p.courier(p.options())
			r.Signer = func() *amtp.Signer { return signer }
			box := written(t,
				`{"sender":"alice@a.example","recipients":["carol@b.example"],"in_reply_to":"m-1","headers":{"x":1.0},"payload":1}`,
				"carol")
			box.Envelope.InReplyTo, box.InReplyTo, box.Answered = "m-1", c.known, c.answered
			check(t, r.Carry(t.Context(), box), ok)
			m := posted(t, p, signer)["carol@b.example"]
			wantHeaders := `{"x":1.0}`
			if c.header {
				wantHeaders = `{"x":1.0,"amtp-in-reply-to":"` + string(c.want) + `"}`
				c.want = ""
			}
			if m.InReplyTo != c.want || string(m.Headers) != wantHeaders {
				t.Errorf("in_reply_to %q, headers %s, want %q, %s", m.InReplyTo, m.Headers, c.want, wantHeaders)
			}
		})
	}
}

// signed reads a message and checks that the signer signed it.
func signed(t *testing.T, body string, s *amtp.Signer) *amtp.Message {
	t.Helper()
	m, refused := amtp.ParseMessage([]byte(body))
	if refused != nil {
		t.Fatalf("%v; body %s", refused, body)
	}
	sig, err := amtp.ParseSignature(m)
	if err != nil {
		t.Fatalf("%v; body %s", err, body)
	}
	if err := sig.Verify(s.KeyRecord()); err != nil {
		t.Errorf("%v; body %s", err, body)
	}
	return m
}

// TestRedirectSendsNothing: the target of a redirect gets no request.
func TestRedirectSendsNothing(t *testing.T) {
	other := newTaker(t)
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.at()+"/v1/messages", http.StatusTemporaryRedirect)
	})
	check(t, p.courier(p.options()).Carry(t.Context(), parcel(t, "bob")), aDay)
	if len(other.arrived()) != 0 {
		t.Error("the redirect was followed")
	}
}

// TestEndless: an answer without an end is read up to its limit and no further.
func TestEndless(t *testing.T) {
	ended := make(chan struct{})
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "application/json")
		for {
			if _, err := w.Write([]byte(`{"message_id":"` + canary + `"}` + strings.Repeat(" ", 4096))); err != nil {
				return
			}
		}
	})
	check(t, p.courier(p.options()).Carry(t.Context(), parcel(t, "bob")), aDay)
	<-ended
}

// TestDownEndsTheRest: when a peer that gets one message for each recipient becomes
// unreachable, not every recipient is tried.
func TestDownEndsTheRest(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	p.publish(";auth=sig")
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("agent%d", i))
	}
	box := parcel(t, many...)
	got := p.courier(p.options()).Carry(t.Context(), box)
	if n := len(p.arrived()); n >= 100 || !got.Down || len(got.Outcomes) != n {
		t.Errorf("%d posts, %d outcomes, down %v; want a part of 100, as many, true", n, len(got.Outcomes), got.Down)
	}
	if s := box.Settle(got, noon); len(s.Results) != 0 || s.Due.IsZero() {
		t.Errorf("%d of 100 recipients are decided, due %v; want none, and all tried again", len(s.Results), s.Due)
	}
}

// TestEachHasItsTurn: a recipient at which every attempt ends does not keep the others
// of a large message from being tried.
func TestEachHasItsTurn(t *testing.T) {
	slow.Test(t, "it waits for large messages")
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	r := p.courier(p.options())
	text := strings.Repeat("x", 3<<20) // so large that one is under way at a time
	box := written(t, `{"sender":"alice@a.example","recipients":["bob@b.example"],"payload":"`+text+`"}`, "ann",
		"bob", "carol")
	tried := make(map[gateway.DeliveryID]int)
	for box.Attempts = 1; box.Attempts <= 6; box.Attempts++ {
		for _, o := range r.Carry(t.Context(), box).Outcomes {
			tried[o.Delivery]++
		}
	}
	for _, d := range box.Recipients {
		if tried[d.ID] < 2 {
			t.Errorf("in 6 attempts %s was tried %d times, want at least 2: %v", d.Recipient, tried[d.ID], tried)
		}
	}
}

// TestUnwritable: a message that cannot be written for another gateway is
// refused, and nothing is sent.
func TestUnwritable(t *testing.T) {
	p := newTaker(t)
	for _, body := range []string{
		`{"sender":"alice@a.example","recipients":["bob@b.example"],"signature":{"algorithm":"ES256","keyid":"x","value":"x"}}`,
		`{"sender":"alice@a.example","recipients":["bob@b.example"],"Payload":1}`,
	} {
		check(t, p.courier(p.options()).Carry(t.Context(), written(t, body, "bob")), "refuse INVALID_MESSAGE_FORMAT")
	}
	if len(p.arrived()) != 0 {
		t.Error("something was sent")
	}
}

// TestRedriven: a late redrive is a new message that names the old one, and the same
// new message in every attempt.
func TestRedriven(t *testing.T) {
	p := newTaker(t)
	c := p.courier(p.options())
	box := written(t,
		`{"sender":"alice@a.example","recipients":["bob@b.example"],"idempotency_key":"550e8400-e29b-41d4-a716-446655440000","headers":{"x":1.0,"amtp-redrive-of":"lie"},"payload":{"x":1e0}}`,
		"bob")
	box.Recipients[0].Redriven = noon.Add(8 * 24 * time.Hour)
	c.Now = func() time.Time { return box.Recipients[0].Redriven.Add(time.Hour) }
	check(t, c.Carry(t.Context(), box), ok)
	check(t, c.Carry(t.Context(), box), ok)
	posts := p.arrived()
	if len(posts) != 2 || posts[0].body != posts[1].body {
		t.Fatalf("two attempts at one redrive differ: %+v", posts)
	}
	m, refused := amtp.ParseMessage([]byte(posts[0].body))
	if refused != nil {
		t.Fatal(refused)
	}
	if m.MessageID == msgID || m.IdempotencyKey == "550e8400-e29b-41d4-a716-446655440000" ||
		!m.Timestamp.Equal(box.Recipients[0].Redriven) {
		t.Errorf("id %s, key %s, timestamp %v: want new ones", m.MessageID, m.IdempotencyKey, m.Timestamp)
	}
	if want := `"headers":{"x":1.0,"amtp-redrive-of":"` + msgID + `"}`; !strings.Contains(posts[0].body, want) ||
		!strings.Contains(posts[0].body, `"payload":{"x":1e0}`) {
		t.Errorf("body %s, want %s and the payload's own bytes", posts[0].body, want)
	}
}

// TestOldAtTheAttempt: a message that is so old at the attempt that the other side may
// have forgotten it is a new one, whenever it was redriven. Before that it is the old
// one.
func TestOldAtTheAttempt(t *testing.T) {
	p := newTaker(t)
	c := p.courier(p.options())
	box := parcel(t, "bob")
	box.Envelope.ReceivedAt, box.Begun = noon, noon.Add(gateway.Forgotten-time.Hour)
	ids := map[amtp.MessageID]int{}
	for _, age := range []time.Duration{gateway.Forgotten - time.Microsecond, gateway.Forgotten,
		2 * gateway.Forgotten} {
		c.Now = func() time.Time { return noon.Add(age) }
		check(t, c.Carry(t.Context(), box), ok)
		posts := p.arrived()
		m, refused := amtp.ParseMessage([]byte(posts[len(posts)-1].body))
		if refused != nil {
			t.Fatal(refused)
		}
		ids[m.MessageID]++
		if isNew := m.MessageID != msgID; isNew != (age >= gateway.Forgotten) ||
			isNew != strings.Contains(posts[len(posts)-1].body, `"amtp-redrive-of":"`+msgID+`"`) {
			t.Errorf("%v after it was received: %s", age, posts[len(posts)-1].body)
		}
	}
	want := gateway.RedrivenID(msgID, noon.Add(gateway.Forgotten))
	if ids[msgID] != 1 || ids[want] != 2 {
		t.Errorf("ids %v, want the old one once and %s twice", ids, want)
	}
}

// TestDefectInOneOfSeveral: a defect in the post for one recipient affects that
// recipient only.
func TestDefectInOneOfSeveral(t *testing.T) {
	for _, names := range [][]string{{"bob"}, {"bob", "carl", "dora"}} {
		p := newTaker(t)
		c := p.courier(p.options())
		signer, met := newSigner(t), atomic.Bool{}
		c.Signer = func() *amtp.Signer {
			if met.CompareAndSwap(false, true) {
				panic("of the first that is signed")
			}
			return signer
		}
		want := []string{"postpone INTERNAL", ok, ok}
		got := c.Carry(t.Context(), parcel(t, names...))
		said := make([]string, 0, len(got.Outcomes))
		for _, o := range got.Outcomes {
			said = append(said, says(o))
		}
		slices.Sort(said)
		slices.Sort(want[:len(names)])
		if !slices.Equal(said, want[:len(names)]) {
			t.Errorf("to %v: %v, want %v", names, said, want[:len(names)])
		}
		if text := p.log.String(); !strings.Contains(text, "of the first that is signed") ||
			!strings.Contains(text, "remote_test.go") {
			t.Errorf("the log does not say what the defect was, and where: %s", text)
		}
	}
}

// TestUnreadableRecipient: a recipient whose row cannot be read is refused, and gets no
// message; the others do. A report names it.
func TestUnreadableRecipient(t *testing.T) {
	p := newTaker(t)
	r := courier.Router{gateway.KindRemote: p.courier(p.options()), gateway.KindReport: all(gateway.Success)}
	box := parcel(t, "bob", "carl")
	box.Recipients[0].Recipient, box.Recipients[0].Damage = gateway.Unreadable(), "the recipient cannot be read"
	check(t, r.Carry(t.Context(), box), "refuse INTERNAL", ok)
	if posts := p.arrived(); len(posts) != 1 || !strings.Contains(posts[0].body, `"carl@`) {
		t.Errorf("posts %+v, want one, to carl", posts)
	}
	if box.Recipients[0].Damage == "" || len(box.Recipients) != 2 {
		t.Error("the caller's parcel was changed")
	}
	box.Recipients = box.Recipients[:1]
	check(t, r.Carry(t.Context(), box), "refuse INTERNAL")
	box.Destination = gateway.Reports
	check(t, r.Carry(t.Context(), box), ok)
	if len(p.arrived()) != 1 {
		t.Error("something was sent to a recipient that cannot be read")
	}
}

// all is a courier with one outcome for all recipients.
type all gateway.Event

func (e all) Carry(_ context.Context, p gateway.Parcel) gateway.Carriage {
	return p.All(gateway.Outcome{Event: gateway.Event(e)})
}

// TestRouter: mail for a destination without a courier waits until there is one.
func TestRouter(t *testing.T) {
	p := newTaker(t)
	r := courier.Router{gateway.KindRemote: p.courier(p.options())}
	check(t, r.Carry(t.Context(), parcel(t, "bob")), ok)
	box := parcel(t, "bob")
	box.Destination = gateway.PushTo(3)
	check(t, r.Carry(t.Context(), box), "postpone RECIPIENT_UNAVAILABLE")
}
