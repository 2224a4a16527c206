package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// pausedSetting is the row of setting that stores since when the store is paused.
const pausedSetting = "paused"

const (
	livingAgents = `SELECT id, mode FROM agent WHERE id = ANY ($1::bigint[]) AND removed IS NULL`
	// livingKeys extends livingAgents, with 0 for the agent. A separate statement would
	// lower the accepted messages per second by a tenth.
	livingKeys   = ` UNION ALL SELECT 0, id FROM agent_key WHERE id = ANY ($2::text[])`
	knownKeys    = `SELECT u.item FROM unnest($1::int[], $2::bytea[]) u (item, key) JOIN dedup d ON d.key = u.key`
	knownIDs     = `SELECT u.item, m.uuid FROM unnest($1::int[], $2::bytea[]) u (item, uuid) JOIN message m ON m.uuid = u.uuid`
	knownAliases = `SELECT u.item FROM unnest($1::int[], $2::bytea[], $3::bigint[], $4::text[], $5::bytea[]) u (item, id, agent, sender, variant)
		JOIN alias a ON a.id = u.id AND a.agent = u.agent AND a.sender = u.sender AND a.variant = u.variant`
	nextRows = `SELECT nextval('message_id') FROM generate_series(1, $1::int)`
)

// batchLookup is what has to be looked up for a batch before it is written.
type batchLookup struct {
	agents []int64
	shown  []string // the acting keys of the messages
	keys   struct {
		item []int32
		key  [][]byte
	}
	ids struct {
		item []int32
		uuid [][]byte
	}
	aliases struct {
		item        []int32
		id, variant [][]byte
		agent       []int64
		sender      []string
	}
	threads threading
}

// newBatchLookup collects the look-ups. When messages of one batch share a name, the
// first stays in the batch and the others fall back.
func newBatchLookup(all []*acceptItem) *batchLookup {
	q := &batchLookup{}
	agents := make(map[gateway.AgentID]bool)
	shown := make(map[string]bool)
	taken := make(map[string]bool)
	for i, l := range all {
		l.plan = &plan{}
		for _, name := range names(l) {
			l.fallback = l.fallback || taken[name]
		}
		for _, name := range names(l) {
			taken[name] = true
		}
		if l.fallback {
			continue
		}
		for _, r := range l.Recipients {
			agents[r.Agent] = true
		}
		agents[l.SenderAgent] = true
		shown[l.By.Key] = true
		q.about(int32(i), l.Incoming)
		if l.tried {
			id, _ := l.Name(false)
			q.ids.item, q.ids.uuid = append(q.ids.item, int32(i)), append(q.ids.uuid, id[:])
		}
		q.threads.about(int32(i), l.Incoming, l.Recipients)
	}
	for id := range agents {
		q.agents = append(q.agents, int64(id))
	}
	delete(shown, "")
	q.shown = slices.Collect(maps.Keys(shown))
	return q
}

// names returns the names that no other message of the batch may have.
func names(l *acceptItem) (list []string) {
	for in := l.Incoming; in != nil; in = in.Early {
		if in.Key != "" {
			list = append(list, "k"+string(in.Dedup[:]))
		}
		if in.GivenID != "" {
			list = append(list, "i"+string(in.GivenID))
		}
		if in.IsUUID {
			list = append(list, "u"+string(in.Given[:]))
		}
	}
	return list
}

// about looks up all names under which the message may be stored.
func (q *batchLookup) about(i int32, in *store.Incoming) {
	for ; in != nil; in = in.Early {
		if in.Key != "" {
			q.keys.item, q.keys.key = append(q.keys.item, i), append(q.keys.key, in.Dedup[:])
		}
		if in.IsUUID {
			q.ids.item, q.ids.uuid = append(q.ids.item, i), append(q.ids.uuid, in.Given[:])
		}
		if in.GivenID != "" {
			a := &q.aliases
			a.item, a.id, a.variant = append(a.item, i), append(a.id, []byte(in.GivenID)),
				append(a.variant, in.Variant())
			a.agent, a.sender = append(a.agent, int64(in.SenderAgent)), append(a.sender, in.From())
		}
	}
}

