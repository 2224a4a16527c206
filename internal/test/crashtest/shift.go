package crashtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
)

// A Roster records the leases that workers got, and the questions that askers sent. Its
// methods may be called from many goroutines. Faults go to the Ledger.
type Roster struct {
	ledger *Ledger

	mu        sync.Mutex
	leases    map[place]map[int]*Leased // by attempt
	finished  map[place]int             // the attempt under which a message was acknowledged
	questions map[amtp.MessageID]*question
	counts    ShiftCounts
}

// ShiftCounts say how much a roster covers.
type ShiftCounts struct{ Claimed, Again, Finished, Stale, Returned, Abandoned, Asked, Answered, InTime, Notices int }

// Leased is one lease, with the times by which the gateway gave it.
type Leased struct {
	Token       string
	From, Until time.Time
	returned    bool // given back, or perhaps given back
}

// question is a message with a deadline.
type question struct {
	due      time.Time
	answered bool // an answer was sent, and perhaps accepted
	inTime   bool // an answer was accepted before the deadline
}

// NewRoster returns an empty roster.
func NewRoster(l *Ledger) *Roster {
	return &Roster{ledger: l, leases: make(map[place]map[int]*Leased), finished: make(map[place]int),
		questions: make(map[amtp.MessageID]*question)}
}

// Claimed is called when a claim was answered with a message.
func (r *Roster) Claimed(box amtp.Address, name string, attempt int, l Leased) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := place{box.Key(), name}
	known := r.leases[at]
	if known == nil {
		known = make(map[int]*Leased)
		r.leases[at] = known
	}
	if known[attempt] != nil {
		r.ledger.Fault("%s was claimed twice as attempt %d, until %v and until %v", name, attempt, known[attempt].Until,
			l.Until)
	}
	if r.counts.Claimed++; len(known) > 0 {
		r.counts.Again++
	}
	known[attempt] = &l
}

// Newest returns the last attempt that is known, of a request that starts now.
func (r *Roster) Newest(box amtp.Address, name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := 0
	for attempt := range r.leases[place{box.Key(), name}] {
		newest = max(newest, attempt)
	}
	return newest
}

// Returned is called when a message was given back, or perhaps was.
func (r *Roster) Returned(box amtp.Address, name string, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[place{box.Key(), name}][attempt].returned = true
	r.counts.Returned++
}

// Finished is called when an acknowledgement under a lease was confirmed. newest is the
// last attempt that was known when the request began. tries says how often it was sent.
func (r *Roster) Finished(box amtp.Address, name string, attempt, newest, tries int, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := place{box.Key(), name}
	l, before := r.leases[at][attempt], r.finished[at]
	switch {
	case newest > attempt:
		r.ledger.Fault("%s was acknowledged under attempt %d after attempt %d began", name, attempt, newest)
	case before != 0 && before != attempt:
		r.ledger.Fault("%s was acknowledged under attempt %d and then under attempt %d", name, before, attempt)
	case before == 0 && tries == 1 && began.After(l.Until):
		r.ledger.Fault("%s was acknowledged %v after the end of its lease", name, began.Sub(l.Until))
	case before == 0 && tries == 1 && l.returned:
		r.ledger.Fault("%s was acknowledged under attempt %d, which was given back", name, attempt)
	}
	if before == 0 {
		r.finished[at] = attempt
		r.counts.Finished++
	}
}

// Refused is called when an acknowledgement was refused because the lease was lost. The
// answer came at the time ended.
func (r *Roster) Refused(box amtp.Address, name string, attempt, tries int, ended time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := place{box.Key(), name}
	r.counts.Stale++
	if l := r.leases[at][attempt]; tries == 1 && !l.returned && ended.Before(l.Until) {
		r.ledger.Fault("the lease on %s was refused %v before its end, attempt %d", name, l.Until.Sub(ended), attempt)
	}
}

