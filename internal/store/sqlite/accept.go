package sqlite

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"
)

// acceptance is a gateway.Acceptance with what can be computed before the
// writer's turn.
type acceptance struct {
	gateway.Acceptance
	content []byte   // the fingerprint, for a sender nobody vouches for; else nil
	dedup   [16]byte // when there is a key
	given   uuid.UUID
	isUUID  bool // GivenID is a UUID, given
	// same says of the messages that the writer was in doubt about whether
	// they have a's content.
	same map[int64]bool
}

// doubtful is what the writer answers instead of comparing two messages that
// are not the same to the byte: that takes long, and everybody waits for it.
type doubtful struct{ row int64 }

func (d doubtful) Error() string { return "another message may have the same content" }

// Accept stores a message or recognises it as a retry.
func (s *Store) Accept(ctx context.Context, a gateway.Acceptance) (gateway.Accepted, error) {
	if err := s.refusePaused(); err != nil {
		return gateway.Accepted{}, err
	}
	p := acceptance{Acceptance: a}
	if a.Class == gateway.ClassAnonymous && (a.Key != "" || a.GivenID != "") {
		sum, err := a.Message.Fingerprint()
		if err != nil {
			return gateway.Accepted{}, err
		}
		p.content = sum[:16]
	}
	if a.Key != "" {
		p.dedup = store.DedupKey(a.Class, a.SenderAgent, remoteSender(&a.Envelope), a.Key, p.content)
	}
	p.given, p.isUUID = a.GivenID.UUID()
	for {
		var out gateway.Accepted
		err := s.write(ctx, len(a.Message.Raw())+512, func(w *writer) (err error) {
			out, err = w.accept(&p)
			return err
		})
		var doubt doubtful
		if !errors.As(err, &doubt) {
			if err != nil {
				return gateway.Accepted{}, err
			}
			return out, nil
		}
		if err := s.compare(ctx, &p, doubt.row); err != nil {
			return gateway.Accepted{}, err
		}
	}
}

// compare finds out whether the stored message has a's content.
func (s *Store) compare(ctx context.Context, a *acceptance, row int64) error {
	var same bool
	err := s.read(ctx, func(r *reader) (err error) {
		same, err = r.sameContent(a.Message, row)
		return err
	})
	if err != nil {
		return err
	}
	if a.same == nil {
		a.same = make(map[int64]bool, 1)
	}
	a.same[row] = same
	return nil
}

// remoteSender returns the sender's address unless it is a local agent.
func remoteSender(e *gateway.Envelope) string {
	if e.SenderAgent != 0 {
		return ""
	}
	return e.Sender.Key()
}

func (w *writer) accept(a *acceptance) (gateway.Accepted, error) {
	if w.reserve.refuses() {
		return gateway.Accepted{}, gateway.ErrFull
	}
	recipients := slices.DeleteFunc(slices.Clone(a.Recipients), func(r gateway.Recipient) bool { return !w.lives(r.Agent) })
	prior, taken, err := w.prior(a, len(recipients) > 0)
	if err != nil {
		return gateway.Accepted{}, err
	}
	if prior != 0 {
		return w.repeat(a, prior, recipients)
	}
	if len(recipients) == 0 {
		return gateway.Accepted{}, gateway.ErrNotFound
	}
	id, err := w.insertMessage(a, taken)
	if err != nil {
		return gateway.Accepted{}, err
	}
	row := w.next.message
	w.next.message++
	deliveries := make([]gateway.Delivery, len(recipients))
	for i, r := range recipients {
		if deliveries[i], err = w.deliver(a, row, r.Agent); err != nil {
			return gateway.Accepted{}, err
		}
	}
	return gateway.Accepted{ID: id, Deliveries: deliveries}, nil
}

