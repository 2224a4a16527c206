package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// ownServer starts a server that only this test uses.
func ownServer(t testing.TB, settings ...string) (*pgtest.Server, string) {
	t.Helper()
	slow.Test(t, "it needs a PostgreSQL of its own")
	server, err := pgtest.Start(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return server, server.URL("postgres")
}

// A server that may lose commits is refused, whichever of the settings allows it.
func TestRefusesServersThatLose(t *testing.T) {
	for setting, refused := range map[string]bool{
		"fsync=off": true, "full_page_writes=off": true, "synchronous_commit=off": true,
		"synchronous_commit=local": false, "synchronous_commit=remote_write": false,
	} {
		t.Run(setting, func(t *testing.T) {
			_, where := ownServer(t, setting)
			s, err := Open(context.Background(), Options{URL: where})
			if err == nil {
				err = s.Close()
				if refused {
					t.Fatalf("Open with %s = no error, want a refusal", setting)
				}
			}
			if refused != (err != nil && strings.Contains(err.Error(), setting)) {
				t.Errorf("Open with %s = %v, want a refusal that names it: %v", setting, err, refused)
			}
		})
	}
}

// A schema of a newer release is refused, and nothing is changed.
func TestRefusesNewerSchema(t *testing.T) {
	where := database(t)
	s := open(t, where)
	if _, err := s.pool.Exec(context.Background(),
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), Options{URL: where})
	if err == nil || !strings.Contains(err.Error(), "the database has schema 999 and this release knows") {
		t.Errorf("Open = %v, want a refusal that names the schema", err)
	}
}

// A database with the number of this schema that lacks one of its columns is refused.
func TestRefusesAnEarlierBuild(t *testing.T) {
	where := database(t)
	s := open(t, where)
	change := func(sql string) {
		if _, err := s.pool.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	change(`ALTER TABLE job RENAME COLUMN payload TO other`)
	_, err := Open(context.Background(), Options{URL: where})
	change(`ALTER TABLE job RENAME COLUMN other TO payload`)
	if err == nil || !strings.Contains(err.Error(), "no column payload in its table job") {
		t.Errorf("Open = %v, want an error that names the column", err)
	}
}

// Replicas that start at the same time on an empty database create its schema once.
func TestReplicasStartAtOnce(t *testing.T) {
	where := pgtest.Database(t, "empty", nil)
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			s, err := Open(context.Background(), Options{URL: where})
			if err != nil {
				t.Errorf("Open = %v, want no error", err)
				return
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close = %v, want no error", err)
			}
		})
	}
	done.Wait()
}

// A clock that differs too much prevents a start. Later it makes the replica not ready.
func TestRefusesFarClocks(t *testing.T) {
	for off, refused := range map[time.Duration]bool{0: false, 29 * time.Second: false, -29 * time.Second: false,
		31 * time.Second: true, -time.Hour: true} {
		if err := tooFar(off); (err != nil) != refused {
			t.Errorf("clock %v away = %v, want refused: %v", off, err, refused)
		}
	}
	s := openDeaf(t, database(t))
	before := time.Now()
	if now := s.Now(); now.Before(before.Add(-time.Second)) || now.After(time.Now().Add(time.Second)) {
		t.Errorf("Now = %v, want it within a second of this machine's clock, which showed %v and then %v", now,
			before, time.Now())
	}
	if err := s.Probe(context.Background(), dawn); err != nil {
		t.Errorf("Probe = %v, want no error", err)
	}
}

