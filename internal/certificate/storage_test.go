package certificate

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

func newStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func newStorage(t *testing.T, s Store, key byte) *storage {
	t.Helper()
	seal, err := gateway.NewSeal(bytes.Repeat([]byte{key}, gateway.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	return &storage{store: s, seal: seal, now: time.Now, log: log, locks: locks{leases: s, now: time.Now, log: log}}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: got %v, want no error", what, err)
	}
}

// kept reports whether something is kept under name.
func kept(t *testing.T, s *storage, name string) bool {
	t.Helper()
	_, err := s.Load(t.Context(), name)
	if !errors.Is(err, fs.ErrNotExist) {
		must(t, "load "+name, err)
	}
	return err == nil
}

// names are those that are kept.
func names(t *testing.T, s *storage) (list []string) {
	t.Helper()
	secrets, err := s.store.Documents(t.Context(), kind)
	must(t, "secrets", err)
	for _, n := range secrets {
		list = append(list, n.Name)
	}
	slices.Sort(list)
	return list
}

// TestStorage: the operations that certificates need from a storage, on a real store.
func TestStorage(t *testing.T) {
	ctx := t.Context()
	rows := newStore(t)
	s := newStorage(t, rows, 1)
	for name, value := range map[string]string{"certs/ca/host/host.key": "secret", "certs/ca/host/host.crt": "chain",
		"certs/ca/hosts": "x", "accounts/me": "y"} {
		must(t, "store "+name, s.Store(ctx, name, []byte(value)))
	}
	must(t, "store again", s.Store(ctx, "accounts/me", []byte("z")))
	if b, err := s.Load(ctx, "accounts/me"); err != nil || string(b) != "z" {
		t.Errorf("load: got %q, %v, want the last value, z", b, err)
	}
	if _, err := s.Load(ctx, "certs/ca/host"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load a directory: got %v, want fs.ErrNotExist", err)
	}
	must(t, "replace a directory", s.Replace(ctx, "certs/ca/host",
		map[string][]byte{"certs/ca/host/other": []byte("o")}))
	if got, want := names(t, s), []string{"accounts/me", "certs/ca/host/other",
		"certs/ca/hosts"}; !slices.Equal(got, want) {
		t.Errorf("replaced: %v are kept, want %v", got, want)
	}
	must(t, "delete a directory", s.Delete(ctx, "certs/ca/host"))
	must(t, "delete it again", s.Delete(ctx, "certs/ca/host"))
	if got, want := names(t, s), []string{"accounts/me", "certs/ca/hosts"}; !slices.Equal(got, want) {
		t.Errorf("deleted: %v are kept, want %v", got, want)
	}
	list, err := rows.Documents(ctx, kind)
	must(t, "secrets", err)
	for _, n := range list {
		if bytes.Contains(n.Sealed, []byte("x")) && bytes.Contains(n.Facts, []byte("x")) || len(n.Sealed) < 16 {
			t.Errorf("%s is stored as %q, want it sealed", n.Name, n.Sealed)
		}
	}
}

// errFull is the error of a store that cannot write.
var errFull = errors.New("the disk is full")

// fullStore is a store that does not write.
type fullStore struct{ Store }

func (fullStore) ChangeDocuments(context.Context, string, func([]gateway.Document) ([]gateway.Document, error)) error {
	return errFull
}

// TestReplacedWhole: values that cannot all be stored are not stored at all.
func TestReplacedWhole(t *testing.T) {
	rows := newStore(t)
	s := newStorage(t, rows, 1)
	must(t, "store", s.Replace(t.Context(), "d", map[string][]byte{"d/crt": []byte("c1"), "d/key": []byte("k1")}))
	s.store = fullStore{rows}
	if err := s.Replace(t.Context(), "d", map[string][]byte{"d/crt": []byte("c2"),
		"d/key": []byte("k2")}); !errors.Is(err, errFull) {
		t.Errorf("replace: got %v, want the store's error", err)
	}
	for name, want := range map[string]string{"d/crt": "c1", "d/key": "k1"} {
		if b, err := s.Load(t.Context(), name); err != nil || string(b) != want {
			t.Errorf("%s: got %q, %v, want %q as before", name, b, err, want)
		}
	}
}

// TestStoredByTheLibrary: the library stores a certificate in three steps and removes
// the first when a later one fails. The former certificate stays whole meanwhile, and
// is replaced in one step.
func TestStoredByTheLibrary(t *testing.T) {
	ctx := t.Context()
	rows := newStore(t)
	s := newStorage(t, rows, 1)
	at := siteOf("ca", "amtp.shop.example")
	save := func(text string) (err error) {
		for i, name := range []string{at.key, at.chain, at.facts} {
			if err = s.Store(ctx, name, []byte(text)); err == nil {
				continue
			}
			for _, before := range []string{at.chain, at.key}[2-i:] {
				must(t, "take back", s.Delete(ctx, before))
			}
			break
		}
		return err
	}
	shown := func() (list []string) {
		for _, name := range []string{at.key, at.chain, at.facts} {
			b, err := s.Load(ctx, name)
			must(t, "load", err)
			list = append(list, string(b))
		}
		return list
	}
	must(t, "save", save("1"))
	must(t, "half", s.Store(ctx, at.key, []byte("2")))
	if got := shown(); !slices.Equal(got, []string{"1", "1", "1"}) {
		t.Errorf("while the second is stored: got %v, want the first", got)
	}
	s.store = fullStore{rows}
	if err := save("2"); !errors.Is(err, errFull) {
		t.Errorf("save on a full disk: got %v, want the store's error", err)
	}
	s.store = rows
	if got := shown(); !slices.Equal(got, []string{"1", "1", "1"}) {
		t.Errorf("after a full disk: got %v, want the first", got)
	}
	must(t, "save again", save("3"))
	if got := shown(); !slices.Equal(got, []string{"3", "3", "3"}) {
		t.Errorf("saved: got %v, want the third", got)
	}
	must(t, "a new suggestion", s.Store(ctx, at.facts, []byte("4")))
	if got := shown(); !slices.Equal(got, []string{"3", "3", "4"}) {
		t.Errorf("with new facts: got %v, want them beside the third", got)
	}
	must(t, "delete", s.Delete(ctx, at.key))
	if s.Exists(ctx, at.key) || !s.Exists(ctx, at.chain) {
		t.Error("deleting one file: want that one gone, and no other")
	}
}

// TestListed: the names of a storage form directories, as the library expects.
func TestListed(t *testing.T) {
	ctx := t.Context()
	s := newStorage(t, newStore(t), 1)
	for _, name := range []string{"a/b/c", "a/b/d", "a/e", "ab/f"} {
		must(t, "store", s.Store(ctx, name, []byte("four")))
	}
	for _, c := range []struct {
		dir       string
		recursive bool
		want      []string
	}{
		{"a", false, []string{"a/b", "a/e"}}, {"a", true, []string{"a/b/c", "a/b/d", "a/e"}}, {"a/e", true, nil},
		{"none", false, nil},
	} {
		got, err := s.List(ctx, c.dir, c.recursive)
		absent := errors.Is(err, fs.ErrNotExist)
		if !slices.Equal(got, c.want) || absent != (c.want == nil) || err != nil && !absent {
			t.Errorf("list %s, recursive %t: got %v, %v, want %v", c.dir, c.recursive, got, err, c.want)
		}
	}
	i, err := s.Stat(ctx, "a/e")
	if err != nil || !i.IsTerminal || i.Size != 4 || i.Key != "a/e" || i.Modified.IsZero() {
		t.Errorf("stat of a file: got %+v, %v, want 4 bytes", i, err)
	}
	if i, err := s.Stat(ctx, "a/b"); err != nil || i.IsTerminal {
		t.Errorf("stat of a directory: got %+v, %v, want no file", i, err)
	}
	if _, err := s.Stat(ctx, "a/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of nothing: got %v, want fs.ErrNotExist", err)
	}
	for name, want := range map[string]bool{"a": true, "a/b": true, "a/e": true, "a/c": false, "": false} {
		if got := s.Exists(ctx, name); got != want {
			t.Errorf("%q exists: got %t, want %t", name, got, want)
		}
	}
}

