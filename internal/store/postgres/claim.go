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

// Claims of one destination run one after another, on all replicas. This is how each
// claim can count the jobs that others have leased.
const (
	lockNames = `SELECT pg_advisory_xact_lock($1::int, u.name) FROM unnest($2::int[]) u (name)`
	leasedNow = `SELECT w.place::int, (SELECT count(*) FROM job j WHERE j.destination = w.destination AND j.lease > $2)::int
		FROM unnest($1::text[]) WITH ORDINALITY w (destination, place)`
	// The flows that have new mail for each destination, with the due time of the first
	// job of each. The flows after a given flow come first. It skips from one flow to
	// the next.
	flowsOf = `SELECT w.place::int, f.turn, f.due FROM unnest($1::text[], $2::bigint[], $3::int[]) WITH ORDINALITY w (destination, after, turns, place)
		CROSS JOIN LATERAL (
			WITH RECURSIVE ahead (turn, due, n, ready) AS (
				SELECT f.turn, f.due, 1, (f.due <= $5)::int FROM (SELECT j.turn, j.due FROM job j
					WHERE j.destination = w.destination AND j.turn > w.after AND j.turn < $4 ORDER BY j.destination, j.turn, j.due LIMIT 1) f
				UNION ALL
				SELECT f.turn, f.due, a.n + 1, a.ready + (f.due <= $5)::int FROM ahead a CROSS JOIN LATERAL (SELECT j.turn, j.due FROM job j
					WHERE j.destination = w.destination AND j.turn > a.turn AND j.turn < $4 ORDER BY j.destination, j.turn, j.due LIMIT 1) f
					WHERE a.ready < w.turns AND a.n - a.ready < $6),
			behind (turn, due, n, ready) AS (
				SELECT f.turn, f.due, 1, (f.due <= $5)::int FROM (SELECT j.turn, j.due FROM job j
					WHERE j.destination = w.destination AND j.turn <= w.after AND j.turn < $4 ORDER BY j.destination, j.turn, j.due LIMIT 1) f
				UNION ALL
				SELECT f.turn, f.due, b.n + 1, b.ready + (f.due <= $5)::int FROM behind b CROSS JOIN LATERAL (SELECT j.turn, j.due FROM job j
					WHERE j.destination = w.destination AND j.turn > b.turn AND j.turn <= w.after AND j.turn < $4
					ORDER BY j.destination, j.turn, j.due LIMIT 1) f
					WHERE b.ready < w.turns AND b.n - b.ready < $6)
			SELECT turn, due, n FROM ahead UNION ALL SELECT turn, due, w.turns + $6 + n FROM behind) f
		WHERE w.turns > 0 ORDER BY w.place, f.n`
	claimable = `SELECT ` + jobColumns +
		` FROM unnest($1::text[], $2::bigint[], $3::int[]) WITH ORDINALITY w (destination, turn, quota, place)
		CROSS JOIN LATERAL (SELECT * FROM job WHERE destination = w.destination AND turn = w.turn AND due <= $4
			ORDER BY destination, turn, due, id LIMIT w.quota FOR UPDATE SKIP LOCKED) j` +
		itsMessage + `ORDER BY w.place, j.due, j.id`
	leaseJobs = `UPDATE job j SET state = u.state, changed = $8, fence = u.fence, attempts = u.attempts, due = u.due, lease = u.lease, owner = $7,
			first_try = u.first, last_try = u.last, turn = u.turn
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
			u (id, state, fence, attempts, due, first, lease, last, turn) WHERE j.id = u.id`
	restOf = `SELECT w.place::int, coalesce((SELECT j.due FROM job j WHERE j.destination = w.destination AND j.turn < $3
			ORDER BY j.destination, j.turn, j.due LIMIT 1), 0),
			coalesce((SELECT j.due FROM job j WHERE j.destination = w.destination AND j.turn = $3 AND (j.lease IS NULL OR j.lease <= $2)
			ORDER BY j.destination, j.turn, j.due LIMIT 1), 0)
		FROM unnest($1::text[]) WITH ORDINALITY w (destination, place)`
)