// While the server is unreachable, every call is ErrAway and the store is not ready.
// When it is back, all data is as before, and the store continues by itself.
func TestServerDiesAndComesBack(t *testing.T) {
	server, where := ownServer(t)
	s := open(t, where)
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	_, key := gateway.NewKey(bob.ID, dawn)
	if _, err := s.AddKey(context.Background(), gateway.Acting{}, key, false); err != nil {
		t.Fatal(err)
	}
	want := make(map[amtp.MessageID]bool)
	for life := range 3 {
		for i := range 20 {
			want[mustAccept(t, s, letterTo(t, alice, fmt.Sprint("life", life, "letter", i), bob)).ID] = true
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		// The server's processes outlive their parent for a moment, and still serve.
		soon(t, "a message is refused", func() bool {
			got, err := s.Accept(context.Background(), letterTo(t, alice, "", bob))
			if err != nil && !errors.Is(err, gateway.ErrAway) {
				t.Errorf("Accept while the server is away = %v, want %v", err, gateway.ErrAway)
			}
			if err == nil {
				want[got.ID] = true
			}
			return err != nil
		})
		if _, err := s.Inbox(context.Background(), gateway.Acting{Agent: bob.ID},
			gateway.InboxFilter{}); !errors.Is(err, gateway.ErrBusy) {
			t.Errorf("Inbox while the server is away = %v, want %v", err, gateway.ErrAway)
		}
		if err := s.Probe(context.Background(), dawn); err == nil {
			t.Errorf("Probe while the server is away = no error, want one")
		}
		if _, err := s.AgentNamed(t.Context(), address(t, "nobody@shop.example")); err == nil ||
			errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("AgentNamed of an unknown agent = %v, want an error other than ErrNotFound",
				err)
		}
		if _, _, err := s.KeyOwner(t.Context(), [32]byte{1}, dawn); err == nil || errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("KeyOwner of an unknown key = %v, want an error other than ErrNotFound",
				err)
		}
		if err := server.Launch(); err != nil {
			t.Fatal(err)
		}
		soon(t, "the store is ready again", func() bool { return s.Probe(context.Background(), dawn) == nil })
		if _, _, err := s.KeyOwner(t.Context(), key.Hash, dawn); err != nil {
			t.Errorf("KeyOwner = %v, want bob", err)
		}
	}
	for _, item := range inbox(t, s, bob) {
		delete(want, item.ID)
	}
	if len(want) > 0 {
		t.Errorf("%d messages were accepted and are gone", len(want))
	}
	select {
	case <-s.Failed():
		t.Errorf("Failed is closed, want it open: the store recovered")
	default:
	}
}

func address(t testing.TB, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// All connections are ended again and again during writes. A confirmed message is
// stored, once; a refused one may be sent again.
func TestConnectionsAreEnded(t *testing.T) {
	where := database(t)
	one, two := open(t, where), open(t, where)
	alice, bob := register(t, one, "alice"), register(t, one, "bob")
	const n = 400
	var told atomic.Int64
	stop := make(chan struct{})
	var storm, done sync.WaitGroup
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(30 * time.Millisecond):
				// This also ends the connection that runs the statement, so an error is
				// expected.
				_, _ = one.pool.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			}
		}
	})
	ids := make([]amtp.MessageID, n)
	for w := range 8 {
		done.Go(func() {
			s := []*Store{one, two}[w%2]
			for i := w; i < n; i += 8 {
				a := letterTo(t, alice, fmt.Sprint("letter", i), bob)
				for ids[i] == "" {
					got, err := s.Accept(context.Background(), a)
					switch {
					case err == nil:
						ids[i] = got.ID
					case errors.Is(err, gateway.ErrBusy):
						told.Add(1)
					default:
						t.Errorf("Accept = %v, want no error or %v", err, gateway.ErrBusy)
						return
					}
				}
			}
		})
	}
	done.Wait()
	close(stop)
	storm.Wait()
	found := make(map[amtp.MessageID]int)
	soon(t, "the inbox can be read", func() bool {
		page, err := one.Inbox(context.Background(), gateway.Acting{Agent: bob.ID}, gateway.InboxFilter{})
		for _, item := range page.Items {
			found[item.ID]++
		}
		return err == nil
	})
	for i, id := range ids {
		if found[id] != 1 {
			t.Errorf("letter %d is %d times in the inbox, want once", i, found[id])
		}
	}
	if len(found) != n {
		t.Errorf("messages in the inbox = %d, want %d (%d calls were told to try again)", len(found), n, told.Load())
	}
}

// wire passes connections on to a server. When it is armed with a word, it lets the
// next statement with that word through, and cuts the connection before the answer
// arrives.
type wire struct {
	net.Listener
	server string
	armed  atomic.Pointer[string]
	cuts   atomic.Int64

	mu        sync.Mutex
	listeners []*atomic.Bool // for each connection that listens, whether it is silent
}

// silence makes the connections that listen send and receive nothing from now on. They
// stay open. It returns how many there are.
func (w *wire) silence() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, silent := range w.listeners {
		silent.Store(true)
	}
	return len(w.listeners)
}

func (w *wire) listens(silent *atomic.Bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners = append(w.listeners, silent)
}

func newWire(t testing.TB, where string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, server: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
	t.Cleanup(func() { l.Close() })
	go w.pass()
	u.RawQuery = url.Values{"host": {dir}}.Encode()
	return w, u.String()
}