// TestNames: later and earlier releases find the values that a release stored.
func TestNames(t *testing.T) {
	at := siteOf((&issuer{directory: "https://ca.example:14000/acme/Dir"}).IssuerKey(), "amtp.shop.example")
	if want := (site{
		"certificates/ca.example-14000-acme-dir/amtp.shop.example",
		"certificates/ca.example-14000-acme-dir/amtp.shop.example/amtp.shop.example.crt",
		"certificates/ca.example-14000-acme-dir/amtp.shop.example/amtp.shop.example.key",
		"certificates/ca.example-14000-acme-dir/amtp.shop.example/amtp.shop.example.json",
	}); at != want {
		t.Errorf("a certificate is kept at %q, want %q", at, want)
	}
	for s, want := range map[string]string{"Who+me@Shop.Example.key": "who_plus_me@shop.example.key",
		"a..b c*d/é~_-": "ab_cwildcard_d_-", "../..": ""} {
		if got := certmagic.StorageKeys.Safe(s); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
}

// TestSealLost: a value sealed with another key counts as absent.
func TestSealLost(t *testing.T) {
	rows := newStore(t)
	must(t, "store", newStorage(t, rows, 1).Store(t.Context(), "certs/x", []byte("secret")))
	if _, err := newStorage(t, rows, 2).Load(t.Context(), "certs/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load with another seal: got %v, want fs.ErrNotExist", err)
	}
}

