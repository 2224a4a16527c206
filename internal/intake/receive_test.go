package intake_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
)

// recorder is a verifier, limits, a check and a store that record their calls.
type recorder struct {
	intake.Store
	steps  []string
	refuse string // the step that refuses
	caller gateway.Principal
}

func (r *recorder) step(name string) *amtp.Error {
	r.steps = append(r.steps, name)
	if r.refuse == name {
		return amtp.Errorf(amtp.CodeAccessDenied, "No: %s.", name)
	}
	return nil
}

func (r *recorder) Caller(_ context.Context, _ *amtp.Message, from string, _ time.Time) (gateway.Principal,
	error) {
	if refused := r.step("verify for " + from); refused != nil {
		return gateway.Principal{}, refused
	}
	return r.caller, nil
}

func (r *recorder) Taken(_ context.Context, _ gateway.Principal, again bool, _ time.Time) error {
	r.step(fmt.Sprintf("note, again %v", again))
	return nil
}

func (r *recorder) Check(_ context.Context, c *intake.Candidate) error {
	for i := range c.Recipients {
		if c.Address(i).Local() == "bob" && r.refuse == "bob" {
			c.Refuse(i, amtp.CodeAccessDenied, "bob wants none")
		}
	}
	if refused := r.step("check of " + c.Envelope.Sender.String()); refused != nil {
		return refused
	}
	return nil
}

func (r *recorder) Second(context.Context, *intake.Candidate) error {
	if refused := r.step("second check"); refused != nil {
		return refused
	}
	return nil
}

func (r *recorder) Early(netip.Addr) *amtp.Error { return r.step("early") }

func (r *recorder) Admit(p *gateway.Principal, _ *amtp.Message, _ []amtp.Address, _ int) ([]*amtp.Error,
	*amtp.Error) {
	return nil, r.step("volume from " + p.From.String())
}

func (r *recorder) Failed(_ *gateway.Principal, recipients int, bytes int64) {
	r.step(fmt.Sprintf("failed: %d recipients, some bytes: %v", recipients, bytes > 0))
}

func (r *recorder) Tried(from netip.Addr, recipients int, _ int64) {
	r.step(fmt.Sprintf("tried: %d recipients from %s", recipients, from))
}

func (r *recorder) Accept(ctx context.Context, a gateway.Acceptance) (gateway.Accepted, error) {
	if refused := r.step("commit"); refused != nil {
		return gateway.Accepted{}, refused
	}
	return r.Store.Accept(ctx, a)
}

// TestReceiveInOrder: a message is verified, its sender decided, checked, stored and
// noted, in this order. After the step that refuses it, only the count of tries
// follows.
func TestReceiveInOrder(t *testing.T) {
	const failed, tried = "failed: 1 recipients, some bytes: true", "tried: 1 recipients from 192.0.2.1"
	for _, c := range []struct {
		what, who, sender, to, refuse string
		want                          []string
	}{
		{"of another domain", "nobody", "ann@far.example", "bob@ours.example", "",
			[]string{"verify for 192.0.2.1", "proven", "check of ann@far.example", "second check",
				"volume from 192.0.2.1", "commit", "note, again false"}},
		{"of an agent", "alice", "alice@ours.example", "bob@ours.example", "",
			[]string{"check of alice@ours.example", "second check", "volume from 192.0.2.1", "commit",
				"note, again false"}},
		{"to nobody here", "nobody", "ann@far.example", "bob@elsewhere.example", "", []string{failed, tried}},
		{"that does not verify", "nobody", "ann@far.example", "bob@ours.example", "verify for 192.0.2.1",
			[]string{"verify for 192.0.2.1", failed, tried}},
		{"as somebody here", "nobody", "alice@ours.example", "bob@ours.example", "", []string{failed, tried}},
		{"as somebody else", "alice", "bob@ours.example", "bob@ours.example", "", nil},
		{"refused by a check", "nobody", "ann@far.example", "bob@ours.example", "check of ann@far.example",
			[]string{"verify for 192.0.2.1", "proven", "check of ann@far.example", failed, tried}},
		{"refused by the last check", "alice", "alice@ours.example", "bob@ours.example", "second check",
			[]string{"check of alice@ours.example", "second check"}},
		{"refused for its recipient", "alice", "alice@ours.example", "bob@ours.example", "bob",
			[]string{"check of alice@ours.example", "second check"}},
		{"beyond the volume", "nobody", "ann@far.example", "bob@ours.example", "volume from 192.0.2.1",
			[]string{"verify for 192.0.2.1", "proven", "check of ann@far.example", "second check",
				"volume from 192.0.2.1", failed, tried}},
		{"not stored", "alice", "alice@ours.example", "bob@ours.example", "commit",
			[]string{"check of alice@ours.example", "second check", "volume from 192.0.2.1", "commit"}},
	} {
		h := openHouse(t)
		r := &recorder{Store: h.store, refuse: c.refuse, caller: h.caller("far.example, proven")}
		in := &intake.Intake{Store: r, Domain: "ours.example", Now: time.Now, Federated: true, Verifier: r, Limits: r,
			Checks: []intake.Check{r.Check, r.Second}}
		m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"sender":%q,"recipients":[%q],"payload":1}`, c.sender, c.to))
		if refused != nil {
			t.Fatal(refused)
		}
		p := h.caller(c.who)
		p.From = netip.MustParseAddr("192.0.2.1")
		got, err := in.Receive(t.Context(), intake.Arrival{Message: m, Principal: p, From: "192.0.2.1", Request: 7,
			Proven: func() { r.step("proven") }})
		if (err == nil) != slices.Contains(c.want, "note, again false") {
			t.Errorf("%s: got %+v, %v", c.what, got, err)
		}
		if !slices.Equal(r.steps, c.want) {
			t.Errorf("%s: the steps are\n%q, want\n%q", c.what, r.steps, c.want)
		}
	}
}

// TestRefusedAtOurFault: a message that the gateway cannot accept now uses nothing of
// its network's budget.
func TestRefusedAtOurFault(t *testing.T) {
	h := openHouse(t)
	r := &recorder{Store: h.store}
	in := &intake.Intake{Store: r, Domain: "ours.example", Now: time.Now, Limits: r}
	nobody := gateway.Principal{}
	in.Unread(&nobody, 7, amtp.Errorf(amtp.CodeTemporaryFailure, "Later."))
	if len(r.steps) > 0 {
		t.Errorf("a fault of the gateway is counted: %q", r.steps)
	}
	in.Unread(&nobody, 7, amtp.Errorf(amtp.CodeRateLimitExceeded, "Too much."))
	in.Unread(&nobody, 0, amtp.Errorf(amtp.CodeMessageTooLarge, "Too large."))
	want := []string{"tried: 0 recipients from invalid IP", "failed: 0 recipients, some bytes: false"}
	if !slices.Equal(r.steps, want) {
		t.Errorf("the steps are %q, want %q", r.steps, want)
	}
	var refused *amtp.Error
	if err := in.Early(&nobody); err != nil || errors.As(err, &refused) {
		t.Errorf("Early: got %v, want nil", err)
	}
}