// Waiting lists destinations that have jobs. It skips from one destination to the next,
// and to the first job of each, however many jobs wait.
func (s *Store) Waiting(ctx context.Context, after gateway.Destination, limit int) (list []gateway.Waiting, err error) {
	var name string
	var fresh, tried int64
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		list = nil
		return c.query(ctx, `WITH RECURSIVE next (name, n) AS (
				SELECT (SELECT destination FROM job WHERE destination > $1 ORDER BY destination LIMIT 1), 1
				UNION ALL
				SELECT (SELECT destination FROM job WHERE destination > name ORDER BY destination LIMIT 1), n + 1
					FROM next WHERE name IS NOT NULL AND n < $2)
			SELECT name, coalesce((SELECT due FROM job WHERE destination = name AND turn < $3 ORDER BY destination, turn, due LIMIT 1), 0),
				coalesce((SELECT due FROM job WHERE destination = name AND turn = $3 ORDER BY destination, turn, due LIMIT 1), 0)
				FROM next WHERE name IS NOT NULL ORDER BY name`,
			[]any{string(after), limit, int64(gateway.TurnTried)}, []any{&name, &fresh, &tried}, func() error {
				list = append(list, store.Waiting(name, fresh, tried))
				return nil
			})
	})
	return list, err
}

// Claim leases jobs that are due.
func (s *Store) Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error) {
	if err := s.isPaused(ctx); err != nil {
		return nil, err
	}
	if err := s.correctTimes(ctx, now); err != nil {
		return nil, err
	}
	return write(ctx, s, func(ctx context.Context, t *tx) ([]gateway.Claimed, error) {
		return t.claim(ctx, wanted, leasing{owner: s.own[:], now: store.Micros(now), until: store.Micros(lease)})
	})
}

// leasing is the owner of new leases, and when they begin and end.
type leasing struct {
	owner      []byte
	now, until int64
}

// claim leases jobs in three round trips: the flows in turn, their jobs, and the
// leases.
func (t *tx) claim(ctx context.Context, wanted []gateway.Claiming, l leasing) ([]gateway.Claimed, error) {
	out := make([]gateway.Claimed, len(wanted))
	if len(wanted) == 0 {
		return out, nil
	}
	for i := range wanted {
		out[i].Destination = wanted[i].Destination
	}
	turns, err := t.turns(ctx, wanted, out, l)
	if err != nil {
		return nil, err
	}
	if err := t.choose(ctx, wanted, out, turns, l); err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	queueLeases(b, out, l)
	var place int32
	var fresh, tried int64
	queue(b, restOf, []any{destinations(wanted), l.now, int64(gateway.TurnTried)}, []any{&place, &fresh, &tried},
		func() error {
			i := place - 1
			store.Rest(&out[i], &wanted[i], store.FromMicros(fresh), store.FromMicros(tried), store.FromMicros(l.now))
			return nil
		})
	return out, t.SendBatch(ctx, b).Close()
}

// turn is the flows in turn for one destination of a claim.
type turn struct {
	limit int // how many jobs may be leased
	flows []gateway.Flow
}