// TestLock: one of two gateways has a lock. The other waits as long as its context, and
// gets the lock when it is released.
func TestLock(t *testing.T) {
	ctx := t.Context()
	rows := newStore(t)
	a, b := newStorage(t, rows, 1), newStorage(t, rows, 1)
	must(t, "lock", a.Lock(ctx, "one"))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := b.Lock(short, "one"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the other gateway: got %v, want it to wait until its context ends", err)
	}
	short, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := a.Lock(short, "one"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the same gateway again: got %v, want it to wait, too", err)
	}
	must(t, "another lock", b.Lock(ctx, "two"))
	must(t, "unlock two", b.Unlock(ctx, "two"))
	must(t, "unlock one", a.Unlock(ctx, "one"))
	must(t, "lock what was given back", b.Lock(ctx, "one"))
	must(t, "unlock", b.Unlock(ctx, "one"))
	if err := b.Unlock(ctx, "one"); err == nil {
		t.Error("unlock what is not locked: got no error")
	}
}

// leaseTable holds leases in memory, by the time of a test.
type leaseTable struct {
	gateway.Documents
	owner string
	until time.Time
	holds int
}

func (l *leaseTable) Hold(_ context.Context, _, owner string, now, until time.Time) (bool, error) {
	if l.owner != "" && l.owner != owner && now.Before(l.until) {
		return false, nil
	}
	l.owner, l.until, l.holds = owner, until, l.holds+1
	return true, nil
}

func (l *leaseTable) Release(_ context.Context, _, owner string) error {
	if l.owner == owner {
		l.owner = ""
	}
	return nil
}

// TestLockLives: a lock is renewed for as long as it is held. The lock of a killed
// gateway ends by itself.
func TestLockLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &leaseTable{}
		l := &locks{leases: table, now: time.Now, log: slog.New(slog.DiscardHandler)}
		must(t, "lock", l.Lock(t.Context(), "x"))
		time.Sleep(10 * lockTime)
		synctest.Wait()
		if !table.until.After(time.Now()) {
			t.Errorf("after %v the lease ended at %v, want it renewed", 10*lockTime, table.until)
		}
		must(t, "unlock", l.Unlock(t.Context(), "x"))
		table.owner, table.until = "one that died", time.Now().Add(lockTime)
		began := time.Now()
		must(t, "lock after a death", l.Lock(t.Context(), "x"))
		if waited := time.Since(began); waited < lockTime || waited > lockTime+2*lockTry {
			t.Errorf("waited %v, want %v and a little", waited, lockTime)
		}
		must(t, "unlock", l.Unlock(t.Context(), "x"))
	})
}
