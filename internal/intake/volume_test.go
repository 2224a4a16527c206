package intake_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// full is limits under which some inboxes are full, or a sender may send no more.
type full struct {
	inboxes map[string]bool
	whole   bool
	others  int // recipients of the last message without an inbox here
}

func (f *full) Admit(_ *gateway.Principal, _ *amtp.Message, inboxes []amtp.Address, others int) ([]*amtp.Error,
	*amtp.Error) {
	f.others = others
	e := amtp.Errorf(amtp.CodeRateLimitExceeded, "Too many messages for it now; try again in 7 seconds.")
	e.RetryAfter = 7 * time.Second
	if f.whole {
		return nil, e
	}
	each := make([]*amtp.Error, len(inboxes))
	for i, a := range inboxes {
		if f.inboxes[a.Local()] {
			each[i] = e
		}
	}
	return each, nil
}

func (f *full) Early(netip.Addr) *amtp.Error          { return nil }
func (f *full) Failed(*gateway.Principal, int, int64) {}
func (f *full) Tried(netip.Addr, int, int64)          {}

// TestVolume: a full inbox refuses its own copy, and the message when no other
// recipient is left. A message beyond its sender's limit is refused as a whole. Nothing
// of either is stored.
func TestVolume(t *testing.T) {
	for _, c := range []struct {
		what   string
		limits full
		to     []string
		code   amtp.Code
		failed int // recipients
	}{
		{"nobody is full", full{}, []string{"alice@ours.example", "bob@ours.example"}, "", 0},
		{"one of two", full{inboxes: map[string]bool{"bob": true}},
			[]string{"alice@ours.example", "bob@ours.example"}, "", 1},
		{"the only one", full{inboxes: map[string]bool{"bob": true}}, []string{"bob@ours.example"},
			amtp.CodeRateLimitExceeded, 1},
		{"the only one there is", full{inboxes: map[string]bool{"bob": true}},
			[]string{"nobody@ours.example", "bob@ours.example"}, amtp.CodeRateLimitExceeded, 2},
		{"beside another domain", full{inboxes: map[string]bool{"bob": true}},
			[]string{"bob@ours.example", "ann@far.example"}, "", 1},
		{"the sender", full{whole: true}, []string{"bob@ours.example"}, amtp.CodeRateLimitExceeded, 0},
	} {
		h := openHouse(t)
		limits := c.limits
		h.door.Limits = &limits
		result, refused := h.accept(h.door, "alice", "alice@ours.example", c.to...)
		if refused != nil {
			result = refused.Result
		}
		failed := 0
		if result != nil {
			for _, r := range result.Recipients {
				if r.Status == amtp.StatusFailed {
					failed++
				}
				if r.Address.Local() == "bob" && r.Status == amtp.StatusFailed &&
					(r.ErrorCode != amtp.CodeRateLimitExceeded ||
						r.ErrorMessage != "too many messages for it now; try again in 7 seconds") {
					t.Errorf("%s: bob's copy failed with %s, %q", c.what, r.ErrorCode, r.ErrorMessage)
				}
			}
		}
		switch {
		case c.code == "" && (refused != nil || failed != c.failed || len(h.stored()) != 1):
			t.Errorf("%s: got %v with %d recipients failed and %d messages, want %d and one", c.what, refused, failed,
				len(h.stored()), c.failed)
		case c.code != "" && (refused == nil || refused.Code != c.code || refused.RetryAfter != 7*time.Second ||
			failed != c.failed || len(h.stored()) != 0):
			t.Errorf("%s: got %v with %d recipients failed and %d messages; want %s after 7s, %d and none", c.what,
				refused, failed, len(h.stored()), c.code, c.failed)
		}
		if c.what == "beside another domain" && limits.others != 1 {
			t.Errorf("%s: the limits get %d others, want 1", c.what, limits.others)
		}
	}
}