// turns locks the destinations and finds the flows in turn.
func (t *tx) turns(ctx context.Context, wanted []gateway.Claiming, out []gateway.Claimed, l leasing) ([]turn, error) {
	names := destinations(wanted)
	turns := make([]turn, len(wanted))
	after, most := make([]int64, len(wanted)), make([]int32, len(wanted))
	for i := range wanted {
		w := &wanted[i]
		after[i], turns[i].limit = int64(w.After), w.Limit
		if w.Part != gateway.Tried && w.Limit > 0 {
			most[i] = int32(store.Turns(w, w.Limit))
		}
	}
	b := &pgx.Batch{}
	paused := queuePaused(b)
	b.Queue(lockNames, int32(claimLock), hashes(names))
	var place, leased int32
	queue(b, leasedNow, []any{names, l.now}, []any{&place, &leased}, func() error {
		if w := &wanted[place-1]; w.Most > 0 {
			turns[place-1].limit = max(min(w.Limit, w.Most-int(leased)), 0)
		}
		return nil
	})
	looks := make([]*store.FlowSearch, len(wanted))
	var flow, due int64
	queue(b, flowsOf, []any{names, after, most, int64(gateway.TurnTried), l.now, store.LookPast},
		[]any{&place, &flow, &due}, func() error {
			i := place - 1
			if looks[i] == nil { // its limit is known by now
				looks[i] = store.NewFlowSearch(&out[i], &wanted[i], turns[i].limit)
			}
			if looks[i].More() {
				looks[i].At(gateway.Flow(flow), due <= l.now)
			}
			return nil
		})
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	for i, look := range looks {
		if look != nil {
			turns[i].flows = look.Flows
		}
	}
	if *paused {
		return nil, gateway.ErrPaused
	}
	return turns, nil
}

// choose locks the first jobs of the flows in turn, and begins an attempt at each job
// that it chooses.
func (t *tx) choose(ctx context.Context, wanted []gateway.Claiming, out []gateway.Claimed, turns []turn,
	l leasing) error {
	var names []string
	var which []int64
	var quotas []int32
	ask := func(d gateway.Destination, turn gateway.Turn, quota int) {
		names, which, quotas = append(names, string(d)), append(which, int64(turn)), append(quotas, int32(quota))
	}
	place := make(map[gateway.Destination]int, len(wanted))
	for i := range wanted {
		w := &wanted[i]
		place[w.Destination] = i
		for _, flow := range turns[i].flows {
			ask(w.Destination, gateway.TurnOf(flow, 0), store.Quota(w, turns[i].limit, len(turns[i].flows)))
		}
		if w.Part != gateway.Fresh && turns[i].limit > 0 {
			ask(w.Destination, gateway.TurnTried, store.LookAhead(w, turns[i].limit))
		}
	}
	if len(names) == 0 {
		return nil
	}
	due, err := t.jobs(ctx, claimable, names, which, quotas, l.now)
	if err != nil {
		return err
	}
	fresh, tried := make([][]store.QueuedJob, len(wanted)), make([][]store.QueuedJob, len(wanted))
	for _, j := range due {
		i := place[j.Destination]
		if part := wanted[i].Part; part == gateway.Fresh || part != gateway.Tried && j.Attempts == 0 {
			fresh[i] = append(fresh[i], j)
		} else {
			tried[i] = append(tried[i], j)
		}
	}
	of := func(j *store.QueuedJob) *gateway.Job { return &j.Job }
	for i := range wanted {
		chosen, err := store.Choose(&out[i], &wanted[i], turns[i].limit, of, fresh[i],
			func() ([]store.QueuedJob, error) { return tried[i], nil })
		if err != nil {
			return err
		}
		for _, j := range chosen {
			store.Lease(&j.Job, l.now, l.until)
			out[i].Jobs = append(out[i].Jobs, j.Job)
			t.dead++
		}
	}
	return nil
}

func destinations(wanted []gateway.Claiming) []string {
	return column(wanted, func(w *gateway.Claiming) string { return string(w.Destination) })
}

// hashes returns the numbers of the locks with these names, in order.
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

// queueLeases begins attempts. Everything about an attempt is written before it is
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
		l.owner, l.now,
		column(jobs, func(j *gateway.Job) int64 { return store.Micros(j.Lease) }),
		column(jobs, func(j *gateway.Job) int64 { return store.Micros(j.LastTry) }),
		column(jobs, func(j *gateway.Job) int64 { return int64(gateway.TurnOf(j.Flow, j.Attempts)) }))
}
