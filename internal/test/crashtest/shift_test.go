package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// shift is a shared mailbox at a gateway, the workers of its two members, and the agents
// that ask it for answers.
type shift struct {
	roster  *Roster
	box     amtp.Address
	workers []*Worker // two with the key of each member
	askers  []*Asker
}

// newShift registers the agents of a shift.
func newShift(ctx context.Context, t *testing.T, g Place, l *Ledger, chance func() *rand.Rand) *shift {
	t.Helper()
	s := &shift{roster: NewRoster(l)}
	register := func(a amtp.NewAgent) *Agent {
		r, err := register(ctx, g, l, a)
		if err != nil {
			t.Fatalf("registering %s: %v", a.Address, err)
		}
		t.Cleanup(r.Close)
		return r
	}
	var members []string
	var keys []*Agent
	for _, name := range []string{"dora", "emil"} {
		keys = append(keys, register(amtp.NewAgent{Address: name}))
		members = append(members, name)
	}
	box := register(amtp.NewAgent{Address: "support", Kind: "mailbox", Members: members})
	s.box = box.Address
	for _, k := range append(keys, keys...) {
		member := *k
		member.Address = s.box
		s.workers = append(s.workers, &Worker{Agent: &member, Roster: s.roster, Rand: chance()})
	}
	for i := range 2 {
		s.askers = append(s.askers, &Asker{Agent: register(amtp.NewAgent{Address: fmt.Sprint("asker", i)}), Box: s.box,
			Roster: s.roster, Rand: chance()})
	}
	return s
}

// start starts all askers and workers.
func (s *shift) start(ctx context.Context, sending, reading *sync.WaitGroup, stopSending, stopReading chan struct{}) {
	for _, a := range s.askers {
		sending.Go(func() { a.Run(ctx, stopSending) })
	}
	for _, w := range s.workers {
		reading.Go(func() { w.Run(ctx, stopReading) })
	}
}

// busy waits until each kind of event was there: with less a test shows nothing.
func (s *shift) busy(ctx context.Context, t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for {
		c := s.roster.Counts()
		if min(c.Again, c.Stale, c.Returned, c.Abandoned, c.InTime) > 0 && c.Finished >= 100 {
			return
		}
		if pause(ctx, poll); ctx.Err() != nil {
			t.Fatalf("after %v no more came of the work in %s than %+v", patient, s.box, c)
		}
	}
}

// settle handles the messages that are left, waits until no deadline is left, and compares
// the gateway with the roster. It is called after all have stopped, and before the ledger
// is settled.
func (s *shift) settle(ctx context.Context, t *testing.T, g Place) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := s.workers[0].Empty(ctx); err != nil {
		t.Fatalf("emptying %s: %v", s.box, err)
	}
	url, err := g.URL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key, err := g.AdminKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	operator := &admin.Client{Client: amtp.Client{URL: url, AdminKey: key}}
	for jobs := 1; jobs > 0; pause(ctx, 50*time.Millisecond) {
		list, err := operator.Jobs(ctx, admin.JobQuery{Limit: 100})
		if err != nil {
			t.Fatalf("waiting for the last deadline: %v", err)
		}
		jobs = len(list.Jobs)
	}
	notices := make(map[amtp.MessageID]int)
	for _, a := range s.askers {
		if err := a.Notices(ctx, notices); err != nil {
			t.Fatalf("reading the inbox of %s: %v", a.Address, err)
		}
	}
	s.roster.Settle(notices)
	c := s.roster.Counts()
	t.Logf("work in %s: %+v", s.box, c)
	if c.Notices == 0 {
		t.Errorf("no deadline of %d had a notice, so the work in %s shows too little", c.Asked, s.box)
	}
}
