package intake_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// house has door, the intake of ours.example over a real store, with the agents alice
// and bob. laptop is the same for a gateway without a domain of its own.
type house struct {
	*testing.T
	store  *sqlite.Store
	door   *intake.Intake
	laptop *intake.Intake
	agents map[string]*gateway.Agent
}

func openHouse(t *testing.T) *house {
	t.Helper()
	s, err := sqlite.Open(sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{T: t, store: s, agents: map[string]*gateway.Agent{},
		door:   &intake.Intake{Store: s, Domain: "ours.example", Now: time.Now, Federated: true},
		laptop: &intake.Intake{Store: s, Domain: "ours.example", Now: time.Now}}
	for i, name := range []string{"alice", "bob"} {
		a, err := amtp.ParseAddress(name + "@ours.example")
		if err != nil {
			t.Fatal(err)
		}
		made, err := s.AddAgent(t.Context(), gateway.Agent{Address: a, DeliveryMode: "pull", CreatedAt: time.Now()},
			gateway.Key{ID: name, Hash: [32]byte{byte(i + 1)}, CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		h.agents[name] = &made
	}
	return h
}

// caller returns the principal for a word of the tables.
func (h *house) caller(who string) gateway.Principal {
	switch who {
	case "nobody":
		return gateway.Principal{}
	case "admin":
		return gateway.Principal{Admin: true}
	case "development":
		return gateway.Principal{Development: true}
	case "gateway":
		return gateway.Principal{Gateway: true, For: h.agents["bob"].ID}
	case "gateway, for one who left":
		return gateway.Principal{Gateway: true, For: h.agents["bob"].ID + 1000}
	case "far.example, proven":
		return gateway.Principal{Domain: "far.example",
			Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass, Domain: "far.example"}}}
	case "far.example, unproven":
		return gateway.Principal{Domain: "far.example",
			Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthNone, Domain: "far.example",
				Reason: "unsigned"}}}
	}
	if a := h.agents[who]; a != nil {
		return gateway.Principal{Agent: a}
	}
	h.Fatalf("there is no caller %q", who)
	return gateway.Principal{}
}

// accept sends a message as the caller.
func (h *house) accept(door *intake.Intake, who, sender string, to ...string) (*amtp.SendResult, *amtp.Error) {
	h.Helper()
	return h.acceptBody(door, who, fmt.Sprintf(`{"sender":%q,"recipients":["%s"],"payload":1}`, sender,
		strings.Join(to, `","`)))
}

func (h *house) acceptBody(door *intake.Intake, who, body string) (*amtp.SendResult, *amtp.Error) {
	h.Helper()
	m, refused := amtp.ParseMessage([]byte(body))
	if refused != nil {
		h.Fatalf("%v; body %s", refused, body)
	}
	got, err := door.Accept(h.Context(), h.caller(who), m, 1)
	if err != nil {
		return got, gateway.Refusal(err)
	}
	return got, nil
}

// stored returns the stored messages, newest first.
func (h *house) stored() []gateway.Record {
	h.Helper()
	page, err := h.store.Messages(h.Context(), gateway.Reader{Everyone: true}, gateway.MessageFilter{Limit: 100})
	if err != nil {
		h.Fatal(err)
	}
	return page.Messages
}

