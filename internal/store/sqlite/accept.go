package sqlite

import (
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// needsCompare asks the caller to compare two messages whose bytes differ. The writer
// does not compare them, because that takes long and all other writes wait for it.
type needsCompare struct{ row int64 }

func (d needsCompare) Error() string { return "another message may have the same content" }

// Accept stores a message or recognises it as a retry.
func (s *Store) Accept(ctx context.Context, a gateway.Acceptance) (gateway.Accepted, error) {
	if err := s.refusePaused(); err != nil {
		return gateway.Accepted{}, err
	}
	p, err := store.NewIncoming(a)
	if err != nil {
		return gateway.Accepted{}, err
	}
	s.watch.See(a.ReceivedAt)
	write := s.write
	if a.SenderAgent == 0 {
		write = s.writeBackground
	}
	for {
		if err := s.dir.Ended(a.By); err != nil {
			return gateway.Accepted{}, err
		}
		var out gateway.Accepted
		err := write(ctx, len(a.Message.Raw())+512, func(w *writer) (err error) {
			out, err = w.accept(p)
			return err
		})
		var doubt needsCompare
		if !errors.As(err, &doubt) {
			if err != nil {
				return gateway.Accepted{}, err
			}
			return out, nil
		}
		if err := s.compare(ctx, p, doubt.row); err != nil {
			return gateway.Accepted{}, err
		}
	}
}

func (w *writer) accept(a *store.Incoming) (gateway.Accepted, error) {
	if w.reserve.refuses() {
		return gateway.Accepted{}, gateway.ErrFull
	}
	recipients := slices.DeleteFunc(slices.Clone(a.Recipients), func(r gateway.Recipient) bool {
		return r.Agent != 0 && !w.lives(r.Agent)
	})
	if a.SenderAgent != 0 && !w.lives(a.SenderAgent) {
		recipients = nil
	}
	prior, taken, err := store.Recognise(context.Background(), a, lookups{w}, len(recipients) > 0)
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
	to := addressing{Incoming: a, message: w.next.message, id: id, before: make([]gateway.Delivery, 0, len(recipients))}
	w.next.message++
	for _, r := range recipients {
		if err := w.deliver(&to, r); err != nil {
			return gateway.Accepted{}, err
		}
	}
	for _, l := range a.Later {
		_, err := w.insertJob(to.message, l.Destination, a.Flow(), l.At, len(a.Message.Raw()), store.WholeMessage(l.At))
		if err != nil {
			return gateway.Accepted{}, err
		}
	}
	w.keepsPrefetch = true
	return gateway.Accepted{ID: id, Deliveries: to.before}, nil
}

// insertMessage inserts the message's row under the next number, and returns its
// canonical id.
func (w *writer) insertMessage(a *store.Incoming, taken bool) (amtp.MessageID, error) {
	canonical, given := a.Name(taken)
	thread, err := w.thread(a, a.SenderAgent)
	if err != nil {
		return "", err
	}
	_,
		err = w.exec(`INSERT INTO message (id, uuid, sender_agent, sender, class, trust, authentication, received, stamped,
			request, given_id, subject, in_reply_to, thread, body, author, priority)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.next.message, canonical[:], optional(int64(a.SenderAgent)), optional(a.From()), int64(a.Class),
		store.TrustCode(&a.Envelope), optional(store.Finding(a.Class, a.Found)), store.Micros(a.ReceivedAt),
		optional(a.Stamp()), int64(a.RequestID), optional(given), optional(a.Subject), optional(string(a.InReplyTo)),
		optional(thread), a.Message.Raw(), optional(int64(a.Author)), optional(int64(gateway.PriorityOf(a.Message))))
	id := amtp.MessageID(canonical.String())
	if err == nil && given != "" {
		err = w.name(alias{agent: a.SenderAgent, sender: a.From(), variant: a.Variant(),
			message: w.next.message}, given)
	}
	return id, err
}

// alias is a message with the sender that finds it under other ids.
type alias struct {
	agent   gateway.AgentID
	sender  string
	variant []byte
	message int64
}

// name adds an id under which the message is found.
func (w *writer) name(a alias, id string) error {
	_,
		err := w.exec(`INSERT INTO alias (id, agent, sender, variant, message) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		id, int64(a.agent), a.sender, a.variant, a.message)
	return err
}

// nameAbroad adds the ids under which a message of an agent here is sent to the
// recipient of a delivery.
func (w *writer) nameAbroad(message int64, by gateway.AgentID, id amtp.MessageID, d *gateway.Delivery) error {
	for _, name := range store.Names(d, id) {
		if err := w.name(alias{agent: by, variant: []byte{}, message: message}, string(name)); err != nil {
			return err
		}
	}
	return nil
}

// addressing is a message whose deliveries are being stored.
type addressing struct {
	*store.Incoming
	message int64
	id      amtp.MessageID
	known   bool // the message was stored before, and may have jobs
	jobs    map[gateway.Destination]gateway.JobID
	before  []gateway.Delivery // the deliveries that it has so far
}

// deliver stores the delivery to a recipient. It is in the inbox of a pull agent at
// once. Any other delivery waits for the message's job for its destination.
func (w *writer) deliver(to *addressing, r gateway.Recipient) error {
	at := store.Micros(to.ReceivedAt)
	home, mode := w.dir.Address(r.Agent)
	d, destination := store.NewDelivery(r, home, mode, at)
	d.Further = store.Further(to.before, r)
	to.before = append(to.before, d)
	if r.Agent != 0 {
		if err := w.noteAcquaintance(to, r.Agent); err != nil {
			return err
		}
	}
	if destination == "" {
		return w.box(to, r.Agent)
	}
	job, err := w.jobFor(to, destination)
	if err != nil {
		return err
	}
	thread, address := "", ""
	if r.Agent == 0 {
		address = r.Address.String()
		contact := store.Contact{Agent: to.SenderAgent, Domain: r.Address.Domain()}
		if err := w.noteContact(to.Message, contact); err != nil {
			return err
		}
		err = w.nameAbroad(to.message, to.SenderAgent, to.id, &d)
	} else {
		thread, err = w.thread(to.Incoming, r.Agent)
	}
	if err != nil {
		return err
	}
	_, err = w.exec(`INSERT INTO delivery (seq, message, agent, address, state, changed, job, thread, pushed, further)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.next.delivery, to.message, int64(r.Agent), optional(address), int64(gateway.Queued), at, int64(job),
		optional(thread), optional(store.Bit(r.Agent != 0)), optional(store.Bit(d.Further)))
	w.next.delivery++
	return err
}

// box stores a delivery in the inbox of a local agent.
func (w *writer) box(to *addressing, agent gateway.AgentID) error {
	thread, err := w.thread(to.Incoming, agent)
	if err != nil {
		return err
	}
	_, err = w.exec(`INSERT INTO delivery (seq, message, agent, state, changed, thread) VALUES (?, ?, ?, ?, ?, ?)`,
		w.next.delivery, to.message, int64(agent), int64(gateway.Delivered), store.Micros(to.ReceivedAt),
		optional(thread))
	w.rings = append(w.rings, store.Entry{Agent: agent, Seq: w.next.delivery})
	w.next.delivery++
	return err
}

// parent returns the row of the message that a answers, 0 when it is not stored here.
// The id means what it means to the sender. For a sender in another domain, an id that
// the sender itself gave comes first, because another sender may have used it before.
func (w *writer) parent(a *store.Incoming) (row int64, err error) {
	if a.InReplyTo == "" {
		return 0, nil
	}
	if a.SenderAgent == 0 {
		if row, err = w.alias(a, 0); err != nil || row != 0 {
			return row, err
		}
	}
	if u, ok := a.InReplyTo.UUID(); ok {
		err = w.query(`SELECT id FROM message WHERE uuid = ?`, func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, u[:])
	}
	if err != nil || row != 0 || a.SenderAgent == 0 {
		return row, err
	}
	return w.alias(a, a.SenderAgent)
}

// alias returns the row of the message that a answers, found by the id that its author
// gave it or under which it was sent. The author is a local agent, or a's own sender
// for 0. The row is 0 when there is none.
func (w *writer) alias(a *store.Incoming, author gateway.AgentID) (row int64, err error) {
	sender := ""
	if author == 0 {
		sender = a.From()
	}
	err = w.query(`SELECT message FROM alias WHERE id = ? AND agent = ? AND sender = ? ORDER BY length(variant), message DESC LIMIT 1`,
		func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, string(a.InReplyTo), int64(author), sender)
	return row, err
}

// thread returns the thread that a joins in an agent's mailbox. It is the thread of its
// parent if that is in the mailbox, else the id that a answers. "" means that the
// message starts its own thread.
func (w *writer) thread(a *store.Incoming, agent gateway.AgentID) (string, error) {
	if a.InReplyTo == "" {
		return "", nil
	}
	thread := string(a.InReplyTo)
	parent, err := w.parent(a)
	if err == nil && parent == 0 && a.SenderAgent == 0 && agent != 0 {
		parent, err = w.alias(a, agent) // by an id under which it was sent from this mailbox
	}
	if err != nil || parent == 0 || agent == 0 {
		return thread, err
	}
	err = w.query(`SELECT CASE WHEN m.sender_agent = ?1 THEN m.thread ELSE d.thread END, m.uuid
		FROM message m LEFT JOIN delivery d INDEXED BY delivery_message ON d.message = m.id AND d.agent = ?1
		WHERE m.id = ?2 AND (m.sender_agent = ?1 OR d.agent IS NOT NULL)`,
		func(s *sqlite3.Stmt) error {
			if thread = s.ColumnText(0); thread == "" {
				thread = string(store.MessageID(s.ColumnRawBlob(1)))
			}
			return nil
		}, int64(agent), parent)
	return thread, err
}
