package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// acceptRows are the rows of new messages, by columns.
type acceptRows struct {
	messages   []messageRow
	dedup      dedupRows
	aliases    []aliasRow
	abroad     []aliasRow // the ids under which they are sent to other domains
	jobs       jobRows
	deliveries deliveryRows
	rings      []store.Entry
	contacts   []store.Contact // these may be new
	meetings   []meetingRow    // these may be new
}

type messageRow struct {
	*store.Incoming
	row    int64
	uuid   uuid.UUID
	given  string
	thread string
}

type aliasRow struct {
	*store.Incoming
	id  string
	row int64
}

type dedupRows struct {
	key [][]byte
	row []int64
}

type jobRows struct {
	message     []int64
	destination []gateway.Destination
	due         []int64
	size        []int64
	turn        []int64
	payload     []string // "" for a job that decides deliveries
}

// deliveryRows refer to the jobs of new messages by their index in jobRows, from 1, and
// to other jobs by their id.
type deliveryRows struct {
	message, agent, changed, newJob, job []int64
	state                                []int16
	pushed, further                      []bool
	address                              []string
	thread                               [][]byte
}

func (d *dedupRows) add(key []byte, row int64) {
	d.key, d.row = append(d.key, key), append(d.row, row)
}

// message adds the row of a message, and its alias.
func (m *acceptRows) message(in *store.Incoming, row int64, id uuid.UUID, given, thread string) {
	m.messages = append(m.messages, messageRow{Incoming: in, row: row, uuid: id, given: given, thread: thread})
	if given != "" {
		m.aliases = append(m.aliases, aliasRow{Incoming: in, id: given, row: row})
	}
	for _, l := range in.Later {
		m.jobs.add(row, l.Destination, in.Flow(), store.Micros(l.At), len(in.Message.Raw()), store.WholeMessage(l.At))
	}
}

// addressing is a message whose deliveries are being stored.
type addressing struct {
	*store.Incoming
	row     int64
	id      amtp.MessageID
	before  []gateway.Delivery // the deliveries that it has so far
	modes   map[gateway.AgentID]string
	threads map[gateway.AgentID]string
	known   map[gateway.Destination]gateway.JobID // jobs that the message had before
	added   map[gateway.Destination]int64         // new jobs, by their index in jobRows
}

// deliver adds the delivery to a recipient. It is in the inbox of a pull agent at once.
// Any other delivery waits for the message's job for its destination.
func (m *acceptRows) deliver(dir *store.Directory, to *addressing, r gateway.Recipient) {
	at := store.Micros(to.ReceivedAt)
	var home amtp.Address
	if r.Agent != 0 {
		home, _ = dir.Address(r.Agent)
		if to.Meets() && !dir.HasMet(to.Acquaintance(r.Agent)) {
			m.meetings = append(m.meetings, meetingRow{to.Acquaintance(r.Agent), to.row})
		}
	}
	d, destination := store.NewDelivery(r, home, to.modes[r.Agent], at)
	d.Further = store.Further(to.before, r)
	to.before = append(to.before, d)
	rows := &m.deliveries
	rows.message, rows.agent, rows.changed = append(rows.message, to.row), append(rows.agent, int64(r.Agent)),
		append(rows.changed, at)
	rows.state, rows.pushed = append(rows.state, int16(d.State)), append(rows.pushed, d.Mode == store.ModePush)
	address, job, added := "", int64(0), int64(0)
	if r.Agent == 0 {
		address = r.Address.String()
		if c := (store.Contact{Agent: to.SenderAgent, Domain: r.Address.Domain()}); c.Agent != 0 &&
			!dir.HasWritten(c) && !to.Message.Automatic() {
			m.contacts = append(m.contacts, c)
		}
		for _, name := range store.Names(&d, to.id) {
			m.abroad = append(m.abroad, aliasRow{Incoming: to.Incoming, id: string(name), row: to.row})
		}
	}
	if destination != "" {
		job, added = m.jobFor(to, destination, at)
	}
	rows.address, rows.job, rows.newJob = append(rows.address, address), append(rows.job, job),
		append(rows.newJob, added)
	thread := ""
	if r.Agent != 0 {
		thread = to.threads[r.Agent]
	}
	rows.thread, rows.further = append(rows.thread, blob(thread)), append(rows.further, d.Further)
}

// jobFor returns the message's job for the destination: the id of an existing job, or
// the index of a new one.
func (m *acceptRows) jobFor(to *addressing, d gateway.Destination, at int64) (id, place int64) {
	if id := to.known[d]; id != 0 {
		return int64(id), 0
	}
	if place := to.added[d]; place != 0 {
		return 0, place
	}
	place = m.jobs.add(to.row, d, to.Flow(), at, len(to.Message.Raw()), "")
	if to.added == nil {
		to.added = make(map[gateway.Destination]int64, 1)
	}
	to.added[d] = place
	return 0, place
}