// Asked is called before a message with a deadline is sent.
func (r *Roster) Asked(id amtp.MessageID, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.questions[id] = &question{due: due}
}

// Answering is called before a message is answered, and reports whether it has a
// deadline. Answered is called when the answer was accepted.
func (r *Roster) Answering(id amtp.MessageID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.questions[id]
	if q != nil {
		q.answered = true
	}
	return q != nil
}

// Answered is called when an answer was accepted.
func (r *Roster) Answered(id amtp.MessageID, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.questions[id]
	r.counts.Answered++
	if at.Before(q.due) && !q.inTime {
		q.inTime = true
		r.counts.InTime++
	}
}

// Settle compares the leases with each other, and the questions that were accepted with
// the notices that came about each.
func (r *Roster) Settle(notices map[amtp.MessageID]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, known := range r.leases {
		r.settleLeases(at, known)
	}
	r.ledger.mu.Lock()
	accepted := make(map[amtp.MessageID]string)
	for id, name := range r.ledger.byID {
		accepted[id] = name
	}
	r.ledger.mu.Unlock()
	for id, q := range r.questions {
		name, n := accepted[id], notices[id]
		r.counts.Asked++
		r.counts.Notices += n
		switch {
		case n > 1:
			r.ledger.Fault("there are %d notices that no answer came to %s", n, id)
		case n == 1 && q.inTime:
			r.ledger.Fault("there is a notice that no answer came to %s, which was answered in time", name)
		case n == 0 && name != "" && !q.answered:
			r.ledger.Fault("there is no notice that no answer came to %s", name)
		}
	}
	for id := range notices {
		if r.questions[id] == nil {
			r.ledger.Fault("there is a notice about %s, which has no deadline", id)
		}
	}
}

// settleLeases checks that no two leases of a message were live at once.
func (r *Roster) settleLeases(at place, known map[int]*Leased) {
	attempts := make([]int, 0, len(known))
	for n := range known {
		attempts = append(attempts, n)
	}
	slices.SortFunc(attempts, cmp.Compare)
	for i, n := range attempts[1:] {
		before, next := known[attempts[i]], known[n]
		if before.Token == next.Token {
			r.ledger.Fault("%s has the same token in attempts %d and %d", at.name, attempts[i], n)
		}
		if !before.returned && next.From.Before(before.Until) {
			r.ledger.Fault("%s is under two live leases: attempt %d begins %v before the end of attempt %d", at.name, n,
				before.Until.Sub(next.From), attempts[i])
		}
	}
}

// Counts returns how much the roster covers.
func (r *Roster) Counts() ShiftCounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// The habits of workers.
const (
	shortLease = time.Second // the least that a gateway allows
	longLease  = 4 * time.Second
)

// A Worker claims messages of a shared mailbox with the key of one of its members. The
// address of its Agent is that of the mailbox.
type Worker struct {
	*Agent
	Roster *Roster
	Rand   *rand.Rand
	late   []task // which it left, and acknowledges after the end of the lease
}

// task is a message under a lease.
type task struct {
	item    Item
	sender  amtp.Address
	attempt int
	Leased
}

// Run works until stop is closed or ctx ends. At the end it acknowledges what it left, too
// late.
func (w *Worker) Run(ctx context.Context, stop <-chan struct{}) {
	defer func() {
		for _, t := range w.late {
			pause(ctx, time.Until(t.Until)+time.Millisecond)
			w.finish(ctx, t)
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-stop:
			return
		default:
		}
		visibility := longLease
		if w.Rand.IntN(2) == 0 {
			visibility = shortLease
		}
		tasks, err := w.claim(ctx, amtp.ClaimQuery{Max: 1 + w.Rand.IntN(4), Visibility: visibility,
			Wait: 200 * time.Millisecond})
		if err != nil {
			w.fault(ctx, "claiming from %s: %v", w.Address, err)
			return
		}
		for _, t := range tasks {
			w.work(ctx, t, visibility)
		}
		w.comeBack(ctx)
	}
}

