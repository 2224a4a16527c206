package postgres

import (
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// Claims of one destination come one after the other, whichever replica makes
// them: that is how they count what others have leased.
const (
	lockNames = `SELECT pg_advisory_xact_lock($1::int, u.name) FROM unnest($2::int[]) u (name)`
	claimable = `SELECT ` + jobColumns + ` FROM unnest($1::text[], $2::int[], $3::int[]) w (destination, room, most)
		CROSS JOIN LATERAL (SELECT CASE WHEN w.most = 0 THEN w.room ELSE least(w.room, w.most -
			(SELECT count(*) FROM job l WHERE l.destination = w.destination AND l.lease > $4)::int) END AS room) free
		CROSS JOIN LATERAL (SELECT * FROM job WHERE destination = w.destination AND due <= $4
			ORDER BY destination, due, id LIMIT greatest(free.room, 0) FOR UPDATE SKIP LOCKED) j` +
		itsMessage + `ORDER BY j.due, j.id`
	leaseJobs = `UPDATE job j SET state = u.state, changed = $8, fence = u.fence, attempts = u.attempts, due = u.due, lease = $9, owner = $7,
			first_try = u.first, last_try = u.last
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $10::bigint[])
			u (id, state, fence, attempts, due, first, last) WHERE j.id = u.id`
	nextOfRest = `SELECT w.place::int, (SELECT j.due FROM job j WHERE j.destination = w.destination AND (j.lease IS NULL OR j.lease <= $2)
			ORDER BY j.destination, j.due LIMIT 1)
		FROM unnest($1::text[]) WITH ORDINALITY w (destination, place)`
)

// Claim leases jobs that are due.
func (s *Store) Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error) {
	if err := s.isPaused(ctx); err != nil {
		return nil, err
	}
	return write(ctx, s, func(ctx context.Context, t *tx) ([]gateway.Claimed, error) {
		return t.claim(ctx, wanted, leasing{owner: s.own[:], now: store.Micros(now), until: store.Micros(lease)})
	})
}

// leasing says who leases, and from when until when.
type leasing struct {
	owner      []byte
	now, until int64
}

func (t *tx) claim(ctx context.Context, wanted []gateway.Claiming, l leasing) ([]gateway.Claimed, error) {
	out := make([]gateway.Claimed, len(wanted))
	if len(wanted) == 0 {
		return out, nil
	}
	names, rooms, mosts := make([]string, len(wanted)), make([]int32, len(wanted)), make([]int32, len(wanted))
	place := make(map[gateway.Destination]int, len(wanted))
	for i, w := range wanted {
		out[i].Destination, place[w.Destination] = w.Destination, i
		names[i], rooms[i], mosts[i] = string(w.Destination), int32(w.Limit), int32(w.Most)
	}
	b := &pgx.Batch{}
	paused := queuePaused(b)
	b.Queue(lockNames, int32(claimLock), hashes(names))
	due := queueJobs(b, claimable, names, rooms, mosts, l.now)
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	if *paused {
		return nil, gateway.ErrPaused
	}
	for _, j := range *due {
		if err := store.Lease(&j.Job, l.now, l.until); err != nil {
			return nil, err
		}
		c := &out[place[j.Destination]]
		c.Jobs = append(c.Jobs, j.Job)
		t.dead++
	}
	b = &pgx.Batch{}
	queueLeases(b, out, l)
	var number int32
	var next *int64
	queue(b, nextOfRest, []any{names, l.now}, []any{&number, &next}, func() error {
		if next != nil {
			i := number - 1
			out[i].Next = wanted[i].Next(len(out[i].Jobs), store.FromMicros(*next), store.FromMicros(l.now))
		}
		return nil
	})
	return out, t.SendBatch(ctx, b).Close()
}

// hashes returns the names of locks, in order.
func hashes(names []string) []int32 {
	list := make([]int32, len(names))
	for i, name := range names {
		h := fnv.New32a()
		h.Write([]byte(name))
		list[i] = int32(h.Sum32())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// queueLeases begins attempts, of which everything is written before they are
// made.
func queueLeases(b *pgx.Batch, claimed []gateway.Claimed, l leasing) {
	var jobs []gateway.Job
	for i := range claimed {
		jobs = append(jobs, claimed[i].Jobs...)
	}
	if len(jobs) == 0 {
		return
	}
	b.Queue(leaseJobs,
		column(jobs, func(j *gateway.Job) int64 { return int64(j.ID) }),
		column(jobs, func(j *gateway.Job) int16 { return int16(j.State) }),
		column(jobs, func(j *gateway.Job) int64 { return j.Fence }),
		column(jobs, func(j *gateway.Job) int32 { return int32(j.Attempts) }),
		column(jobs, func(j *gateway.Job) int64 { return store.Micros(j.Due) }),
		column(jobs, func(j *gateway.Job) int64 { return store.Micros(j.FirstTry) }),
		l.owner, l.now, l.until,
		column(jobs, func(j *gateway.Job) int64 { return store.Micros(j.LastTry) }))
}