// prior returns the row of the message that a repeats, 0 for none, and whether
// a's given id already is some other message's. A new idempotency key is
// remembered on the way if keep is set, for the message that a repeats or else
// for the next row. Nothing was changed when it returns an error.
func (w *writer) prior(a *acceptance, keep bool) (row int64, taken bool, err error) {
	if a.GivenID != "" {
		if row, taken, err = w.priorByID(a); err != nil {
			return 0, false, err
		}
	}
	if a.Key == "" {
		return row, taken, nil
	}
	if keep {
		target, used := w.next.message, any(null{})
		if row != 0 { // a further key, which the stored body does not tell
			target, used = row, store.Micros(a.ReceivedAt)
		}
		added, err := w.exec(`INSERT INTO dedup (key, message, used) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, a.dedup[:], target, used)
		if err != nil || added == 1 {
			return row, taken, err
		}
	}
	var keyed int64
	err = w.query(`SELECT message FROM dedup WHERE key = ?`, func(s *sqlite3.Stmt) error {
		keyed = s.ColumnInt64(0)
		return nil
	}, a.dedup[:])
	if err != nil {
		return 0, false, err
	}
	if keyed == 0 {
		return row, taken, nil
	}
	if row != 0 && row != keyed {
		return 0, false, gateway.ErrReused
	}
	same, err := w.same(a, keyed)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return keyed, taken, err
}

// priorByID looks for the sender's earlier message under the id that it gives.
func (w *writer) priorByID(a *acceptance) (row int64, taken bool, err error) {
	if a.isUUID {
		mine := false
		err = w.query(`SELECT id, class, sender_agent, sender FROM message WHERE uuid = ?`, func(s *sqlite3.Stmt) error {
			taken = true
			mine = gateway.Class(s.ColumnInt64(1)) == a.Class && gateway.AgentID(s.ColumnInt64(2)) == a.SenderAgent &&
				s.ColumnText(3) == remoteSender(&a.Envelope)
			row = s.ColumnInt64(0)
			return nil
		}, a.given[:])
		if err != nil {
			return 0, false, err
		}
		if mine {
			same, err := w.same(a, row)
			if err != nil || same {
				return row, true, err
			}
			if a.Class != gateway.ClassAnonymous {
				return 0, true, gateway.ErrReused
			}
		}
	}
	row, err = w.aliased(a)
	if row == 0 || err != nil {
		return 0, taken, err
	}
	same, err := w.same(a, row)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return row, taken, err
}

func (w *writer) aliased(a *acceptance) (row int64, err error) {
	err = w.query(`SELECT message FROM alias WHERE id = ? AND agent = ? AND sender = ? AND variant = ?`,
		func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, string(a.GivenID), int64(a.SenderAgent), remoteSender(&a.Envelope), a.variant())
	return row, err
}

// variant tells apart the messages that strangers send under one id.
func (a *acceptance) variant() []byte {
	if a.content == nil {
		return []byte{}
	}
	return a.content
}

// same reports whether the stored message has a's content. Retries nearly
// always have the same bytes; anything else is doubtful and compared by the
// caller, who then comes again.
func (w *writer) same(a *acceptance, row int64) (same bool, err error) {
	if same, known := a.same[row]; known {
		return same, nil
	}
	err = w.query(`SELECT body FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		same = bytes.Equal(s.ColumnRawBlob(0), a.Message.Raw())
		return nil
	}, row)
	if err == nil && !same {
		err = doubtful{row}
	}
	return same, err
}