// claim claims messages until there is an answer.
func (w *Worker) claim(ctx context.Context, q amtp.ClaimQuery) ([]task, error) {
	var answer amtp.Claims
	var since Moment
	err := w.until(ctx, func(ctx context.Context, c *amtp.Client) (err error) {
		since = w.ledger.Now()
		answer, err = c.Claim(ctx, w.Address, q)
		return err
	})
	var tasks []task
	var items []Item
	for i := range answer.Messages {
		m := &answer.Messages[i]
		var content struct{ Name string }
		if err := json.Unmarshal(m.Payload, &content); err != nil || m.Lease == nil {
			return nil, fmt.Errorf("the message %s has the lease %v and the payload %s", m.MessageID, m.Lease,
				m.Payload)
		}
		t := task{item: Item{content.Name, m.MessageID, m.Payload}, sender: m.Sender, attempt: m.Lease.Attempt,
			Leased: Leased{Token: m.Lease.Token, From: m.Lease.Until.Add(-q.Visibility), Until: m.Lease.Until.Time}}
		w.Roster.Claimed(w.Address, t.item.Name, t.attempt, t.Leased)
		tasks, items = append(tasks, t), append(items, t.item)
	}
	w.ledger.Seen(w.Address, items, since)
	return tasks, err
}

// work does something with a message: most often what it asks for, and sometimes nothing.
func (w *Worker) work(ctx context.Context, t task, visibility time.Duration) {
	switch luck := w.Rand.IntN(8); {
	case luck < 2 && visibility == shortLease:
		w.late = append(w.late, t)
	case luck == 2 && visibility == shortLease:
		w.Roster.mu.Lock()
		w.Roster.counts.Abandoned++
		w.Roster.mu.Unlock()
	case luck == 3:
		w.giveBack(ctx, t)
	default:
		if w.Rand.IntN(2) == 0 && w.Roster.Answering(t.item.ID) {
			w.answer(ctx, t)
		}
		w.finish(ctx, t)
	}
}

// comeBack acknowledges messages that it left, when their leases have ended.
func (w *Worker) comeBack(ctx context.Context) {
	w.late = slices.DeleteFunc(w.late, func(t task) bool {
		if time.Now().Before(t.Until) {
			return false
		}
		w.finish(ctx, t)
		return true
	})
}

// finish acknowledges a message under its lease.
func (w *Worker) finish(ctx context.Context, t task) {
	newest, began, tries := w.Roster.Newest(w.Address, t.item.Name), time.Now(), 0
	err := w.until(ctx, func(ctx context.Context, c *amtp.Client) error {
		tries++
		_, err := c.AckClaimed(ctx, w.Address, t.item.ID, t.Token)
		return err
	})
	var refused *amtp.Error
	switch {
	case err == nil:
		w.Roster.Finished(w.Address, t.item.Name, t.attempt, newest, tries, began)
		w.ledger.Acknowledged(w.Address, t.item.Name)
	case errors.As(err, &refused) && refused.Code == amtp.CodeLeaseLost:
		w.Roster.Refused(w.Address, t.item.Name, t.attempt, tries, time.Now())
	default:
		w.fault(ctx, "acknowledging %s for %s: %v", t.item.Name, w.Address, err)
	}
}

// giveBack ends the lease on a message.
func (w *Worker) giveBack(ctx context.Context, t task) {
	w.Roster.Returned(w.Address, t.item.Name, t.attempt)
	err := w.until(ctx, func(ctx context.Context, c *amtp.Client) error {
		_, err := c.Nack(ctx, w.Address, t.item.ID, t.Token, 0, "no time")
		return err
	})
	var refused *amtp.Error
	if err != nil && (!errors.As(err, &refused) || refused.Code != amtp.CodeLeaseLost) {
		w.fault(ctx, "giving back %s to %s: %v", t.item.Name, w.Address, err)
	}
}

