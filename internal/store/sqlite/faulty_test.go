package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/amtp-go/amtp/internal/wallclock"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// seeded returns the seed of this run and prints it. It is FAULT_SEED, or else a fixed
// seed with which the test always passes.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(1)
	if text := os.Getenv("FAULT_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			t.Fatalf("FAULT_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("to repeat: FAULT_SEED=%d", seed)
	return seed
}

// small makes checkpoints happen every few batches.
var small = Options{walSoft: 128 << 10, walHard: 512 << 10, Reserve: 64 << 10}

// scratch returns a new directory, in memory if the system can. faultfs decides what a
// disk keeps, and a thousand stores are opened.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "amtp-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// obeyed is the clock of tests that let days pass between two calls.
var obeyed = wallclock.Clock{Obeyed: true}

// made is an empty database. Creating one takes longer than most tests that need one,
// so they get copies.
var made = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "amtp-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := Open(Options{Dir: dir, Clock: obeyed})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, FileName))
})

// fresh puts an empty database into dir, unless one is there, and returns dir.
func fresh(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, FileName)
	if _, err := os.Stat(name); err == nil {
		return dir
	}
	empty, err := made()
	if err == nil {
		err = os.WriteFile(name, empty, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// openOn opens the store of dir on a disk.
func openOn(t *testing.T, d *faultfs.Disk, dir string, o Options) (*Store, error) {
	t.Helper()
	o.Dir, o.VFS = dir, d.Name
	if o.Clock.Now == nil {
		o.Clock = obeyed
	}
	t.Cleanup(func() { vfs.Unregister("amtp+" + d.Name) })
	return Open(o)
}

// mustOpenOn opens a store, which the test may also close itself.
func mustOpenOn(t *testing.T, d *faultfs.Disk, dir string, o Options) *Store {
	t.Helper()
	s, err := openOn(t, d, dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() }) // a second Close if the test closed it; the test expects any error
	return s
}

var dawn = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// addAgent registers a pull agent of that name.
func addAgent(s *Store, name string) (gateway.Agent, error) {
	address, err := amtp.ParseAddress(name + "@shop.example")
	if err != nil {
		return gateway.Agent{}, err
	}
	key := gateway.Key{ID: "key_" + name, Hash: sha256.Sum256([]byte(name)), CreatedAt: dawn, LastUsed: dawn}
	return s.AddAgent(context.Background(), gateway.Agent{Address: address, DeliveryMode: "pull", CreatedAt: dawn,
		LastActive: dawn}, key)
}

// cast returns alice, who sends, and bob, who receives, and registers them if
// necessary.
func cast(t *testing.T, s *Store) (alice, bob gateway.Agent) {
	t.Helper()
	for name, a := range map[string]*gateway.Agent{"alice": &alice, "bob": &bob} {
		address, err := amtp.ParseAddress(name + "@shop.example")
		if err != nil {
			t.Fatal(err)
		}
		if known, err := s.AgentNamed(t.Context(), address); err == nil {
			*a = *known
			continue
		}
		if *a, err = addAgent(s, name); err != nil {
			t.Fatalf("register %s: %v", name, err)
		}
	}
	return alice, bob
}

// note returns the message with that name. Its text and its size follow from the name.
func note(from, to gateway.Agent, name string) gateway.Acceptance {
	sum := sha256.Sum256([]byte(name))
	text := strings.Repeat("lorem ipsum ", int(sum[0])+int(sum[1])%8*64)
	doc, _ := json.Marshal(map[string]any{ // strings cannot fail
		"sender": from.Address.String(), "recipients": []string{to.Address.String()},
		"idempotency_key": name, "subject": name, "payload": map[string]string{"text": text},
	})
	m, refused := amtp.ParseMessage(doc)
	if refused != nil {
		panic(refused)
	}
	return gateway.Acceptance{
		Envelope: gateway.Envelope{
			ID: amtp.NewMessageID(), Sender: m.Sender, SenderAgent: from.ID, Class: gateway.ClassAgent,
			Found:      gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}},
			ReceivedAt: dawn, Timestamp: dawn, Subject: m.Subject,
		},
		Key: m.IdempotencyKey, Message: m, Recipients: []gateway.Recipient{{Agent: to.ID}},
	}
}