// sameContent compares a message with a stored one by fingerprint.
func (c *statements) sameContent(m *amtp.Message, row int64) (bool, error) {
	var body, kept []byte
	err := c.query(`SELECT body, fingerprint FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		body, kept = s.ColumnBlob(0, nil), s.ColumnBlob(1, nil)
		return nil
	}, row)
	if err != nil {
		return false, err
	}
	now, err := m.Fingerprint()
	if err != nil {
		return false, err
	}
	if len(body) == 0 {
		return string(kept) == string(now[:]), nil
	}
	stored, refused := amtp.ParseMessage(body)
	if refused != nil {
		return false, refused
	}
	then, err := stored.Fingerprint()
	return then == now, err
}

// insertMessage writes the message's row under the next number and returns its
// canonical id.
func (w *writer) insertMessage(a *acceptance, taken bool) (amtp.MessageID, error) {
	canonical, given := a.given, ""
	if !a.isUUID || taken {
		canonical, _ = a.ID.UUID()
		given = string(a.GivenID)
	} else if id := amtp.MessageID(canonical.String()); id != a.GivenID {
		given = string(a.GivenID) // the same UUID in other letters
	}
	thread, err := w.thread(a, a.SenderAgent)
	if err != nil {
		return "", err
	}
	_, err = w.exec(`INSERT INTO message (id, uuid, sender_agent, sender, class, trust, authentication, received, stamped,
			request, given_id, subject, in_reply_to, thread, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.next.message, canonical[:], optional(int64(a.SenderAgent)), optional(remoteSender(&a.Envelope)), int64(a.Class),
		store.TrustCode(a.Trust), optional(store.Authentication(a.Class, a.Authentication)), store.Micros(a.ReceivedAt),
		optional(stamp(&a.Envelope)), int64(a.RequestID), optional(given), optional(a.Subject), optional(string(a.InReplyTo)),
		optional(thread), a.Message.Raw())
	if err == nil && given != "" {
		_, err = w.exec(`INSERT INTO alias (id, agent, sender, variant, message) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			given, int64(a.SenderAgent), remoteSender(&a.Envelope), a.variant(), w.next.message)
	}
	return amtp.MessageID(canonical.String()), err
}

// stamp returns the sender's timestamp where it differs from ours, else 0.
func stamp(e *gateway.Envelope) int64 {
	if e.Timestamp.Equal(e.ReceivedAt) {
		return 0
	}
	return store.Micros(e.Timestamp)
}

// deliver puts the message into a local agent's inbox.
func (w *writer) deliver(a *acceptance, message int64, agent gateway.AgentID) (gateway.Delivery, error) {
	thread, err := w.thread(a, agent)
	if err != nil {
		return gateway.Delivery{}, err
	}
	now := store.Micros(a.ReceivedAt)
	_, err = w.exec(`INSERT INTO delivery (seq, message, agent, state, changed, thread) VALUES (?, ?, ?, ?, ?, ?)`,
		w.next.delivery, message, int64(agent), int64(gateway.Delivered), now, optional(thread))
	if err != nil {
		return gateway.Delivery{}, err
	}
	w.next.delivery++
	w.rings = append(w.rings, agent)
	address, mode := w.dir.address(agent)
	at := store.FromMicros(now)
	return gateway.Delivery{
		Recipient: address, Agent: agent, Mode: mode, State: gateway.Delivered, Changed: at, Delivered: at, Attempts: 1,
	}, nil
}

// parent returns the row of the message that a answers, 0 when there is none
// here. The id means what it means to the sender.
func (w *writer) parent(a *acceptance) (row int64, err error) {
	if a.InReplyTo == "" {
		return 0, nil
	}
	found := func(s *sqlite3.Stmt) error {
		row = s.ColumnInt64(0)
		return nil
	}
	if u, ok := a.InReplyTo.UUID(); ok {
		err = w.query(`SELECT id FROM message WHERE uuid = ?`, found, u[:])
	}
	if err != nil || row != 0 {
		return row, err
	}
	err = w.query(`SELECT message FROM alias WHERE id = ? AND agent = ? AND sender = ? ORDER BY length(variant), message DESC LIMIT 1`,
		found, string(a.InReplyTo), int64(a.SenderAgent), remoteSender(&a.Envelope))
	return row, err
}

// thread returns the thread that a joins in an agent's mailbox: that of its
// parent if that is in the mailbox, else the id it answers. "" means that the
// message begins a thread of its own.
func (w *writer) thread(a *acceptance, agent gateway.AgentID) (string, error) {
	if a.InReplyTo == "" {
		return "", nil
	}
	parent, err := w.parent(a)
	thread := string(a.InReplyTo)
	if err != nil || parent == 0 || agent == 0 {
		return thread, err
	}
	err = w.query(`SELECT CASE WHEN m.sender_agent = ?1 THEN m.thread ELSE d.thread END, m.uuid
		FROM message m LEFT JOIN delivery d INDEXED BY delivery_message ON d.message = m.id AND d.agent = ?1
		WHERE m.id = ?2 AND (m.sender_agent = ?1 OR d.agent IS NOT NULL)`,
		func(s *sqlite3.Stmt) error {
			if thread = s.ColumnText(0); thread == "" {
				thread = uuidText(s.ColumnRawBlob(1))
			}
			return nil
		}, int64(agent), parent)
	return thread, err
}

func uuidText(b []byte) string {
	u, err := uuid.FromBytes(b)
	if err != nil {
		return ""
	}
	return u.String()
}

// repeat answers a retry, and delivers to the recipients it adds.
func (w *writer) repeat(a *acceptance, row int64, recipients []gateway.Recipient) (gateway.Accepted, error) {
	record, err := w.record(w.dir, gateway.Reader{Everyone: true}, row, false)
	if err != nil {
		return gateway.Accepted{}, err
	}
	out := gateway.Accepted{ID: record.ID, Replayed: true, Deliveries: record.Deliveries}
	for _, r := range recipients {
		known := slices.ContainsFunc(record.Deliveries, func(d gateway.Delivery) bool { return d.Agent == r.Agent })
		if known {
			continue
		}
		d, err := w.deliver(a, row, r.Agent)
		if err != nil {
			return gateway.Accepted{}, err
		}
		out.Deliveries = append(out.Deliveries, d)
	}
	if len(out.Deliveries) > len(record.Deliveries) {
		// Who is added gets the content, also when its retention was over.
		_, err = w.exec(`UPDATE message SET body = ? WHERE id = ? AND body IS NULL`, a.Message.Raw(), row)
	}
	return out, err
}
