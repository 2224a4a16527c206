package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	gw "github.com/amtp-go/amtp/internal/gateway" // gateway is the process here
	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/jackc/pgx/v5"
)

// The destination of all messages in these measurements, and the number of claims of
// which the median is reported.
const (
	farDomain = "far.example"
	claims    = 500
)

// backlog measures the queue of the store itself: a claim while few and while many jobs
// wait, in turns, and the size of the tables after many jobs have passed through.
func (b *bench) backlog(ctx context.Context, server *pgtest.Server) error {
	var queues []*queue
	waiting := []int{100, b.Pending}
	for _, n := range waiting {
		b.progress("postgres: %d jobs wait", n)
		q, err := openQueue(ctx, server)
		if err != nil {
			return err
		}
		if err := q.wait(ctx, n); err != nil {
			return err
		}
		queues = append(queues, q)
	}
	b.progress("postgres: %d claims beside each", claims)
	took := [2][]float64{}
	for range claims {
		for i, q := range queues {
			t, err := q.claimFour(ctx)
			if err != nil {
				return err
			}
			took[i] = append(took[i], t)
		}
	}
	few, many := spreadAmong(took[0]), spreadAmong(took[1])
	for i, s := range []spread{few, many} {
		b.report.figure(fmt.Sprintf("claim of 4 beside %d that wait: p50", waiting[i]), s.Median, "µs")
		if err := queues[i].close(ctx); err != nil {
			return err
		}
	}
	b.report.quotient(fmt.Sprintf("claim: p50, beside %d / beside 100", b.Pending), many, few)
	return b.tables(ctx, server)
}

// tables sends many messages through the queue and measures what is left of them in the
// queue's tables.
func (b *bench) tables(ctx context.Context, server *pgtest.Server) error {
	q, err := openQueue(ctx, server)
	if err != nil {
		return err
	}
	b.progress("postgres: %d messages through the queue", b.Pending)
	var early int64
	for done := 0; done < b.Pending; done += step {
		if err := q.through(ctx, step); err != nil {
			return err
		}
		if done == 0 {
			if early, err = q.size(ctx); err != nil {
				return err
			}
		}
	}
	late, err := q.size(ctx)
	if err != nil {
		return err
	}
	b.report.figure(fmt.Sprintf("hot table after %d messages", step), float64(early)/1024, "KiB")
	b.report.figure(fmt.Sprintf("hot table after %d messages", b.Pending), float64(late)/1024, "KiB")
	return q.close(ctx)
}

// queue is a store with one sender, and a separate connection to its database.
type queue struct {
	store  *postgres.Store
	conn   *pgx.Conn
	sender gw.Agent
	sent   atomic.Int64
}

func openQueue(ctx context.Context, server *pgtest.Server) (*queue, error) {
	url, err := server.NewDatabase()
	if err != nil {
		return nil, err
	}
	q := &queue{}
	if q.store, err = postgres.Open(ctx, postgres.Options{URL: url}); err != nil {
		return nil, err
	}
	if q.conn, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	address, err := amtp.ParseAddress("alice@" + homeDomain)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	_, key := gw.NewKey(0, now)
	q.sender, err = q.store.AddAgent(ctx, gw.Agent{Address: address, DeliveryMode: "pull", CreatedAt: now,
		LastActive: now}, key)
	return q, err
}

func (q *queue) close(ctx context.Context) error {
	if err := q.conn.Close(ctx); err != nil {
		return err
	}
	return q.store.Close()
}

