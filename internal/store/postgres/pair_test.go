package postgres

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/storetest"
)

// pair is two replicas of one database behind a load balancer: writes alternate between
// them, and so do all reads of messages. Agents are managed, and keys are used, at the
// first, because the other may learn of a removal up to a second later. Neither
// receives notices of the other, so that only the database connects them.
type pair struct {
	gateway.Store // the first
	second        gateway.Store
	turn          atomic.Int64
}

func (p *pair) next() gateway.Store {
	if p.turn.Add(1)%2 == 0 {
		return p.second
	}
	return p.Store
}

func (p *pair) Accept(ctx context.Context, a gateway.Acceptance) (gateway.Accepted, error) {
	return p.next().Accept(ctx, a)
}

func (p *pair) Message(ctx context.Context, by gateway.Reader, id amtp.MessageID) (gateway.Record, error) {
	return p.next().Message(ctx, by, id)
}

func (p *pair) Messages(ctx context.Context, by gateway.Reader, f gateway.MessageFilter) (gateway.MessagePage, error) {
	return p.next().Messages(ctx, by, f)
}

func (p *pair) Inbox(ctx context.Context, by gateway.Acting, f gateway.InboxFilter) (gateway.InboxPage, error) {
	return p.next().Inbox(ctx, by, f)
}

func (p *pair) Ack(ctx context.Context, by gateway.Acting, id amtp.MessageID, now time.Time) (gateway.Mark, error) {
	return p.next().Ack(ctx, by, id, now)
}

func (p *pair) MarkRead(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return p.next().MarkRead(ctx, by, id, now)
}

func (p *pair) Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error) {
	return p.next().Claim(ctx, wanted, now, lease)
}

func (p *pair) Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error) {
	return p.next().Parcel(ctx, job, fence)
}

func (p *pair) Settle(ctx context.Context, s gateway.Settlement) error {
	return p.next().Settle(ctx, s)
}

func (p *pair) Expire(ctx context.Context, begun, now time.Time, limit int,
	report func(gateway.Job) bool) (int, error) {
	return p.next().Expire(ctx, begun, now, limit, report)
}

func (p *pair) JobsPage(ctx context.Context, f gateway.JobFilter) (gateway.JobPage, error) {
	return p.next().JobsPage(ctx, f)
}

func (p *pair) MakeDue(ctx context.Context, job gateway.JobID, now time.Time) error {
	return p.next().MakeDue(ctx, job, now)
}

func (p *pair) Cancel(ctx context.Context, job gateway.JobID, now time.Time) error {
	return p.next().Cancel(ctx, job, now)
}

func (p *pair) Redrive(ctx context.Context, f gateway.DeadFilter, now time.Time) (int, error) {
	return p.next().Redrive(ctx, f, now)
}

func (p *pair) NoteSenderDomain(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error {
	return p.next().NoteSenderDomain(ctx, domain, signed, now)
}

func (p *pair) ChangeDocuments(ctx context.Context, kind string,
	change func([]gateway.Document) ([]gateway.Document, error)) error {
	return p.next().ChangeDocuments(ctx, kind, change)
}

func (p *pair) Hold(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	return p.next().Hold(ctx, name, owner, now, until)
}

func (p *pair) Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	return p.next().Purge(ctx, keep, now, after, limit)
}

// Readdress makes the second replica catch up, which by itself may take it a second.
func (p *pair) Readdress(ctx context.Context, from, to amtp.Domain) (gateway.Readdressed, error) {
	done, err := p.Store.Readdress(ctx, from, to)
	p.second.Agents(context.Background())
	return done, err
}

func (p *pair) Close() error {
	if err := p.second.Close(); err != nil {
		return err
	}
	return p.Store.Close()
}

// Watch rings for the entries for which either replica rings.
func (p *pair) Watch(agent gateway.AgentID) (<-chan struct{}, func()) {
	one, stopOne := p.Store.Watch(agent)
	two, stopTwo := p.second.Watch(agent)
	bell, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		for {
			select {
			case <-one:
			case <-two:
			case <-done:
				return
			}
			select {
			case bell <- struct{}{}:
			default:
			}
		}
	}()
	return bell, func() { close(done); stopOne(); stopTwo() }
}

func (p *pair) Work() gateway.WorkBell { return &pairBell{p.Store.Work(), p.second.Work()} }

// pairBell is the queue's bells of both replicas.
type pairBell struct{ one, two gateway.WorkBell }

// C receives when either replica has something to tell.
func (b *pairBell) C() <-chan struct{} {
	if len(b.two.C()) > 0 {
		return b.two.C()
	}
	return b.one.C()
}

func (b *pairBell) Take() ([]gateway.Destination, bool) {
	rang, all := b.one.Take()
	more, also := b.two.Take()
	rang = append(rang, more...)
	slices.Sort(rang)
	if rang = slices.Compact(rang); all || also || len(rang) > 1024 {
		return nil, true
	}
	return rang, false
}

// openDeaf opens a replica that finds the changes of others only by polling.
func openDeaf(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url, Clock: obeyed, deaf: true})
	if err != nil {
		t.Fatal(err)
	}
	s.heard.Store(true) // the tests of the queue's bell count its rings
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// TestTwoReplicas checks that two replicas keep all promises of one store.
func TestTwoReplicas(t *testing.T) {
	storetest.Run(t, func(t *testing.T) gateway.Store {
		url := database(t)
		return &pair{Store: openDeaf(t, url), second: openDeaf(t, url)}
	})
}
