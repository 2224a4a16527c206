package intake_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
)

// share adds a shared mailbox or a group with these members.
func (h *house) share(kind gateway.AgentKind, name string, members ...string) *gateway.Agent {
	h.Helper()
	address, err := amtp.ParseAddress(name + "@ours.example")
	if err != nil {
		h.Fatal(err)
	}
	a := gateway.Agent{Address: address, DeliveryMode: "pull", Kind: kind, CreatedAt: time.Now()}
	for _, m := range members {
		a.Members = append(a.Members, h.agents[m].ID)
	}
	made, err := h.store.AddAgent(h.Context(), a, gateway.Key{})
	if err != nil {
		h.Fatal(err)
	}
	h.agents[name] = &made
	return &made
}

// states returns the recipients of an answer with their states, as "address state code".
func states(list []amtp.RecipientStatus) []string {
	var out []string
	for _, r := range list {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Address, r.Status, r.ErrorCode)))
	}
	return out
}

func TestGroups(t *testing.T) {
	h := openHouse(t)
	h.share(gateway.MemberGroup, "team", "alice", "bob")
	h.share(gateway.MemberGroup, "only", "bob")
	h.share(gateway.MemberGroup, "empty")
	const alice, bob = "alice@ours.example", "bob@ours.example"
	for _, tc := range []struct {
		who, from string
		to        []string
		want      []string // the results in the answer
		takers    []string // the agents with a delivery
	}{
		{"alice", alice, []string{"team@ours.example"},
			[]string{alice + " delivered", bob + " delivered"}, []string{alice, bob}},
		{"alice", alice, []string{bob, "team@ours.example"},
			[]string{bob + " delivered", alice + " delivered"}, []string{bob, alice}},
		{"alice", alice, []string{bob, "only@ours.example"}, []string{bob + " delivered"}, []string{bob}},
		{"alice", alice, []string{"only@ours.example", "team@ours.example"},
			[]string{bob + " delivered", alice + " delivered"}, []string{bob, alice}},
		{"alice", alice, []string{bob, "empty@ours.example"},
			[]string{bob + " delivered", "empty@ours.example failed RECIPIENT_UNAVAILABLE"}, []string{bob}},
		{"far.example, proven", "x@far.example", []string{"team@ours.example"},
			[]string{"team@ours.example delivered"}, []string{alice, bob}},
		{"far.example, proven", "x@far.example", []string{bob, "only@ours.example"},
			[]string{bob + " delivered", "only@ours.example delivered"}, []string{bob}},
		{"far.example, proven", "x@far.example", []string{"only@ours.example", bob},
			[]string{"only@ours.example delivered", bob + " delivered"}, []string{bob}},
	} {
		name := fmt.Sprint(tc.who, tc.to)
		got, refused := h.accept(h.door, tc.who, tc.from, tc.to...)
		if refused != nil {
			t.Errorf("%s: refused: %v", name, refused)
			continue
		}
		if s := states(got.Recipients); !slices.Equal(s, tc.want) {
			t.Errorf("%s: answer = %q, want %q", name, s, tc.want)
		}
		var takers []string
		for _, d := range h.stored()[0].Deliveries {
			takers = append(takers, d.Recipient.String())
		}
		if !slices.Equal(takers, tc.takers) {
			t.Errorf("%s: deliveries to %q, want %q", name, takers, tc.takers)
		}
	}
	_, refused := h.accept(h.door, "far.example, proven", "x@far.example", "empty@ours.example")
	if refused == nil || refused.Code != amtp.CodeRecipientUnavailable {
		t.Errorf("a group without members = %v, want RECIPIENT_UNAVAILABLE", refused)
	}
}

// TestGroupsHideTheirMembers: another domain learns nothing of the members, also when none
// of them can be reached.
func TestGroupsHideTheirMembers(t *testing.T) {
	h := openHouse(t)
	h.share(gateway.MemberGroup, "team", "alice", "bob")
	h.door.Checks = append(h.door.Checks, func(_ context.Context, c *intake.Candidate) error {
		for i := range c.Recipients {
			c.Refuse(i, amtp.CodeAccessDenied, c.Address(i).String()+" wants none")
		}
		return nil
	})
	_, refused := h.accept(h.door, "far.example, proven", "x@far.example", "team@ours.example")
	if refused == nil {
		t.Fatal("the message was accepted; its check refuses all recipients")
	}
	said := fmt.Sprint(refused, refused.Details, refused.Result)
	if strings.Contains(said, "alice") || strings.Contains(said, "bob") {
		t.Errorf("the refusal names a member: %s", said)
	}
}

// TestGroupThatIsRefusedInPart: a member that refuses the message is not passed over in
// silence. A retry reaches it, and no member gets the message twice.
func TestGroupThatIsRefusedInPart(t *testing.T) {
	h := openHouse(t)
	h.share(gateway.MemberGroup, "team", "alice", "bob")
	refuses := true
	h.door.Checks = append(h.door.Checks, func(_ context.Context, c *intake.Candidate) error {
		for i, to := range c.Recipients {
			if refuses && to.Agent == h.agents["bob"].ID {
				c.Refuse(i, amtp.CodeRateLimitExceeded, "the inbox of bob is full")
			}
		}
		return nil
	})
	const body = `{"sender":"x@far.example","recipients":["team@ours.example"],"payload":1,"message_id":"one"}`
	for _, want := range []string{"team@ours.example failed RATE_LIMIT_EXCEEDED", "team@ours.example delivered"} {
		got, refused := h.acceptBody(h.door, "far.example, proven", body)
		if refused != nil {
			t.Fatalf("refused: %v", refused)
		}
		if s := states(got.Recipients); !slices.Equal(s, []string{want}) {
			t.Errorf("answer = %q, want %q", s, want)
		}
		refuses = false
	}
	if all := h.stored(); len(all) != 1 || len(all[0].Deliveries) != 2 {
		t.Errorf("%d messages are stored, want one with two deliveries", len(all))
	}
}

func TestMailboxSender(t *testing.T) {
	h := openHouse(t)
	support := h.share(gateway.SharedMailbox, "support", "alice")
	h.share(gateway.MemberGroup, "team", "alice")
	if _, refused := h.accept(h.door, "alice", "support@ours.example", "bob@ours.example"); refused != nil {
		t.Fatalf("a member writes for its mailbox: %v", refused)
	}
	r := h.stored()[0]
	if r.SenderAgent != support.ID || r.Author != h.agents["alice"].ID || r.Class != gateway.ClassAgent {
		t.Errorf("stored = sender %d, author %d, class %d; want %d, %d and the class of an agent", r.SenderAgent,
			r.Author, r.Class, support.ID, h.agents["alice"].ID)
	}
	for who, from := range map[string]string{"bob": "support@ours.example", "alice": "team@ours.example"} {
		if _, refused := h.accept(h.door, who, from, "bob@ours.example"); refused == nil ||
			refused.Code != amtp.CodeSenderCredentialMismatch {
			t.Errorf("%s as %s = %v, want SENDER_CREDENTIAL_MISMATCH", who, from, refused)
		}
	}
}