// accept stores one message to the other domain.
func (q *queue) accept(ctx context.Context) error {
	to, err := amtp.ParseAddress("bob@" + farDomain)
	if err != nil {
		return err
	}
	m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"sender":"%s","recipients":["%s"],"payload":{"n":%d}}`,
		q.sender.Address, to, q.sent.Add(1)))
	if refused != nil {
		return refused
	}
	now := time.Now()
	_, err = q.store.Accept(ctx, gw.Acceptance{
		Envelope: gw.Envelope{ID: amtp.NewMessageID(), Sender: q.sender.Address, SenderAgent: q.sender.ID,
			Class: gw.ClassAgent,
			Found: gw.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}, ReceivedAt: now,
			Timestamp: now},
		Message: m, Recipients: []gw.Recipient{{Address: to}},
	})
	return err
}

// together runs do n times, a crowd at once.
func together(n int, do func() error) error {
	var group sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, crowd)
	for range crowd {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// wait makes that many jobs wait. The tables are vacuumed, analysed, and on the disk,
// as if nothing had been loaded just now.
func (q *queue) wait(ctx context.Context, n int) error {
	if err := q.accept(ctx); err != nil {
		return err
	}
	for _, sql := range []string{ // copies of that job
		`INSERT INTO message (id, uuid, sender_agent, class, trust, received, request, body)
			SELECT nextval('message_id'), decode(md5(i::text), 'hex'), sender_agent, class, trust, received, request, body FROM message, generate_series(2, $1) i`,
		`INSERT INTO job (id, message, destination, state, changed, due, begun, size, fence, attempts, rekeys, same)
			SELECT nextval('job_id'), m.id, destination, j.state, changed, due, begun, size, 0, 0, 0, 0 FROM job j, message m WHERE $1 > 0 AND m.id <> j.message`,
		`INSERT INTO delivery (seq, message, agent, address, state, changed, pushed, job)
			SELECT nextval('delivery_seq'), j.message, agent, address, d.state, d.changed, pushed, j.id FROM delivery d, job j WHERE $1 > 0 AND j.id <> d.job`,
	} {
		if _, err := q.conn.Exec(ctx, sql, n); err != nil {
			return err
		}
	}
	for _, sql := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
		if _, err := q.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// claimFour measures a claim of four jobs, in microseconds. Afterwards they wait again,
// at the end of the queue.
func (q *queue) claimFour(ctx context.Context) (took float64, err error) {
	began := time.Now()
	jobs, err := q.claim(ctx, 4)
	if err != nil {
		return 0, err
	}
	took = micros(time.Since(began))
	if len(jobs) != 4 {
		return 0, fmt.Errorf("%d jobs were claimed, want 4", len(jobs))
	}
	for _, j := range jobs {
		s := gw.Settlement{Job: j.ID, Fence: j.Fence, Now: time.Now(), Code: amtp.CodeTemporaryFailure}
		if err := q.store.Settle(ctx, s); err != nil {
			return 0, err
		}
	}
	return took, nil
}

func (q *queue) claim(ctx context.Context, n int) ([]gw.Job, error) {
	now := time.Now()
	got, err := q.store.Claim(ctx, []gw.Claiming{{Destination: farDomain, Limit: n}}, now, now.Add(2*time.Minute))
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return got[0].Jobs, nil
}

// through has n messages accepted, claimed and delivered.
func (q *queue) through(ctx context.Context, n int) error {
	if err := together(n, func() error { return q.accept(ctx) }); err != nil {
		return err
	}
	for n > 0 {
		jobs, err := q.claim(ctx, 512)
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return fmt.Errorf("%d messages wait and none is claimed", n)
		}
		n -= len(jobs)
		next := make(chan gw.Job, len(jobs))
		for _, j := range jobs {
			next <- j
		}
		if err := together(len(jobs), func() error { return q.deliver(ctx, <-next) }); err != nil {
			return err
		}
	}
	return nil
}

// deliver settles a job as accepted by its recipient's gateway.
func (q *queue) deliver(ctx context.Context, j gw.Job) error {
	p, err := q.store.Parcel(ctx, j.ID, j.Fence)
	if err != nil {
		return err
	}
	s := gw.Settlement{Job: j.ID, Fence: j.Fence, Now: time.Now()}
	for _, d := range p.Recipients {
		s.Results = append(s.Results, gw.Result{Delivery: d.ID, Event: gw.Success})
	}
	return q.store.Settle(ctx, s)
}

// size returns the bytes of the queue's table, with its indexes.
func (q *queue) size(ctx context.Context) (n int64, err error) {
	err = q.conn.QueryRow(ctx, `SELECT pg_total_relation_size('job')`).Scan(&n)
	return n, err
}
