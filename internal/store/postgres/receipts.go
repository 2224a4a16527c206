package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// queueContacts stores the domains to which agents wrote, in the same order in every
// batch.
func queueContacts(b *pgx.Batch, list []store.Contact) {
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b store.Contact) int {
		return cmp.Or(cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Domain, b.Domain))
	})
	list = slices.Compact(list)
	b.Queue(`INSERT INTO contact (agent, domain) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING`,
		column(list, func(c *store.Contact) int64 { return int64(c.Agent) }),
		column(list, func(c *store.Contact) string { return string(c.Domain) }))
}

// ReceiptDomains lists domains for which receipts wait.
func (s *Store) ReceiptDomains(ctx context.Context, after amtp.Domain, limit int) (list []amtp.Domain, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		list = nil
		domain := ""
		// Each look-up skips to the next domain, however many rows a domain has.
		return c.query(ctx, `WITH RECURSIVE next (domain, n) AS (
				(SELECT domain, 1 FROM receipt WHERE domain > $1 ORDER BY domain LIMIT 1)
				UNION ALL
				SELECT (SELECT r.domain FROM receipt r WHERE r.domain > next.domain ORDER BY r.domain LIMIT 1), next.n + 1
				FROM next WHERE next.domain IS NOT NULL AND next.n < $2)
			SELECT domain FROM next WHERE domain IS NOT NULL ORDER BY domain`, []any{string(after), limit}, []any{&domain}, func() error {
			list = append(list, amtp.Domain(domain))
			return nil
		})
	})
	return list, err
}

// OwedReceipts returns receipts for a domain that are due.
func (s *Store) OwedReceipts(ctx context.Context, to amtp.Domain, now time.Time, limit,
	bodies int) (list []gateway.OwedReceipt, more bool, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, c conn) error {
		list, more = nil, false
		room := bodies
		var row store.OwedRow
		var class int16
		var given []byte
		size := 0
		err := c.query(ctx,
			`SELECT r.message, r.agent, coalesce(r.read, 0), coalesce(r.acked, 0), coalesce(r.refused, 0), m.uuid, m.given_id,
				coalesce(m.sender, ''), coalesce(m.class, 0), EXISTS (SELECT FROM contact c WHERE c.agent = r.agent AND c.domain = r.domain),
				coalesce(length(m.body), 0)
				FROM receipt r LEFT JOIN message m ON m.id = r.message WHERE r.domain = $1 AND r.due <= $2 ORDER BY r.due LIMIT $3`,
			[]any{string(to), store.Micros(now), limit + 1},
			[]any{&row.Row, &row.Agent, &row.Read, &row.Acked, &row.Refused, &row.UUID, &given, &row.Sender, &class,
				&row.Written, &size},
			func() error {
				room -= size
				if more = more || len(list) == limit || len(list) > 0 && room < 0; more {
					return nil
				}
				row.Given, row.Class = string(given), gateway.Class(class)
				list = append(list, row.Owed(s.dir))
				return nil
			})
		if err != nil {
			return err
		}
		return c.receiptBodies(ctx, list)
	})
	return list, more, err
}

// receiptBodies reads the bodies of the messages of the receipts.
func (c conn) receiptBodies(ctx context.Context, list []gateway.OwedReceipt) error {
	rows := column(list, func(o *gateway.OwedReceipt) int64 { return o.Row })
	var row int64
	var body []byte
	found := make(map[int64][]byte, len(list))
	err := c.query(ctx, `SELECT id, body FROM message WHERE id = ANY ($1::bigint[])`, []any{rows}, []any{&row, &body},
		func() error {
			found[row] = slices.Clone(body)
			return nil
		})
	for i := range list {
		list[i].Body = found[list[i].Row]
	}
	return err
}