// answer answers a question in the name of the mailbox. Each answer to one question is the
// same.
func (w *Worker) answer(ctx context.Context, t task) {
	err := w.until(ctx, func(ctx context.Context, c *amtp.Client) error {
		_, err := c.Send(ctx, amtp.Message{Sender: w.Address, Recipients: []amtp.Address{t.sender},
			InReplyTo: t.item.ID, IdempotencyKey: "answer-" + string(t.item.ID), Payload: []byte(`"42"`)})
		return err
	})
	if err != nil {
		w.fault(ctx, "answering %s: %v", t.item.Name, err)
		return
	}
	w.Roster.Answered(t.item.ID, time.Now())
}

// Empty claims and acknowledges all that is left in the mailbox, also what returns when
// its lease ends.
func (w *Worker) Empty(ctx context.Context) error {
	for {
		tasks, err := w.claim(ctx, amtp.ClaimQuery{Max: 100, Visibility: longLease, Wait: time.Second})
		if err != nil {
			return err
		}
		for _, t := range tasks {
			w.finish(ctx, t)
		}
		if len(tasks) > 0 {
			continue
		}
		if whole, err := w.Whole(ctx); err != nil || len(whole) == 0 {
			return err
		}
	}
}

// An Asker sends messages to a mailbox that want an answer soon.
type Asker struct {
	*Agent
	Box    amtp.Address
	Roster *Roster
	Rand   *rand.Rand
	sent   int
}

// Run asks until stop is closed or ctx ends.
func (a *Asker) Run(ctx context.Context, stop <-chan struct{}) {
	for ctx.Err() == nil {
		select {
		case <-stop:
			return
		default:
		}
		a.sent++
		name := fmt.Sprintf("%s-%d", a.Address.Local(), a.sent)
		due := time.Now().Add(time.Duration(a.Rand.Int64N(int64(4 * time.Second)))).UTC().Truncate(time.Millisecond)
		m := amtp.Message{
			MessageID: amtp.NewMessageID(), Sender: a.Address, Recipients: []amtp.Address{a.Box}, Subject: name,
			Headers: fmt.Appendf(nil, `{%q:%q}`, amtp.HeaderAnswerBy, due.Format(time.RFC3339Nano)),
			Payload: fmt.Appendf(nil, `{"name":%q}`, name),
		}
		a.ledger.Attempt(name, m.Recipients, m.Payload)
		a.Roster.Asked(m.MessageID, due)
		err := a.until(ctx, func(ctx context.Context, c *amtp.Client) error {
			r, err := c.Send(ctx, m)
			if err == nil {
				a.ledger.Accepted(name, r.MessageID, r.Replayed)
			}
			return err
		})
		if err != nil {
			a.fault(ctx, "asking %s: %v", name, err)
			return
		}
		pause(ctx, askPause)
	}
}

// askPause is the time between two questions of an asker. So the notices of a long run
// stay few enough to be read.
const askPause = 30 * time.Millisecond

// Notices returns how many notices about each message are in the asker's inbox.
func (a *Asker) Notices(ctx context.Context, notices map[amtp.MessageID]int) error {
	for q := (amtp.InboxQuery{Limit: 1000}); ; {
		var page amtp.InboxPage
		err := a.until(ctx, func(ctx context.Context, c *amtp.Client) (err error) {
			page, err = c.Inbox(ctx, a.Address, q)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page.Messages {
			var content struct {
				Type     string         `json:"message_type"`
				Original amtp.MessageID `json:"original_message_id"`
			}
			_ = json.Unmarshal(page.Messages[i].Payload, &content) // an answer is only a text
			if content.Type == amtp.TypeAnswerDeadline {
				notices[content.Original]++
			}
		}
		if !page.HasMore {
			return nil
		}
		q.After = page.NextCursor
	}
}
