package invite

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// store keeps documents as gateway.Documents promises.
type store struct {
	mu     sync.Mutex
	list   []gateway.Document
	writes int
}

func (s *store) Documents(context.Context, string) ([]gateway.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list, nil
}

func (s *store) ChangeDocuments(_ context.Context, _ string,
	change func([]gateway.Document) ([]gateway.Document, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	list, err := change(s.list)
	if err == nil {
		s.list = list
	}
	return err
}

// agents registers whoever asks as the operator.
type agents struct {
	store  *store
	mu     sync.Mutex
	names  map[string]int // keys of each
	refuse error
}

func (a *agents) Register(_ context.Context, p gateway.Principal, n amtp.NewAgent, _ string,
	with ...gateway.DocumentChange) (amtp.Registration, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !p.Admin || a.refuse != nil {
		return amtp.Registration{}, false, a.refuse
	}
	if a.names[n.Address] > 0 {
		return amtp.Registration{}, false, amtp.Errorf(amtp.CodeConflict, "it exists")
	}
	if refused := a.make(with); refused != nil {
		return amtp.Registration{}, false, refused
	}
	a.names[n.Address]++
	return amtp.Registration{APIKey: "amtp_" + n.Address}, true, nil
}

func (a *agents) IssueKey(_ context.Context, p gateway.Principal, name string, _ bool,
	with ...gateway.DocumentChange) (amtp.IssuedKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse != nil {
		return amtp.IssuedKey{}, a.refuse
	}
	if refused := a.make(with); refused != nil {
		return amtp.IssuedKey{}, refused
	}
	a.names[name]++
	return amtp.IssuedKey{APIKey: "amtp_" + name}, nil
}

// make makes the changes that come with an agent or a key.
func (a *agents) make(with []gateway.DocumentChange) error {
	for _, c := range with {
		if err := a.store.ChangeDocuments(context.Background(), c.Kind, c.Change); err != nil {
			return err
		}
	}
	return nil
}

func (a *agents) Show(_ context.Context, _ gateway.Principal, name string) (amtp.Agent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names[name] == 0 {
		return amtp.Agent{}, amtp.Errorf(amtp.CodeAgentUnknown, "nobody")
	}
	return amtp.Agent{}, nil
}

// world is a gateway's invitations, or those of several over one store.
type world struct {
	*testing.T
	store  *store
	agents *agents
	now    time.Time
}

func newWorld(t *testing.T) *world {
	kept := &store{}
	return &world{t, kept, &agents{store: kept, names: map[string]int{}}, noon}
}

func (w *world) gateway() *Invites {
	return &Invites{Store: w.store, Agents: w.agents, Domain: "shop.example", Now: func() time.Time { return w.now },
		Self: func(context.Context) admin.GatewaySelf { return admin.GatewaySelf{} }}
}

func (w *world) invites(name string, existing bool) admin.Invite {
	w.Helper()
	made, refused := w.gateway().Make(w.Context(), admin.NewInvite{Name: name, Existing: existing})
	if refused != nil {
		w.Fatalf("invite %s: %v", name, refused)
	}
	return made
}

// turned away makes sure that the secret does not count, and returns what is said.
func (w *world) turnedAway(secret string) string {
	w.Helper()
	joined, unknown, refused := w.gateway().Take(w.Context(), amtp.Join{Secret: secret})
	if refused == nil || !unknown || joined.APIKey != "" {
		w.Errorf("%q is taken: %+v, %t, %v", secret, joined, unknown, refused)
		return ""
	}
	return refused.Error()
}

// TestOnce: of many who show one code at the same time, at several gateways over
// one store, one joins.
func TestOnce(t *testing.T) {
	w := newWorld(t)
	made := w.invites("carol", false)
	gateways := []*Invites{w.gateway(), w.gateway(), w.gateway()}
	var mu sync.Mutex
	joined, unknown := 0, 0
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			_, u, refused := gateways[i%len(gateways)].Take(context.Background(), amtp.Join{Secret: made.Secret})
			mu.Lock()
			defer mu.Unlock()
			if refused == nil {
				joined++
			}
			if u {
				unknown++
			}
		})
	}
	all.Wait()
	if joined != 1 || unknown != 59 || w.agents.names["carol"] != 1 {
		t.Errorf("%d joined and %d were turned away; want 1 and 59", joined, unknown)
	}
}