// add adds a job that is due at that time, and returns its index, from 1.
func (j *jobRows) add(message int64, d gateway.Destination, flow gateway.Flow, due int64, size int,
	payload string) int64 {
	j.message, j.destination = append(j.message, message), append(j.destination, d)
	j.due, j.size = append(j.due, due), append(j.size, int64(size))
	j.turn, j.payload = append(j.turn, int64(gateway.TurnOf(flow, 0))), append(j.payload, payload)
	return int64(len(j.message))
}

const (
	insertDedup   = `INSERT INTO dedup (key, message) SELECT * FROM unnest($1::bytea[], $2::bigint[])`
	insertMessage = `INSERT INTO message (id, received, stamped, request, sender_agent, class, trust, uuid, sender, authentication, given_id,
			subject, in_reply_to, thread, body, author, priority)
		SELECT id, received, nullif(stamped, 0), request, nullif(agent, 0), class, trust, uuid, nullif(sender, ''), authentication, given, subject,
			reply, thread, body, nullif(author, 0), nullif(priority, 0)
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::smallint[], $8::bytea[], $9::text[],
			$10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[],
			$16::bigint[], $17::smallint[])
			u (id, received, stamped, request, agent, class, trust, uuid, sender, authentication, given, subject, reply, thread, body, author,
				priority)`
	insertAlias = `INSERT INTO alias (id, agent, sender, variant, message)
		SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bytea[], $5::bigint[])`
	insertJob = `INSERT INTO job (id, message, destination, state, changed, due, begun, size, fence, attempts, rekeys, same, turn, payload)
		SELECT id, message, destination, 1, due, due, due, size, 0, 0, 0, 0, turn, nullif(payload, '')
		FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
			u (id, message, destination, due, size, turn, payload)`
	// Entries of an inbox are numbered under a lock on the inbox, which is held until
	// the commit. There are fewer locks than inboxes, so that a batch never needs more
	// locks than a server has.
	lockInboxes    = `SELECT pg_advisory_xact_lock($1::int, u.box) FROM unnest($2::int[]) u (box)`
	insertDelivery = `INSERT INTO delivery (seq, message, agent, changed, job, state, pushed, address, thread, further)
		SELECT nextval('delivery_seq'), message, agent, changed, nullif(job, 0), state, pushed, nullif(address, ''), thread, further
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::boolean[], $7::text[], $8::bytea[], $9::boolean[])
			u (message, agent, changed, job, state, pushed, address, thread, further)
		RETURNING seq`
)

// Advisory locks of this gateway, by their first number.
const (
	inboxLock    = 0x616d7470 // "amtp"
	claimLock    = 0x616d7471
	documentLock = 0x616d7472
	leaseLock    = 0x616d7473
	boxStripes   = 256
)