// TestSender: which caller may write as which address, and how the sender is stored.
func TestSender(t *testing.T) {
	h := openHouse(t)
	for _, c := range []struct {
		who, sender string
		code        amtp.Code // "" when it is taken
		trust       amtp.Trust
		laptop      bool
	}{
		{who: "alice", sender: "alice@ours.example", trust: amtp.TrustLocal},
		{who: "alice", sender: "ALICE@Ours.Example", trust: amtp.TrustLocal},
		{who: "alice", sender: "alice@localhost", trust: amtp.TrustLocal},
		{who: "alice", sender: "bob@ours.example", code: amtp.CodeSenderCredentialMismatch},
		{who: "alice", sender: "alice@far.example", code: amtp.CodeSenderCredentialMismatch},
		{who: "alice", sender: "mailer-daemon@ours.example", code: amtp.CodeSenderCredentialMismatch},
		{who: "admin", sender: "alice@ours.example", code: amtp.CodeAccessDenied},
		{who: "admin", sender: "ann@far.example", code: amtp.CodeAccessDenied},
		{who: "nobody", sender: "alice@ours.example", code: amtp.CodeLocalSenderAuthRequired},
		{who: "nobody", sender: "alice@localhost", code: amtp.CodeLocalSenderAuthRequired},
		{who: "nobody", sender: "postmaster@ours.example", code: amtp.CodeLocalSenderAuthRequired},
		{who: "nobody", sender: "ann@far.example", code: amtp.CodeAuthenticationFailed},
		{who: "far.example, proven", sender: "ann@far.example", trust: amtp.TrustVerified},
		{who: "far.example, proven", sender: "mailer-daemon@far.example", trust: amtp.TrustVerified},
		{who: "far.example, unproven", sender: "ann@far.example", trust: amtp.TrustUnverified},
		{who: "far.example, proven", sender: "ann@other.example", code: amtp.CodeAuthenticationFailed},
		{who: "far.example, proven", sender: "ann@sub.far.example", code: amtp.CodeAuthenticationFailed},
		{who: "far.example, proven", sender: "alice@ours.example", code: amtp.CodeLocalSenderAuthRequired},
		{who: "development", sender: "alice@ours.example", trust: amtp.TrustUnverified},
		{who: "development", sender: "alice@localhost", trust: amtp.TrustUnverified},
		{who: "development", sender: "nobody@ours.example", code: amtp.CodeAccessDenied},
		{who: "development", sender: "mailer-daemon@ours.example", code: amtp.CodeAccessDenied},
		{who: "development", sender: "ann@far.example", code: amtp.CodeAuthenticationFailed},
		{who: "gateway", sender: "mailer-daemon@ours.example", trust: amtp.TrustLocal},
		{who: "gateway, for one who left", sender: "mailer-daemon@ours.example", code: amtp.CodeAgentUnknown},
		{who: "nobody", sender: "ann@far.example", laptop: true, code: amtp.CodeAccessDenied},
		{who: "development", sender: "ann@far.example", laptop: true, code: amtp.CodeAccessDenied},
	} {
		door := h.door
		if c.laptop {
			door = h.laptop
		}
		before := len(h.stored())
		_, refused := h.accept(door, c.who, c.sender, "bob@ours.example")
		kept := h.stored()
		switch {
		case c.code != "" && (refused == nil || refused.Code != c.code || len(kept) != before):
			t.Errorf("%s as %s (laptop %v): got %v and %d messages, want %s and %d", c.who, c.sender, c.laptop, refused,
				len(kept), c.code, before)
		case c.code == "" && (refused != nil || len(kept) != before+1):
			t.Errorf("%s as %s: got %v and %d messages, want it accepted", c.who, c.sender, refused, len(kept))
		case c.code == "" && (kept[0].Shown().Trust != c.trust ||
			!strings.EqualFold(kept[0].Sender.Local(), strings.Split(c.sender, "@")[0])):
			t.Errorf("%s as %s: kept as %s of %s, want %s", c.who, c.sender, kept[0].Shown().Trust,
				kept[0].Sender, c.trust)
		}
	}
}