// letter is the ledger's knowledge of one message.
type letter struct {
	id      amtp.MessageID // "" until it was accepted
	body    string
	busy    bool // its last answer was ErrBusy: it must not be stored
	acking  bool // an acknowledgement was requested
	acked   bool // an acknowledgement was confirmed
	marking bool
	marked  bool
	cargo   *cargo // of a letter to another domain
}

// ledger is a record of the calls to a store and of its confirmations, kept outside of
// it.
type ledger struct {
	mu      sync.Mutex
	letters map[string]*letter
	clock   int      // for carry and redrive
	wrong   []string // faults that were noted
}

func newLedger() *ledger { return &ledger{letters: make(map[string]*letter)} }

// post sends the message with that name, again or for the first time.
func (l *ledger) post(s *Store, from, to gateway.Agent, name string) error {
	a := note(from, to, name)
	l.mu.Lock()
	e := l.letters[name]
	if e == nil {
		e = &letter{body: string(a.Message.Raw())}
		l.letters[name] = e
	}
	l.mu.Unlock()
	got, err := s.Accept(context.Background(), a)
	l.mu.Lock()
	defer l.mu.Unlock()
	e.busy = errors.Is(err, gateway.ErrBusy)
	if err != nil {
		return err
	}
	if e.id != "" && e.id != got.ID {
		return fmt.Errorf("%s was accepted as %s and then as %s", name, e.id, got.ID)
	}
	e.id = got.ID
	return nil
}

// ack acknowledges a message that was accepted, and mark marks it read.
func (l *ledger) ack(s *Store, to gateway.Agent, name string) error {
	e, id := l.with(name, func(e *letter) { e.acking = true })
	_, err := s.Ack(context.Background(), gateway.Acting{Agent: to.ID}, id, dawn)
	return l.confirm(err, &e.acked)
}

func (l *ledger) mark(s *Store, to gateway.Agent, name string) error {
	e, id := l.with(name, func(e *letter) { e.marking = true })
	_, err := s.MarkRead(context.Background(), gateway.Acting{Agent: to.ID}, id, dawn)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil // acknowledged in the meantime
	}
	return l.confirm(err, &e.marked)
}

func (l *ledger) with(name string, note func(*letter)) (*letter, amtp.MessageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.letters[name]
	note(e)
	return e, e.id
}

func (l *ledger) confirm(err error, what *bool) error {
	if err == nil {
		l.mu.Lock()
		*what = true
		l.mu.Unlock()
	}
	return err
}

