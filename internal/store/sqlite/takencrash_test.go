package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// The times of a shift: leases begin at dawn, and the answer is wanted at noon.
const (
	shiftLease = time.Minute
	shiftDelay = 2 * time.Minute
)

var noon = dawn.Add(4 * time.Hour)

// shift is a short script of work in a shared mailbox, and what was asked and confirmed
// of it. Letters have the names of their subjects.
type shift struct {
	alice, bob, carol, support gateway.Agent

	letters map[string]amtp.MessageID // confirmed
	leases  map[string]gateway.LeaseToken
	ended   map[string][]gateway.LeaseToken // of leases whose end was confirmed
	asked   map[string]bool                 // acknowledgements
	done    map[string]bool
	joined  [2]bool // carol as a member: asked, confirmed
	told    [2]bool // the notice: asked, confirmed with the end of its job
	unsure  string  // the letter whose lease a call without an answer may have changed
}

// begin registers everybody before anything fails. Only bob is a member at first.
func begin(t *testing.T, s *Store) *shift {
	t.Helper()
	sh := &shift{letters: make(map[string]amtp.MessageID), leases: make(map[string]gateway.LeaseToken),
		ended: make(map[string][]gateway.LeaseToken), asked: make(map[string]bool), done: make(map[string]bool)}
	sh.alice, sh.bob = cast(t, s)
	var err error
	if sh.carol, err = addAgent(s, "carol"); err != nil {
		t.Fatal(err)
	}
	address, err := amtp.ParseAddress("support@shop.example")
	if err == nil {
		sh.support, err = s.AddAgent(context.Background(), gateway.Agent{Address: address, DeliveryMode: "pull",
			Kind: gateway.SharedMailbox, Members: []gateway.AgentID{sh.bob.ID}, CreatedAt: dawn, LastActive: dawn},
			gateway.Key{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

func (sh *shift) as(name string) gateway.Acting {
	return gateway.Acting{Agent: sh.support.ID, Key: "key_" + name}
}

// run makes the calls of the script until one fails.
func (sh *shift) run(s *Store) error {
	for _, step := range []func(*Store) error{
		func(s *Store) error { return sh.post(s, "first", true) },
		func(s *Store) error { return sh.post(s, "second", false) },
		func(s *Store) error { return sh.post(s, "third", false) },
		func(s *Store) error { return sh.take(s, "bob", 2) },
		func(s *Store) error { return sh.ack(s, "first", dawn) },
		func(s *Store) error { return sh.giveBack(s, "second") },
		sh.join,
		func(s *Store) error { return sh.take(s, "carol", 1) },
		func(s *Store) error { return sh.extend(s, "third") },
		func(s *Store) error { return sh.tell(s, noon) },
	} {
		if err := step(s); err != nil {
			return err
		}
	}
	return nil
}

func (sh *shift) post(s *Store, name string, timed bool) error {
	a := note(sh.alice, sh.support, name)
	if timed {
		m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"sender":%q,"recipients":[%q],"idempotency_key":%q,"subject":%q,
			"payload":1,"headers":{"answer-by":%q}}`, sh.alice.Address, sh.support.Address, name, name,
			noon.Format(time.RFC3339)))
		if refused != nil {
			return refused
		}
		a.Message, a.Later = m, []gateway.Later{{Destination: gateway.Deadlines, At: noon}}
	}
	got, err := s.Accept(context.Background(), a)
	if err == nil {
		sh.letters[name] = got.ID
	}
	return err
}

func (sh *shift) take(s *Store, by string, most int) error {
	got, err := s.Take(context.Background(), sh.as(by), gateway.Take{Max: most, Until: dawn.Add(shiftLease)}, dawn)
	for i := range got.Items {
		sh.leases[got.Items[i].Subject] = got.Items[i].Lease.Token
	}
	return err
}

func (sh *shift) ticket(name string) gateway.Ticket {
	return gateway.Ticket{ID: sh.letters[name], Token: sh.leases[name]}
}

func (sh *shift) ack(s *Store, name string, at time.Time) error {
	sh.asked[name] = true
	_, err := s.AckTaken(context.Background(), sh.as("bob"), sh.ticket(name), at)
	sh.done[name] = err == nil
	return err
}

func (sh *shift) giveBack(s *Store, name string) error {
	sh.unsure = name
	_, err := s.GiveBack(context.Background(), sh.as("bob"), sh.ticket(name),
		gateway.GivenBack{Due: dawn.Add(shiftDelay)}, dawn)
	if err == nil {
		sh.unsure = ""
		sh.ended[name] = append(sh.ended[name], sh.leases[name])
		delete(sh.leases, name)
	}
	return err
}

func (sh *shift) extend(s *Store, name string) error {
	_, err := s.Extend(context.Background(), sh.as("carol"), sh.ticket(name), dawn.Add(2*shiftLease), dawn)
	return err
}

func (sh *shift) join(s *Store) error {
	sh.joined[0] = true
	_, err := s.UpdateAgent(context.Background(), gateway.Acting{}, sh.support.ID, func(a *gateway.Agent) error {
		a.Members = []gateway.AgentID{sh.bob.ID, sh.carol.ID}
		return nil
	})
	sh.joined[1] = err == nil
	return err
}

// tell has the real courier of deadlines do what is due, as the queue would.
func (sh *shift) tell(s *Store, now time.Time) error {
	ctx, clock := context.Background(), func() time.Time { return now }
	got, err := s.Claim(ctx, []gateway.Claiming{{Destination: gateway.Deadlines, Limit: 9}}, now, now.Add(leaseTime))
	if err != nil {
		return err
	}
	sh.told[0] = true
	for _, j := range got[0].Jobs {
		p, err := s.Parcel(ctx, j.ID, j.Fence)
		if err != nil {
			return err
		}
		d := &automail.Deadline{Store: s, Domain: "shop.example", Now: clock,
			Acceptor: &intake.Intake{Store: s, Domain: "shop.example", Now: clock}}
		if err := s.Settle(ctx, p.Settle(d.Carry(ctx, p), now)); err != nil {
			return err
		}
		sh.told[1] = true
	}
	return nil
}

// check compares a store with the script. It then finishes the work.
func (sh *shift) check(t *testing.T, s *Store) {
	t.Helper()
	sound(t, s)
	consistent(t, s)
	ctx := context.Background()
	_, err := s.Inbox(ctx, sh.as("carol"), gateway.InboxFilter{})
	if sh.joined[1] && err != nil || !sh.joined[0] && !errors.Is(err, gateway.ErrRevoked) {
		t.Errorf("carol reads the mailbox: %v; that she joins was asked for: %v, confirmed: %v", err, sh.joined[0],
			sh.joined[1])
	}
	sh.checkLeases(t, s)
	sh.finish(t, s)
	sh.checkNotices(t, s)
}

// checkLeases: a lease that was confirmed still keeps others away, and its token is
// accepted. The token of a lease that ended is not.
func (sh *shift) checkLeases(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	for name, tokens := range sh.ended {
		for _, token := range tokens {
			_, err := s.AckTaken(ctx, sh.as("bob"), gateway.Ticket{ID: sh.letters[name], Token: token}, dawn)
			if !errors.Is(err, gateway.ErrStale) {
				t.Errorf("%s is acknowledged with the token of a lease that ended: %v", name, err)
			}
		}
	}
	got, err := s.Take(ctx, sh.as("bob"), gateway.Take{Max: 9, Until: dawn.Add(shiftLease)}, dawn.Add(time.Second))
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	for i := range got.Items {
		name := got.Items[i].Subject
		if sh.leases[name] != 0 && name != sh.unsure {
			t.Errorf("%s is under two live leases", name)
		}
		if len(sh.ended[name]) > 0 {
			t.Errorf("%s is taken before the delay after which it returns", name)
		}
		sh.ended[name] = append(sh.ended[name], got.Items[i].Lease.Token)
	}
	for name := range sh.leases {
		if name == sh.unsure || sh.asked[name] {
			continue
		}
		if err := sh.ack(s, name, dawn.Add(2*time.Second)); err != nil {
			t.Errorf("%s cannot be acknowledged under its lease: %v", name, err)
		}
	}
}

// finish takes all that is left long after, and acknowledges it. Each letter that was
// accepted is there, unless its acknowledgement was asked for.
func (sh *shift) finish(t *testing.T, s *Store) {
	t.Helper()
	ctx, late := context.Background(), dawn.Add(time.Hour)
	got, err := s.Take(ctx, sh.as("bob"), gateway.Take{Max: 9, Until: late.Add(shiftLease)}, late)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	left := make(map[string]bool)
	for i := range got.Items {
		item := &got.Items[i]
		name := item.Subject
		if left[name] = true; sh.done[name] {
			t.Errorf("%s is taken again after its acknowledgement", name)
		}
		for _, token := range append(slices.Clone(sh.ended[name]), sh.leases[name]) {
			_, err := s.AckTaken(ctx, sh.as("bob"), gateway.Ticket{ID: item.ID, Token: token}, dawn)
			if token != 0 && !errors.Is(err, gateway.ErrStale) {
				t.Errorf("%s is acknowledged with the token of an earlier lease: %v", name, err)
			}
		}
		if _, err := s.AckTaken(ctx, sh.as("bob"), gateway.Ticket{ID: item.ID, Token: item.Lease.Token},
			late); err != nil {
			t.Errorf("%s cannot be acknowledged: %v", name, err)
		}
	}
	for name := range sh.letters {
		if !left[name] && !sh.asked[name] {
			t.Errorf("%s is lost: it was accepted, and is not there to be taken", name)
		}
	}
}

// checkNotices has all deadlines done, more than once. There is one notice, if the letter
// was stored.
func (sh *shift) checkNotices(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	for i := range 3 {
		if err := sh.tell(s, noon.Add(time.Duration(i+1)*time.Hour)); err != nil {
			t.Fatalf("a deadline: %v", err)
		}
	}
	page, err := s.Inbox(ctx, gateway.Acting{Agent: sh.alice.ID}, gateway.InboxFilter{})
	if err != nil {
		t.Fatalf("Inbox: %v", err)
	}
	all, err := s.Messages(ctx, gateway.Reader{Everyone: true}, gateway.MessageFilter{})
	if err != nil {
		t.Fatalf("Messages: %v", err)
	}
	want := 0
	for i := range all.Messages {
		if all.Messages[i].Subject == "first" {
			want = 1
		}
	}
	if len(page.Items) != want || sh.told[1] && want == 0 {
		t.Errorf("alice has %d notices that no answer came, want %d", len(page.Items), want)
	}
}

// TestShiftAfterPowerCuts cuts the power at each call of a script in which members of a
// mailbox take letters, acknowledge one, give one back and extend a lease, a member joins,
// and a deadline passes. No letter is lost, no lease that was confirmed is forgotten, no
// earlier one is accepted, and there is one notice.
func TestShiftAfterPowerCuts(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	for loss := range faultfs.Losses {
		t.Run(loss.String(), func(t *testing.T) {
			t.Parallel()
			cuts := 0
			for n := 1; ; n++ {
				if !shiftCut(t, n, loss, rand.New(rand.NewPCG(seed, uint64(n)))) {
					break
				}
				if cuts++; t.Failed() {
					t.Fatalf("after a cut at call %d, %s", n, loss)
				}
			}
			if cuts < 20 {
				t.Errorf("the power was cut at %d calls, too few to be the script", cuts)
			}
			t.Logf("the power was cut at each of %d calls", cuts)
		})
	}
}

// shiftCut runs the script with the power cut at call n, and checks what is left. It
// returns false when the script has fewer calls.
func shiftCut(t *testing.T, n int, loss faultfs.Loss, chance *rand.Rand) bool {
	t.Helper()
	d := faultfs.New(t)
	s := mustOpenOn(t, d, fresh(t, scratch(t)), small)
	sh := begin(t, s)
	d.Fail(faultfs.Fault{Ops: faultfs.Any, N: n, Cut: true})
	err := sh.run(s)
	if err != nil && !d.Off() {
		t.Fatalf("the script ended before the cut: %v", err)
	}
	during := d.Off()
	dir := scratch(t)
	if err := d.Restore(dir, loss, chance); err != nil {
		t.Fatal(err)
	}
	s.Close() // the disk has no power, so an error is expected
	s = mustOpenOn(t, faultfs.New(t), dir, small)
	sh.check(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return during
}