func (w *wire) pass() {
	for {
		c, err := w.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("unix", w.server)
		if err != nil {
			c.Close()
			continue
		}
		cut, silent := new(atomic.Bool), new(atomic.Bool)
		go func() {
			defer s.Close()
			buf := make([]byte, 1<<20)
			for {
				n, err := c.Read(buf)
				if word := w.armed.Load(); word != nil && strings.Contains(string(buf[:n]), *word) {
					cut.CompareAndSwap(false, w.armed.CompareAndSwap(word, nil))
				}
				if strings.Contains(string(buf[:n]), "LISTEN "+channel) {
					w.listens(silent)
				}
				if silent.Load() {
					n = 0
				}
				if _, e := s.Write(buf[:n]); err != nil || e != nil {
					return
				}
			}
		}()
		go func() {
			defer c.Close()
			buf := make([]byte, 1<<20)
			for {
				n, err := s.Read(buf)
				if cut.Load() {
					w.cuts.Add(1) // the server has answered, so it has run the statement
					return
				}
				if silent.Load() {
					n = 0
				}
				if _, e := c.Write(buf[:n]); err != nil || e != nil {
					return
				}
			}
		}()
	}
}

// When the answer to a commit is lost, the store finds out whether it was made. The
// caller is told that the message is stored. It is stored once, even when only our own
// id identifies it.
func TestCommitOfUnknownOutcome(t *testing.T) {
	w, where := newWire(t, database(t))
	s, err := Open(context.Background(), Options{URL: where + "&default_query_exec_mode=exec", deaf: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	want, commit := 0, "COMMIT"
	for i := range 30 {
		name := fmt.Sprint("letter", i)
		if i%2 == 0 {
			name = "" // no key
		}
		w.armed.Store(&commit)
		got, err := s.Accept(context.Background(), letterTo(t, alice, name, bob))
		if err != nil {
			t.Fatalf("Accept %d = %v, want that it is found out", i, err)
		}
		want++
		items := inbox(t, s, bob)
		if len(items) != want || items[want-1].ID != got.ID {
			t.Fatalf("messages in the inbox after %d letters = %d, want as many and the last %s", want,
				len(items), got.ID)
		}
	}
	if w.cuts.Load() < 20 {
		t.Errorf("connections that were cut = %d, want one for nearly every letter", w.cuts.Load())
	}
}

// TestPlansForIndexes: rows are looked up by index. The server is told so in a session
// of our own, and never in the connection parameters. There a proxy knows few
// parameters and refuses the others.
func TestPlansForIndexes(t *testing.T) {
	url := database(t)
	for _, c := range []struct{ more, want string }{{"", "off"}, {"&pgbouncer=true", "on"}} {
		cfg, err := configure(Options{URL: url + c.more})
		if err != nil {
			t.Fatal(err)
		}
		for name := range cfg.pool.ConnConfig.RuntimeParams {
			if name != "application_name" {
				t.Errorf("%s is asked for while connecting", name)
			}
		}
		var got string
		if err := open(t, url+c.more).pool.QueryRow(t.Context(), `SHOW enable_seqscan`).Scan(&got); err != nil ||
			got != c.want {
			t.Errorf("with %q: enable_seqscan is %q, %v, want %s", c.more, got, err, c.want)
		}
	}
}

// A connection that listens notices when its other end is silently gone. Until then
// changes are found by polling, and a new connection receives notices again.
func TestSilentListener(t *testing.T) {
	if longest := quietTime + answerTime; longest >= 5*time.Second {
		t.Errorf("a silent connection is noticed after %v at the latest, want less than five seconds", longest)
	}
	where := database(t)
	w, behind := newWire(t, where)
	one, two := open(t, where), open(t, behind)
	alice, bob := register(t, one, "alice"), register(t, one, "bob")
	soon(t, "the replica listens", two.heard.Load)
	bell, stop := two.Watch(bob.ID)
	defer stop()
	for range 2 {
		if n := w.silence(); n == 0 {
			t.Fatal("no connection listens")
		}
		soon(t, "the silence is noticed", func() bool { return !two.heard.Load() })
		soon(t, "the replica listens again", two.heard.Load)
		select {
		case <-bell: // as after any missed notice
		default:
		}
		mustAccept(t, one, letterTo(t, alice, "", bob))
		select {
		case <-bell:
		case <-time.After(patience):
			t.Fatal("the message that came after the silence rang no bell")
		}
	}
}