// some returns the names of the letters that the filter accepts, in order.
func (l *ledger) some(pass func(*letter) bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, e := range l.letters {
		if pass(e) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func accepted(e *letter) bool { return e.id != "" }

// check compares a store with the ledger.
func (l *ledger) check(t *testing.T, s *Store) {
	t.Helper()
	sound(t, s)
	consistent(t, s)
	_, bob := cast(t, s)
	page, err := s.Inbox(context.Background(), gateway.Acting{Agent: bob.ID}, gateway.InboxFilter{})
	if err != nil {
		t.Fatalf("inbox: %v", err)
	}
	all, err := s.Messages(context.Background(), gateway.Reader{Everyone: true}, gateway.MessageFilter{})
	if err != nil {
		t.Fatalf("messages: %v", err)
	}
	for _, fault := range l.compare(all.Messages, page.Items, s.queue(t)) {
		t.Error(fault)
	}
}

// compare returns the faults of a store, compared with the ledger.
func (l *ledger) compare(messages []gateway.Record, inbox []gateway.InboxItem, q queue) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list = append(list, l.wrong...)
	stored := make(map[string]gateway.Record)
	for _, r := range messages {
		if l.letters[r.Subject] == nil {
			list = append(list, r.Subject+" is stored and was never sent")
		}
		if _, twice := stored[r.Subject]; twice {
			list = append(list, r.Subject+" is stored twice")
		}
		stored[r.Subject] = r
	}
	boxed := make(map[string]gateway.InboxItem)
	for _, item := range inbox {
		if _, twice := boxed[item.Subject]; twice {
			list = append(list, item.Subject+" is in the inbox twice")
		}
		boxed[item.Subject] = item
	}
	for name, e := range l.letters {
		r, is := stored[name]
		item, in := boxed[name]
		for _, fault := range e.faults(name, r, is, item, in, q) {
			list = append(list, name+" "+fault)
		}
	}
	return list
}

// faults describes the faults in the stored state of a letter.
func (e *letter) faults(name string, r gateway.Record, stored bool, item gateway.InboxItem, in bool,
	q queue) (list []string) {
	say := func(wrong bool, what string) {
		if wrong {
			list = append(list, what)
		}
	}
	if !stored {
		say(e.id != "", "was accepted and is lost")
		say(in, "is in the inbox without being stored")
		return list
	}
	say(e.busy && e.id == "", "was refused because the disk was full, and is stored")
	say(e.id != "" && e.id != r.ID, "has another id than it was accepted with")
	if len(r.Deliveries) != 1 {
		return append(list, fmt.Sprintf("has %d deliveries and not 1", len(r.Deliveries)))
	}
	if e.cargo != nil {
		say(in, "is in an inbox and went elsewhere")
		return append(list, e.cargo.faults(name, r, q, e.id != "")...)
	}
	done := r.Deliveries[0].State == gateway.Acknowledged
	say(e.acked && !done, "lost its acknowledgement")
	say(done && !e.acking, "is acknowledged without a request")
	say(done == in, fmt.Sprintf("is acknowledged %v and in the inbox %v", done, in))
	if in {
		say(string(item.Body) != e.body, "has another body")
		say(e.marked && item.ReadAt.IsZero(), "lost its read mark")
		say(!e.marking && !item.ReadAt.IsZero(), "is marked read without a request")
	}
	return list
}

// sound has SQLite check the whole database.
func sound(t *testing.T, s *Store) {
	t.Helper()
	err := s.read(context.Background(), func(r *reader) error {
		return r.query("PRAGMA integrity_check", func(st *sqlite3.Stmt) error {
			if said := st.ColumnText(0); said != "ok" {
				t.Errorf("integrity_check: %s", said)
			}
			return nil
		})
	})
	if err != nil {
		t.Errorf("integrity_check: %v", err)
	}
}

// load calls the store from several goroutines, until a call fails or each has made its
// calls.
func (l *ledger) load(s *Store, alice, bob gateway.Agent, seed uint64, calls int) {
	var all sync.WaitGroup
	for worker := range 6 {
		chance := rand.New(rand.NewPCG(seed, uint64(worker)))
		all.Go(func() {
			for i := range calls {
				if l.step(s, alice, bob, chance, fmt.Sprintf("letter-%d-%d-%d", seed, worker, i)) != nil {
					return
				}
			}
		})
	}
	all.Wait()
}

// step makes one random call, most often with a new letter of that name.
func (l *ledger) step(s *Store, alice, bob gateway.Agent, chance *rand.Rand, name string) error {
	pick := func(pass func(*letter) bool) string {
		if names := l.some(pass); len(names) > 0 {
			return names[chance.IntN(len(names))]
		}
		return ""
	}
	switch chance.IntN(14) {
	case 0, 1:
		if name := pick(func(e *letter) bool { return accepted(e) && !e.acked && e.cargo == nil }); name != "" {
			return l.ack(s, bob, name)
		}
	case 2:
		if name := pick(func(e *letter) bool {
			return accepted(e) && !e.acked && !e.marked && e.cargo == nil
		}); name != "" {
			return l.mark(s, bob, name)
		}
	case 3:
		if name := pick(func(e *letter) bool { return e.cargo == nil }); name != "" {
			return l.post(s, alice, bob, name) // a retry
		}
	case 4, 5, 6:
		return l.mail(s, alice, name)
	case 7, 8, 9:
		return l.carry(s, chance)
	case 10:
		return l.redrive(s, chance)
	}
	return l.post(s, alice, bob, name)
}