// TestRecipients: the recipients for whom a message is accepted, one word for each.
func TestRecipients(t *testing.T) {
	h := openHouse(t)
	for _, c := range []struct {
		who, sender string
		to          []string
		want        []string // of each recipient: its status, or the code with which it failed
		laptop      bool
	}{
		{who: "alice", sender: "alice@ours.example", to: []string{"bob@ours.example"}, want: []string{"delivered"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"BOB@localhost"}, want: []string{"delivered"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"bob@ours.example", "bob@localhost"},
			want: []string{"delivered"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"alice@ours.example"}, want: []string{"delivered"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"nobody@ours.example", "bob@ours.example"},
			want: []string{"AGENT_UNKNOWN", "delivered"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"nobody@ours.example"},
			want: []string{"AGENT_UNKNOWN"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"postmaster@ours.example"},
			want: []string{"AGENT_UNKNOWN"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"ann@far.example", "ANN@far.example"},
			want: []string{"queued"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"ann@far.example", "bob@ours.example"},
			want: []string{"queued", "delivered"}},
		{who: "alice", sender: "alice@ours.example", to: []string{"ann@far.example"},
			want: []string{"RECIPIENT_NOT_FOUND"}, laptop: true},
		{who: "alice", sender: "alice@ours.example", to: []string{"ann@far.example", "bob@ours.example"},
			want: []string{"RECIPIENT_NOT_FOUND", "delivered"}, laptop: true},
		{who: "far.example, proven", sender: "ann@far.example", to: []string{"bob@ours.example"},
			want: []string{"delivered"}},
		{who: "far.example, proven", sender: "ann@far.example", to: []string{"eve@other.example"},
			want: []string{"ACCESS_DENIED"}},
		{who: "far.example, proven", sender: "ann@far.example", to: []string{"zoe@far.example"},
			want: []string{"ACCESS_DENIED"}},
		{who: "far.example, unproven", sender: "ann@far.example", to: []string{"eve@other.example", "bob@ours.example"},
			want: []string{"ACCESS_DENIED", "delivered"}},
	} {
		door := h.door
		if c.laptop {
			door = h.laptop
		}
		result, refused := h.accept(door, c.who, c.sender, c.to...)
		taken := refused == nil
		if !taken {
			result = refused.Result
		}
		if result == nil {
			t.Errorf("%s to %v: got %v, want %v", c.who, c.to, refused, c.want)
			continue
		}
		var got []string
		some := false
		for _, r := range result.Recipients {
			word := string(r.ErrorCode)
			if word == "" {
				word, some = string(r.Status), true
			}
			got = append(got, word)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || taken != some {
			t.Errorf("%s to %v (laptop %v): got %v, taken %v; want %v", c.who, c.to, c.laptop, got, taken, c.want)
		}
	}
}

// TestWhatLeavesCanBeSigned: a message that cannot be signed is refused as soon as one
// recipient is in another domain, and nothing of it is stored.
func TestWhatLeavesCanBeSigned(t *testing.T) {
	h := openHouse(t)
	const inexact = `{"sender":"alice@ours.example","recipients":["bob@ours.example"%s],"payload":9007199254740993}`
	if _, refused := h.acceptBody(h.door, "alice", fmt.Sprintf(inexact, "")); refused != nil {
		t.Errorf("for bob only: %v, want it accepted", refused)
	}
	before := len(h.stored())
	_, refused := h.acceptBody(h.door, "alice", fmt.Sprintf(inexact, `,"ann@far.example"`))
	if refused == nil || refused.Code != amtp.CodeInvalidMessage || len(h.stored()) != before {
		t.Errorf("for ann too: %v and %d messages, want %s and %d", refused, len(h.stored()),
			amtp.CodeInvalidMessage, before)
	}
}

// TestNames: senders here know a message by our id, another domain by its own.
func TestNames(t *testing.T) {
	h := openHouse(t)
	body := func(sender, id string) string {
		return fmt.Sprintf(`{"sender":%q,"recipients":["bob@ours.example"],"message_id":%q,"payload":1}`, sender, id)
	}
	token, taken := "order-7", string(amtp.NewMessageID())
	first, refused := h.acceptBody(h.door, "alice", body("alice@ours.example", taken))
	if refused != nil || string(first.MessageID) != taken || first.LocalID != "" {
		t.Errorf("alice's UUID: %+v, %v; want %s", first, refused, taken)
	}
	local, refused := h.acceptBody(h.door, "alice", body("alice@ours.example", token))
	if refused != nil || string(local.MessageID) == token || local.LocalID != "" {
		t.Errorf("alice's token: %+v, %v; want an id of ours", local, refused)
	}
	for _, id := range []string{token, taken} {
		for _, try := range []string{"first", "second"} {
			r, refused := h.acceptBody(h.door, "far.example, proven", body("ann@far.example", id))
			if refused != nil || string(r.MessageID) != id || r.LocalID == "" || string(r.LocalID) == id ||
				r.Replayed != (try == "second") {
				t.Errorf("the %s try of far.example with %s: %+v, %v; want its own id, and ours as LocalID", try,
					id, r, refused)
			}
		}
	}
}

// TestNothingTaken: a post that no recipient gets is refused, also when it repeats one
// that others got, in every order. The reference gateway posts a message once for each
// recipient, under one id and key, and takes any 2xx for success.
func TestNothingTaken(t *testing.T) {
	const key = `"message_id":"01a20449-e7ee-7e45-9a3f-45acd5b9b452","idempotency_key":"62def701-eba2-421a-8c20-f7c5a6f7d33d",`
	for _, who := range []string{"far.example, proven", "far.example, unproven", "alice"} {
		for _, order := range [][]string{{"bob", "nobody", "bob", "nobody"}, {"nobody", "bob", "nobody", "bob"}} {
			t.Run(who+", first "+order[0], func(t *testing.T) {
				h := openHouse(t)
				sender := "ann@far.example"
				if who == "alice" {
					sender = "alice@ours.example"
				}
				for i, to := range order {
					result, refused := h.acceptBody(h.door, who,
						fmt.Sprintf(`{%s"sender":%q,"recipients":["%s@ours.example"],"payload":1}`, key, sender, to))
					switch {
					case to == "bob" && (refused != nil || result.Status != amtp.StatusDelivered ||
						result.Replayed != (i > 1)):
						t.Errorf("post %d, for bob: %+v, %v; want it delivered", i, result, refused)
					case to == "nobody" && (refused == nil || refused.Code != amtp.CodeAgentUnknown ||
						refused.Result == nil || len(refused.Result.Recipients) != 1):
						t.Errorf("post %d, for nobody: %+v, %v; want %s with its recipient", i, result, refused,
							amtp.CodeAgentUnknown)
					}
				}
				if list := h.stored(); len(list) != 1 || len(list[0].Deliveries) != 1 {
					t.Errorf("the stored messages are %+v, want one message for bob", list)
				}
			})
		}
	}
}

// TestFailedSince: another gateway that repeats a message which failed here gets an
// answer with an error status. A sender here, whose message was accepted, is not
// refused.
func TestFailedSince(t *testing.T) {
	h := openHouse(t)
	for who, d := range map[string]gateway.Destination{
		"far.example, proven": h.pushed("hook"), "alice": "far.example",
	} {
		sender, to := "ann@far.example", "hook@ours.example"
		if who == "alice" {
			sender, to = "alice@ours.example", "ann@far.example"
		}
		body := fmt.Sprintf(`{"idempotency_key":"k","sender":%q,"recipients":[%q],"payload":1}`, sender, to)
		if _, refused := h.acceptBody(h.door, who, body); refused != nil {
			t.Fatal(refused)
		}
		h.fail(d)
		result, refused := h.acceptBody(h.door, who, body)
		if who == "alice" {
			if refused != nil || result.Recipients[0].Status != amtp.StatusFailed {
				t.Errorf("a retry of alice: %+v, %v; want the failed state", result, refused)
			}
			continue
		}
		if refused == nil || refused.Code != amtp.CodeRecipientUnavailable ||
			refused.Result.Recipients[0].ErrorCode != "GONE" {
			t.Errorf("a retry of another gateway: %+v, %v; want %s, and the recipient's own code", result, refused,
				amtp.CodeRecipientUnavailable)
		}
	}
}

// TestNamesake: a gateway repeats a message because it did not hear that it was
// delivered. It hears so then, also when the agent was removed and another has its
// name.
func TestNamesake(t *testing.T) {
	h := openHouse(t)
	body := `{"idempotency_key":"k","sender":"ann@far.example","recipients":["bob@ours.example"],"payload":1}`
	first, refused := h.acceptBody(h.door, "far.example, proven", body)
	if refused != nil {
		t.Fatal(refused)
	}
	bob, err := h.store.AgentNamed(t.Context(), first.Recipients[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.RemoveAgent(t.Context(), gateway.Acting{}, bob.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.AddAgent(t.Context(), gateway.Agent{Address: bob.Address, DeliveryMode: "pull",
		CreatedAt: time.Now()},
		gateway.Key{ID: "next", Hash: [32]byte{98}, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	again, refused := h.acceptBody(h.door, "far.example, proven", body)
	if refused != nil || again.Recipients[0].Status != amtp.StatusDelivered {
		t.Errorf("the retry: %+v, %v; want delivered, as it was", again, refused)
	}
	if list := h.stored(); len(list) != 1 || len(list[0].Deliveries) != 1 || list[0].Deliveries[0].Agent != bob.ID {
		t.Errorf("the stored messages are %+v, want one message for the removed bob", list)
	}
}

// pushed registers a push agent and returns the destination of its messages.
func (h *house) pushed(name string) gateway.Destination {
	h.Helper()
	a, err := amtp.ParseAddress(name + "@ours.example")
	if err != nil {
		h.Fatal(err)
	}
	made, err := h.store.AddAgent(h.Context(), gateway.Agent{Address: a, DeliveryMode: "push",
		Target: "https://hook.example", CreatedAt: time.Now()},
		gateway.Key{ID: name, Hash: [32]byte{99}, CreatedAt: time.Now()})
	if err != nil {
		h.Fatal(err)
	}
	return gateway.PushTo(made.ID)
}

// fail refuses the only job of a destination.
func (h *house) fail(d gateway.Destination) {
	h.Helper()
	now := time.Now().Add(time.Second)
	got, err := h.store.Claim(h.Context(), []gateway.Claiming{{Destination: d, Limit: 1}}, now, now.Add(time.Minute))
	if err != nil || len(got[0].Jobs) != 1 {
		h.Fatalf("Claim = %+v, %v; want one job", got, err)
	}
	p, err := h.store.Parcel(h.Context(), got[0].Jobs[0].ID, got[0].Jobs[0].Fence)
	if err != nil {
		h.Fatal(err)
	}
	err = h.store.Settle(h.Context(), p.Settle(p.All(gateway.Outcome{Event: gateway.Refuse, Code: "GONE",
		Reason: "it is gone"}), now))
	if err != nil {
		h.Fatal(err)
	}
}