// SettleReceipts forgets receipts that were sent or are not owed.
func (s *Store) SettleReceipts(ctx context.Context, list []gateway.OwedReceipt, again time.Time) error {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b gateway.OwedReceipt) int {
		return cmp.Or(cmp.Compare(a.Row, b.Row), cmp.Compare(a.Agent, b.Agent))
	})
	micros := func(of func(*gateway.OwedReceipt) time.Time) []int64 {
		return column(list, func(o *gateway.OwedReceipt) int64 { return store.Micros(of(o)) })
	}
	args := []any{
		column(list, func(o *gateway.OwedReceipt) int64 { return o.Row }),
		column(list, func(o *gateway.OwedReceipt) int64 { return int64(o.Agent) }),
		micros(func(o *gateway.OwedReceipt) time.Time { return o.Read }),
		micros(func(o *gateway.OwedReceipt) time.Time { return o.Acked }),
		micros(func(o *gateway.OwedReceipt) time.Time { return o.Refused }),
	}
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		const given = `unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) u (message, agent, read, acked, refused)`
		_, err := t.change(ctx, `SELECT 1 FROM receipt r JOIN `+given+` ON u.message = r.message AND u.agent = r.agent
				ORDER BY r.message, r.agent FOR UPDATE OF r`, args...)
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM receipt r USING `+given+
				` WHERE r.message = u.message AND r.agent = u.agent
					AND coalesce(r.read, 0) = u.read AND coalesce(r.acked, 0) = u.acked AND coalesce(r.refused, 0) = u.refused`, args...)
		}
		if err == nil {
			_, err = t.change(ctx, `UPDATE receipt r SET due = $6 FROM `+given+
				` WHERE r.message = u.message AND r.agent = u.agent`,
				append(args, store.Micros(again))...)
		}
		return err
	})
}

// DropReceipts forgets receipts that waited too long, and those beyond the most that
// are kept.
func (s *Store) DropReceipts(ctx context.Context, to amtp.Domain, before time.Time, most, limit int) (int, error) {
	due := false
	err := s.read(ctx, func(ctx context.Context, c conn) error {
		return c.query(ctx, `SELECT EXISTS (SELECT FROM receipt WHERE domain = $1 AND due < $2)
				OR EXISTS (SELECT FROM receipt WHERE domain = $1 ORDER BY due DESC LIMIT 1 OFFSET $3)`,
			[]any{string(to), store.Micros(before), most}, []any{&due}, func() error { return nil })
	})
	if err != nil || !due {
		return 0, err
	}
	return write(ctx, s, func(ctx context.Context, t *tx) (int, error) {
		const drop = `DELETE FROM receipt WHERE (message, agent) IN (SELECT message, agent FROM receipt WHERE domain = $1 AND `
		old, err := t.change(ctx, drop+`due < $2 ORDER BY due LIMIT $3)`, string(to), store.Micros(before), limit)
		if err != nil {
			return 0, err
		}
		over, err := t.change(ctx,
			drop+
				`due <= (SELECT due FROM receipt WHERE domain = $1 ORDER BY due DESC LIMIT 1 OFFSET $2) ORDER BY due LIMIT $3)`,
			string(to), most, limit)
		return int(old + over), err
	})
}

// TakeReceipts applies the receipts that the gateway of a domain sent. It changes only
// rows that are still as they were when they were read.
func (s *Store) TakeReceipts(ctx context.Context, from amtp.Domain, list []gateway.Receipt,
	now time.Time) (int, error) {
	var told []store.ReceiptChange
	err := s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		told, err = c.told(ctx, from, list, store.Micros(now))
		return err
	})
	if err != nil || len(told) == 0 {
		return 0, err
	}
	slices.SortFunc(told, func(a, b store.ReceiptChange) int { return cmp.Compare(a.Seq, b.Seq) })
	return write(ctx, s, func(ctx context.Context, t *tx) (int, error) {
		n, err := t.change(ctx, `WITH held AS MATERIALIZED (SELECT u.* FROM
				unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
				u (seq, was, state, changed, delivered, acked, read, refused) JOIN delivery d ON d.seq = u.seq
				WHERE d.state = u.was ORDER BY d.seq FOR UPDATE OF d)
			UPDATE delivery d SET state = held.state, changed = held.changed, delivered = coalesce(nullif(held.delivered, 0), d.delivered),
				acked = coalesce(nullif(held.acked, 0), d.acked), read = coalesce(nullif(held.read, 0), d.read),
				refused = coalesce(nullif(held.refused, 0), d.refused)
			FROM held WHERE d.seq = held.seq AND d.state = held.was`,
			column(told, func(t *store.ReceiptChange) int64 { return t.Seq }),
			column(told, func(t *store.ReceiptChange) int16 { return int16(t.Was) }),
			column(told, func(t *store.ReceiptChange) int16 { return int16(t.State) }),
			column(told, func(t *store.ReceiptChange) int64 { return t.Changed }),
			column(told, func(t *store.ReceiptChange) int64 { return t.Delivered }),
			column(told, func(t *store.ReceiptChange) int64 { return t.Acked }),
			column(told, func(t *store.ReceiptChange) int64 { return t.Read }),
			column(told, func(t *store.ReceiptChange) int64 { return t.Refused }))
		return int(n), err
	})
}

// told returns what the receipts change.
func (c conn) told(ctx context.Context, from amtp.Domain, list []gateway.Receipt,
	now int64) (told []store.ReceiptChange, err error) {
	var items []int32
	var uuids, texts [][]byte
	for i := range list {
		if uuid, text, ok := store.ReceiptID(&list[i]); ok {
			items, uuids, texts = append(items, int32(i)), append(uuids, uuid), append(texts, []byte(text))
		}
	}
	if len(items) == 0 {
		return nil, nil
	}
	// The canonical id comes before an id under which a message was sent.
	row := make(map[int32]int64, len(items))
	var item int32
	var message int64
	err = c.query(ctx,
		`SELECT u.item, coalesce(m.id, a.message) FROM unnest($1::int[], $2::bytea[], $3::bytea[]) u (item, uuid, text)
			LEFT JOIN message m ON m.uuid = u.uuid AND m.sender_agent IS NOT NULL
			LEFT JOIN LATERAL (SELECT message FROM alias WHERE id = u.text AND agent <> 0 ORDER BY message DESC LIMIT 1) a ON m.id IS NULL
			WHERE coalesce(m.id, a.message) IS NOT NULL`, []any{items, uuids, texts}, []any{&item, &message}, func() error {
			row[item] = message
			return nil
		})
	if err != nil || len(row) == 0 {
		return nil, err
	}
	var rows []int64
	for _, message := range row {
		rows = append(rows, message)
	}
	deliveries := make(map[int64][]store.DeliveryRow)
	var d delivery
	err = c.query(ctx, `SELECT d.message, `+deliveryColumns+` FROM delivery d `+itsJob+
		` WHERE d.message = ANY ($1::bigint[]) AND d.agent = 0`,
		[]any{rows}, append([]any{&message}, d.into()...), func() error {
			deliveries[message] = append(deliveries[message], d.read())
			return nil
		})
	if err != nil {
		return nil, err
	}
	seen := make(map[int64]bool)
	for i := range list { // of two for one delivery, the first counts
		of := deliveries[row[int32(i)]]
		for k := range of {
			if t, changes := of[k].Change(from, &list[i], now); changes && !seen[t.Seq] {
				told, seen[t.Seq] = append(told, t), true
			}
		}
	}
	return told, nil
}