// boxes returns the locks of the inboxes that get entries, in order. Batches of all
// replicas take them in the same order.
func boxes(agents []int64, enters func(i int) bool) []int32 {
	var list []int32
	for i, agent := range agents {
		if enters(i) {
			list = append(list, int32(agent%boxStripes))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// insert writes the rows and commits, in one round trip. Rows with unique values are
// written in order, so that two batches wait for each other in one direction only. A
// row that exists already makes the transaction fail.
func (c conn) insert(ctx context.Context, m *acceptRows) (rings []store.Entry, err error) {
	if len(m.messages) == 0 && len(m.deliveries.message) == 0 {
		_, err := c.Exec(ctx, "ROLLBACK")
		return nil, err
	}
	ids, err := c.jobIDs(ctx, len(m.jobs.message))
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	rings = m.queue(b, ids)
	b.Queue("COMMIT")
	return rings, c.SendBatch(ctx, b).Close()
}

// jobIDs reserves n job ids.
func (c conn) jobIDs(ctx context.Context, n int) ([]int64, error) {
	if n == 0 {
		return nil, nil
	}
	return c.numbers(ctx, `SELECT nextval('job_id') FROM generate_series(1, $1::int)`, int32(n))
}

// queue queues the statements that write the rows. The entries that it returns have
// their numbers after the batch has run.
func (m *acceptRows) queue(b *pgx.Batch, jobIDs []int64) []store.Entry {
	m.dedup.queue(b)
	queueMessages(b, m.messages)
	queueAliases(b, insertAlias, m.aliases)
	queueAliases(b, insertAlias+` ON CONFLICT DO NOTHING`, m.abroad)
	m.jobs.queue(b, jobIDs)
	queueContacts(b, m.contacts)
	queueMeetings(b, m.meetings)
	d := &m.deliveries
	for i, place := range d.newJob {
		if place != 0 {
			d.job[i] = jobIDs[place-1]
		}
	}
	return d.queue(b)
}

func (d *dedupRows) queue(b *pgx.Batch) {
	if len(d.key) == 0 {
		return
	}
	order := make([]int, len(d.key))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(d.key[i], d.key[j]) })
	b.Queue(insertDedup, pick(order, d.key), pick(order, d.row))
}

func pick[T any](order []int, list []T) []T {
	sorted := make([]T, len(list))
	for i, from := range order {
		sorted[i] = list[from]
	}
	return sorted
}

func queueMessages(b *pgx.Batch, list []messageRow) {
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b messageRow) int { return bytes.Compare(a.uuid[:], b.uuid[:]) })
	b.Queue(insertMessage,
		column(list, func(m *messageRow) int64 { return m.row }),
		column(list, func(m *messageRow) int64 { return store.Micros(m.ReceivedAt) }),
		column(list, func(m *messageRow) int64 { return m.Stamp() }),
		column(list, func(m *messageRow) int64 { return int64(m.RequestID) }),
		column(list, func(m *messageRow) int64 { return int64(m.SenderAgent) }),
		column(list, func(m *messageRow) int16 { return int16(m.Class) }),
		column(list, func(m *messageRow) int16 { return int16(store.TrustCode(&m.Envelope)) }),
		column(list, func(m *messageRow) []byte { return m.uuid[:] }),
		column(list, func(m *messageRow) string { return m.From() }),
		column(list, func(m *messageRow) []byte { return blob(store.Finding(m.Class, m.Found)) }),
		column(list, func(m *messageRow) []byte { return blob(m.given) }),
		column(list, func(m *messageRow) []byte { return blob(m.Subject) }),
		column(list, func(m *messageRow) []byte { return blob(string(m.InReplyTo)) }),
		column(list, func(m *messageRow) []byte { return blob(m.thread) }),
		column(list, func(m *messageRow) []byte { return m.Message.Raw() }),
		column(list, func(m *messageRow) int64 { return int64(m.Author) }),
		column(list, func(m *messageRow) int16 { return int16(gateway.PriorityOf(m.Message)) }))
}

// column returns one column of rows.
func column[R, V any](rows []R, of func(*R) V) []V {
	list := make([]V, len(rows))
	for i := range rows {
		list[i] = of(&rows[i])
	}
	return list
}

func queueAliases(b *pgx.Batch, sql string, list []aliasRow) {
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b aliasRow) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.SenderAgent, b.SenderAgent),
			cmp.Compare(a.From(), b.From()),
			bytes.Compare(a.Variant(), b.Variant()))
	})
	b.Queue(sql,
		column(list, func(a *aliasRow) []byte { return []byte(a.id) }),
		column(list, func(a *aliasRow) int64 { return int64(a.SenderAgent) }),
		column(list, func(a *aliasRow) string { return a.From() }),
		column(list, func(a *aliasRow) []byte { return a.Variant() }),
		column(list, func(a *aliasRow) int64 { return a.row }))
}

func (j *jobRows) queue(b *pgx.Batch, ids []int64) {
	if len(ids) > 0 {
		names := column(j.destination, func(d *gateway.Destination) string { return string(*d) })
		b.Queue(insertJob, ids, j.message, names, j.due, j.size, j.turn, j.payload)
	}
}

func (d *deliveryRows) queue(b *pgx.Batch) (rings []store.Entry) {
	if len(d.message) == 0 {
		return nil
	}
	enters := func(i int) bool { return d.agent[i] != 0 && !d.pushed[i] }
	if list := boxes(d.agent, enters); len(list) > 0 {
		b.Queue(lockInboxes, int32(inboxLock), list)
	}
	var of []int // the index of each row's ring, or -1
	for i := range d.message {
		place := -1
		if enters(i) {
			place = len(rings)
			rings = append(rings, store.Entry{Agent: gateway.AgentID(d.agent[i])})
		}
		of = append(of, place)
	}
	var seq int64
	i := 0
	queue(b, insertDelivery, []any{d.message, d.agent, d.changed, d.job, d.state, d.pushed, d.address, d.thread,
		d.further}, []any{&seq}, func() error {
		if of[i] >= 0 {
			rings[of[i]].Seq = seq
		}
		i++
		return nil
	})
	return rings
}
