package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// office is a store with an agent that sends to itself.
type office struct {
	*Store
	t     *testing.T
	dir   string
	agent gateway.Agent
	sent  int
}

func openOffice(t *testing.T, dir string) *office {
	t.Helper()
	return openOfficeWith(t, Options{Dir: dir})
}

func openOfficeWith(t *testing.T, options Options) *office {
	t.Helper()
	fresh(t, options.Dir)
	s, err := Open(options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	o := &office{Store: s, t: t, dir: options.Dir}
	t.Cleanup(func() { o.Close() })
	if list := s.Agents(t.Context()); len(list) > 0 {
		o.agent = *list[0]
		return o
	}
	address, err := amtp.ParseAddress("alice@localhost")
	if err != nil {
		t.Fatal(err)
	}
	_, key := gateway.NewKey(0, time.Now())
	if o.agent, err = s.AddAgent(t.Context(), gateway.Agent{Address: address, DeliveryMode: "pull"}, key); err != nil {
		t.Fatal(err)
	}
	return o
}

// send stores one message and returns its id.
func (o *office) send(key string) (amtp.MessageID, error) {
	doc := fmt.Sprintf(`{"sender":"alice@localhost","recipients":["alice@localhost"],"idempotency_key":%q,"payload":"for the test"}`,
		key)
	m, refused := amtp.ParseMessage([]byte(doc))
	if refused != nil {
		return "", refused
	}
	now := time.Now()
	got, err := o.Accept(context.Background(), gateway.Acceptance{
		Envelope: gateway.Envelope{ID: amtp.NewMessageID(), Sender: o.agent.Address, SenderAgent: o.agent.ID,
			Class: gateway.ClassAgent,
			Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}, ReceivedAt: now,
			Timestamp: now},
		Key: key, Message: m, Recipients: []gateway.Recipient{{Agent: o.agent.ID}},
	})
	return got.ID, err
}

func (o *office) fill(n int) {
	o.t.Helper()
	for range n {
		o.sent++
		if _, err := o.send(fmt.Sprintf("k%d", o.sent)); err != nil {
			o.t.Fatalf("accept: %v", err)
		}
	}
}

func (o *office) inbox(after int64) (list []int64) {
	o.t.Helper()
	page, err := o.Inbox(o.t.Context(), gateway.Acting{Agent: o.agent.ID}, gateway.InboxFilter{After: after})
	if err != nil {
		o.t.Fatal(err)
	}
	for i := range page.Items {
		list = append(list, page.Items[i].Seq)
	}
	return list
}

// TestBackupWhileWriting makes backups under load. Each backup is sound and holds at
// least the messages that were accepted before it began.
func TestBackupWhileWriting(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(200)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := o.send(fmt.Sprintf("load-%d-%d", i, n)); err != nil {
					t.Errorf("accept during a backup: %v", err)
					return
				}
			}
		})
	}
	var last int64
	for i := range 5 {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("backup-%d", i))
		facts, err := Backup(t.Context(), o.dir, file, false)
		if err != nil {
			t.Fatalf("backup %d: %v", i, err)
		}
		if again, err := Examine(t.Context(), file); err != nil || again != facts {
			t.Errorf("the backup has %+v, %v; want %+v", again, err, facts)
		}
		if facts.Messages < 200 || facts.Messages < last || facts.Messages != facts.Deliveries {
			t.Errorf("backup %d has %+v, want at least 200 messages, no fewer than %d, and a delivery for each",
				i, facts, last)
		}
		last = facts.Messages
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the backup = %v, %v; want 0600", info.Mode(), err)
		}
		if names := entries(t, filepath.Dir(file)); len(names) != 1 {
			t.Errorf("next to the backup there are %v, want no files", names)
		}
	}
	close(stop)
	load.Wait()
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestBackupLeavesTheDatabase makes a backup of a database after a crash. The database
// and its journal stay unchanged.
func TestBackupLeavesTheDatabase(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(20)
	crashed := t.TempDir() // as after a crash: the journal was not moved into it
	for _, name := range []string{FileName, FileName + "-wal"} {
		b, err := os.ReadFile(filepath.Join(o.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crashed, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, crashed)
	facts, err := Backup(t.Context(), crashed, filepath.Join(t.TempDir(), "backup"), false)
	if err != nil || facts.Messages != 20 {
		t.Fatalf("Backup = %+v, %v; want 20 messages", facts, err)
	}
	after := contents(t, crashed)
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s was changed by a backup", name)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range entries(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

func TestBackupRefuses(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(1)
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), o.dir, file, false); !errors.Is(err, ErrOccupied) {
		t.Errorf("Backup over a file = %v, want %q", err, ErrOccupied)
	}
	if _, err := Backup(t.Context(), o.dir, filepath.Join(o.dir, FileName), true); err == nil {
		t.Errorf("Backup over the database = nil, want an error")
	}
	if _, err := Backup(t.Context(), t.TempDir(), file, true); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("Backup of nothing = %v, want %q", err, ErrNoDatabase)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Backup(ended, o.dir, file, true); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup that is ended = %v, want %q", err, context.Canceled)
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" || len(entries(t, filepath.Dir(file))) != 1 {
		t.Errorf("after the refusals the file holds %q, next to %v; want it unchanged and alone", b,
			entries(t, filepath.Dir(file)))
	}
	if _, err := Backup(t.Context(), o.dir, file, true); err != nil {
		t.Errorf("Backup over a file with force = %v, want none", err)
	}
}