// lookUp begins the transaction. In one round trip it finds which messages are simply
// new, which agents live, and which threads the messages join.
func (s *Store) lookUp(ctx context.Context, c conn, all []*acceptItem) error {
	q := newBatchLookup(all)
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	paused := queuePaused(b)
	modes, keys := make(map[gateway.AgentID]string), make(map[string]bool)
	var id int64
	var word string
	queue(b, livingAgents+livingKeys, []any{q.agents, q.shown}, []any{&id, &word}, func() error {
		if id != 0 {
			modes[gateway.AgentID(id)] = word
		} else {
			keys[word] = true
		}
		return nil
	})
	q.queue(b, all)
	q.threads.queue(b, func(i int32, agent gateway.AgentID, thread string) {
		l := all[i]
		if l.threads == nil {
			l.threads = make(map[gateway.AgentID]string)
		}
		l.threads[agent] = thread
	})
	next := 0
	queue(b, nextRows, []any{int32(len(all))}, []any{&id}, func() error {
		all[next].row = id
		next++
		return nil
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if *paused {
		return gateway.ErrPaused
	}
	for _, l := range all {
		l.decide(modes)
		l.fallback = l.fallback || !l.stored && l.By.Key != "" && !keys[l.By.Key]
		l.fallback = l.fallback || !l.stored && !knows(s.dir, l.recipients)
	}
	return nil
}

func queue(b *pgx.Batch, sql string, args, into []any, row func() error) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error { return each(rows, into, row) })
}

// queue queues the look-ups that are needed.
func (q *batchLookup) queue(b *pgx.Batch, all []*acceptItem) {
	var i int32
	known := func() error {
		all[i].fallback = true
		return nil
	}
	if len(q.keys.item) > 0 {
		queue(b, knownKeys, []any{q.keys.item, q.keys.key}, []any{&i}, known)
	}
	if a := &q.aliases; len(a.item) > 0 {
		queue(b, knownAliases, []any{a.item, a.id, a.agent, a.sender, a.variant}, []any{&i}, known)
	}
	var uuid []byte
	if len(q.ids.item) > 0 {
		queue(b, knownIDs, []any{q.ids.item, q.ids.uuid}, []any{&i, &uuid}, func() error {
			l := all[i]
			if id, _ := l.Name(false); l.tried && string(uuid) == string(id[:]) && store.MessageID(uuid) == l.ID {
				l.stored = true // by the try whose result is not known
				return nil
			}
			return known()
		})
	}
}

// decide sets the plan of a message. A message whose sender or recipients are gone may
// still be a retry.
func (l *acceptItem) decide(modes map[gateway.AgentID]string) {
	if l.stored {
		l.fallback = false
		return
	}
	l.recipients, l.modes = living(l.Recipients, modes), modes
	if _, lives := modes[l.SenderAgent]; len(l.recipients) == 0 || l.SenderAgent != 0 && !lives {
		l.fallback = true
	}
	for agent, thread := range defaults(l.Incoming, l.recipients) {
		if _, found := l.threads[agent]; !found {
			if l.threads == nil {
				l.threads = make(map[gateway.AgentID]string)
			}
			l.threads[agent] = thread
		}
	}
}

// knows reports whether the directory has all the recipients.
func knows(dir *store.Directory, to []gateway.Recipient) bool {
	for _, r := range to {
		if r.Agent != 0 && !dir.Knows(r.Agent) {
			return false
		}
	}
	return true
}

// living returns the recipients that were not removed.
func living(to []gateway.Recipient, modes map[gateway.AgentID]string) []gateway.Recipient {
	list := make([]gateway.Recipient, 0, len(to))
	for _, r := range to {
		if _, lives := modes[r.Agent]; lives || r.Agent == 0 {
			list = append(list, r)
		}
	}
	return list
}