// TestAlike: unknown, used, over, replaced and broken are answered alike, and
// nothing is written for who guesses.
func TestAlike(t *testing.T) {
	w := newWorld(t)
	used := w.invites("used", false)
	if _, _, refused := w.gateway().Take(t.Context(), amtp.Join{Secret: used.Secret}); refused != nil {
		t.Fatal(refused)
	}
	replaced := w.invites("twice", false)
	w.invites("Twice", false)
	over := w.invites("late", false)
	const year = 365 * 24 * time.Hour
	w.now = w.now.Add(year)
	ahead := w.invites("ahead", false)
	w.now = w.now.Add(lifetime - year) // the clock was set right
	open := w.invites("open", false)
	before := w.store.writes
	said := map[string]string{}
	for name, secret := range map[string]string{
		"unknown": base64.RawURLEncoding.EncodeToString(make([]byte, amtp.InviteSecretSize)), "used": used.Secret,
		"over": over.Secret, "replaced": replaced.Secret,
		"ahead":  ahead.Secret,
		"broken": open.Secret[:20], "empty": "", "padded": open.Secret + "==", "the hash": hash([]byte(open.Secret)),
	} {
		said[w.turnedAway(secret)] = name
	}
	if len(said) != 1 {
		t.Errorf("they are answered differently: %v", said)
	}
	if w.store.writes != before {
		t.Errorf("%d writes were made for who guesses, want none", w.store.writes-before)
	}
	if !strings.HasPrefix(open.Address.String(), "open@") || open.Expires.Sub(w.now) != 10*time.Minute {
		t.Errorf("the invitation is %+v", open)
	}
}

// TestHashedAtRest: the store has nothing from which the code follows.
func TestHashedAtRest(t *testing.T) {
	w := newWorld(t)
	made := w.invites("carol", false)
	secret, err := base64.RawURLEncoding.DecodeString(made.Secret)
	if err != nil || len(secret) != 16 {
		t.Fatalf("the secret has %d bytes, %v; want 16", len(secret), err)
	}
	kept := fmt.Sprintf("%+v", w.store.list)
	if strings.Contains(kept, made.Secret) || strings.Contains(kept, fmt.Sprintf("%x", secret)) ||
		strings.Contains(kept, string(secret)) {
		t.Errorf("the store has the secret: %s", kept)
	}
}

// TestRefusedRegistration leaves the invitation open.
func TestRefusedRegistration(t *testing.T) {
	w := newWorld(t)
	made := w.invites("carol", false)
	w.agents.refuse = amtp.Errorf(amtp.CodeRegistrationFailed, "no such role")
	if _, unknown, refused := w.gateway().Take(t.Context(),
		amtp.Join{Secret: made.Secret, Role: "\x01"}); refused == nil || unknown {
		t.Fatalf("a registration that fails: unknown %t, %v", unknown, refused)
	}
	w.agents.refuse = nil
	if len(w.store.list) != 1 {
		t.Errorf("%d invitations are kept, want the one that was not used", len(w.store.list))
	}
	if joined, _, refused := w.gateway().Take(t.Context(), amtp.Join{Secret: made.Secret}); refused != nil ||
		joined.APIKey == "" {
		t.Errorf("the invitation after that: %+v, %v; want it open", joined, refused)
	}
}

// TestNames: of an agent that there is, one that there is not, and none that may be.
func TestNames(t *testing.T) {
	w := newWorld(t)
	w.agents.names["alice"] = 1
	for _, tc := range []struct {
		name     string
		existing bool
		want     amtp.Code
	}{
		{"alice", false, amtp.CodeConflict}, {"alice", true, ""}, {"bob", false, ""},
		{"bob", true, amtp.CodeAgentUnknown},
		{"postmaster", false, amtp.CodeRegistrationFailed}, {"echo", false, amtp.CodeRegistrationFailed},
		{"a b", false, amtp.CodeRegistrationFailed}, {"", false, amtp.CodeRegistrationFailed},
	} {
		_, refused := w.gateway().Make(t.Context(), admin.NewInvite{Name: tc.name, Existing: tc.existing})
		if got := refused; (got == nil) != (tc.want == "") || got != nil && gateway.CodeOf(got) != tc.want {
			t.Errorf("invite %q, existing %t: %v, want %q", tc.name, tc.existing, got, tc.want)
		}
	}
	if joined, _, refused := w.gateway().Take(t.Context(),
		amtp.Join{Secret: w.invites("alice", true).Secret}); refused != nil || joined.Result != "issued" ||
		w.agents.names["alice"] != 2 {
		t.Errorf("a second machine joins: %+v, %v", joined, refused)
	}
	for i := range maxOpen + 1 {
		_, refused := w.gateway().Make(t.Context(), admin.NewInvite{Name: fmt.Sprintf("n%d", i)})
		if i == maxOpen && (refused == nil || gateway.CodeOf(refused) != amtp.CodeConflict) {
			t.Errorf("one invitation more than may be open: %v, want CONFLICT", refused)
		}
	}
}