func TestRestore(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(10)
	file := filepath.Join(t.TempDir(), "backup")
	facts, err := Backup(t.Context(), o.dir, file, false)
	if err != nil {
		t.Fatal(err)
	}
	o.fill(5)
	box := o.inbox(0)
	dir, now := t.TempDir(), time.Now()
	done, err := Restore(t.Context(), dir, file, false, now)
	if err != nil || done.Facts != facts || done.Aside != "" {
		t.Fatalf("Restore = %+v, %v; want %+v and no database moved aside", done, err, facts)
	}
	if names := entries(t, dir); len(names) != 1 {
		t.Errorf("the directory holds %v, want the database only", names)
	}
	r := openOffice(t, dir)
	if got := r.inbox(0); fmt.Sprint(got) != fmt.Sprint(box[:10]) {
		t.Errorf("inbox = %v, want %v", got, box[:10])
	}
	if r.Paused().UnixMicro() != now.UnixMicro() {
		t.Errorf("paused since %v, want %v", r.Paused(), now)
	}
	if _, err := r.send("new"); !errors.Is(err, gateway.ErrPaused) {
		t.Errorf("Accept = %v, want %q", err, gateway.ErrPaused)
	}
	if err := r.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.sent = o.sent
	r.fill(1)
	// A reader that saw all fifteen before the loss continues after them.
	if got := r.inbox(box[14]); len(got) != 1 {
		t.Errorf("behind the old cursor the inbox has %v, want the one new message", got)
	}
}

func TestRestoreOverADatabase(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(3)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), o.dir, file, false); err != nil {
		t.Fatal(err)
	}
	o.fill(4)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), o.dir, file, false, time.Now()); !errors.Is(err, ErrOccupied) {
		t.Fatalf("Restore over a database = %v, want %q", err, ErrOccupied)
	}
	done, err := Restore(t.Context(), o.dir, file, true, time.Now())
	if err != nil || done.Messages != 3 {
		t.Fatalf("Restore = %+v, %v; want 3 messages", done, err)
	}
	if old, err := Examine(t.Context(), done.Aside); err != nil || old.Messages != 7 {
		t.Errorf("the database that was moved aside has %+v, %v; want the 7 messages", old, err)
	}
	// A damaged database is moved aside unchanged, with its journal.
	name := filepath.Join(o.dir, FileName)
	for _, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(name+suffix, []byte("damaged"+suffix), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done, err = Restore(t.Context(), o.dir, file, true, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatalf("Restore over a damaged one: %v", err)
	}
	for _, suffix := range []string{"", "-wal"} {
		if b, err := os.ReadFile(done.Aside + suffix); string(b) != "damaged"+suffix {
			t.Errorf("the file that was moved aside has %q, %v; want %q", b, err, "damaged"+suffix)
		}
	}
	if got := openOffice(t, o.dir).inbox(0); len(got) != 3 {
		t.Errorf("inbox = %v, want 3 messages", got)
	}
}

func TestRestoreRefusesWhatIsNotSound(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(300)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), o.dir, file, false); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer")
	if err := os.WriteFile(newer, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := alone(newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`); err != nil {
		t.Fatal(err)
	}
	newerBytes, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	copy(damaged[len(damaged)/2:], make([]byte, 3*pageSize))
	for what, content := range map[string][]byte{
		"empty": {}, "no database": []byte("Dear diary,"), "cut short": whole[:len(whole)/2], "damaged": damaged,
		"newer": newerBytes,
	} {
		dir, name := t.TempDir(), filepath.Join(t.TempDir(), "b")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if done, err := Restore(t.Context(), dir, name, false, time.Now()); err == nil {
			t.Errorf("Restore of a backup that is %s = %+v, want an error", what, done)
		}
		if left := entries(t, dir); len(left) > 0 {
			t.Errorf("a refused restore (%s) left %v, want nothing", what, left)
		}
	}
}
