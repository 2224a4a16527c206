package sqlite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// takenUp takes all messages into the index, and returns how many it took up.
func takenUp(t *testing.T, s *Store) (n int) {
	t.Helper()
	for {
		did, err := s.IndexMail(t.Context(), 5)
		if err != nil {
			t.Fatalf("IndexMail: %v", err)
		}
		if n += did.Messages; !did.More {
			return n
		}
	}
}

// findsAll checks that the agent finds that many messages, each once.
func findsAll(t *testing.T, s *Store, by gateway.Agent, want int) {
	t.Helper()
	f := gateway.SearchFilter{Query: gateway.Query{{Words: []string{"letter"}}}, Limit: 1000}
	page, err := s.Search(t.Context(), gateway.Acting{Agent: by.ID}, f)
	if err != nil {
		t.Fatalf("Search: %v", err)
	}
	seen := map[string]bool{}
	for i := range page.Messages {
		seen[string(page.Messages[i].ID)] = true
	}
	if len(page.Messages) != want || len(seen) != want || page.Behind != 0 {
		t.Errorf("found %d messages, %d different, %d behind; want %d and none behind", len(page.Messages), len(seen),
			page.Behind, want)
	}
}

// posted posts letters, and returns their number.
func posted(t *testing.T, s *Store, from, to gateway.Agent, what string, n int) int {
	t.Helper()
	for i := range n {
		if _, err := s.Accept(t.Context(), note(from, to, fmt.Sprintf("letter-%s-%d", what, i))); err != nil {
			t.Fatalf("Accept: %v", err)
		}
	}
	return n
}

// TestIndexAfterPowerCuts cuts the power at each of the first calls while the index is
// filled, with every kind of loss. After the restart the index goes on from its place, or
// anew, and then has each message once. The messages are all there.
func TestIndexAfterPowerCuts(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(seeded(t), 0))
	for loss := range faultfs.Losses {
		for _, at := range []int{1, 2, 3, 5, 8, 13, 21, 34} {
			d := faultfs.New(t)
			s := mustOpenOn(t, d, fresh(t, scratch(t)), small)
			alice, bob := cast(t, s)
			n := posted(t, s, alice, bob, "first", 12)
			d.Fail(faultfs.Fault{Ops: faultfs.Any, File: "-search", N: at, Cut: true})
			if at > 13 {
				d.Fail(faultfs.Fault{Ops: faultfs.Any, File: "-search-wal", N: at - 13, Cut: true})
			}
			for range 20 {
				if _, err := s.IndexMail(t.Context(), 3); err != nil {
					break
				}
			}
			dir := scratch(t)
			if err := d.Restore(dir, loss, chance); err != nil {
				t.Fatal(err)
			}
			s.Close() // the disk has no power, so an error is expected
			s = mustOpenOn(t, faultfs.New(t), dir, small)
			n += posted(t, s, alice, bob, "second", 3)
			takenUp(t, s)
			if findsAll(t, s, bob, n); t.Failed() {
				t.Fatalf("after a cut at call %d, %s", at, loss)
			}
		}
	}
}

// TestIndexErrorsLeaveTheStoreAlone: an I/O error, or a full disk, at any call on the index
// is an error of IndexMail only. The next call goes on.
func TestIndexErrorsLeaveTheStoreAlone(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		for at := 1; at <= 20; at++ {
			d := faultfs.New(t)
			o := small
			o.free = plenty
			s := mustOpenOn(t, d, fresh(t, scratch(t)), o)
			alice, bob := cast(t, s)
			n := posted(t, s, alice, bob, "first", 6)
			file := "-search"
			if at%2 == 0 {
				file = "-search-wal"
			}
			d.Fail(faultfs.Fault{Ops: failing, File: file, N: (at + 1) / 2, Err: fault})
			for range 10 {
				_, _ = s.IndexMail(t.Context(), 2) // one of the calls meets the fault
			}
			n += posted(t, s, alice, bob, "second", 2)
			d.Heal()
			takenUp(t, s)
			findsAll(t, s, bob, n)
			if err := s.Failure(); err != nil || t.Failed() {
				t.Fatalf("after %v at call %d of %s: the store failed: %v", fault, (at+1)/2, file, err)
			}
			s.Close() // the index may have met an error again
		}
	}
}

// TestIndexIsMadeAgain: an index that is missing, damaged, of another version or of other
// messages is made again.
func TestIndexIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, SearchName)
	start := func() *Store {
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	end := func(s *Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := start()
	alice, bob := cast(t, s)
	n := posted(t, s, alice, bob, "first", 8)
	if got := takenUp(t, s); got != n {
		t.Errorf("taken up at first: got %d, want %d", got, n)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the index: %v, %v; want the mode 0600", info.Mode(), err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if _, err := Backup(t.Context(), dir, copied, false); err != nil {
		t.Fatal(err)
	}
	n += posted(t, s, alice, bob, "later", 2)
	takenUp(t, s)
	end(s)
	for what, spoil := range map[string]func() error{
		"missing": func() error { return os.Remove(name) },
		"damaged": func() error { return os.WriteFile(name, []byte(strings.Repeat("no database ", 1000)), 0o600) },
		"damaged inside": func() error {
			b, err := os.ReadFile(name)
			for i := 8192; i < len(b); i++ {
				b[i] = 0xa5
			}
			return errors.Join(err, os.WriteFile(name, b, 0o600))
		},
		"of another version": func() error {
			x := newSearchIndex(Options{Dir: dir})
			err := x.connect()
			return errors.Join(err, x.writer.conn.Exec("PRAGMA user_version = 99"), x.end())
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		s := start()
		for range 3 { // damage may be met only while the index is filled, or searched
			f := gateway.SearchFilter{Query: gateway.Query{{Words: []string{"letter"}}}, Limit: 10}
			_, _ = s.IndexMail(t.Context(), 5)
			_, _ = s.Search(t.Context(), gateway.Acting{Agent: bob.ID}, f)
		}
		takenUp(t, s)
		if findsAll(t, s, bob, n); t.Failed() {
			t.Fatalf("the index is %s", what)
		}
		end(s)
	}
	s = start()
	takenUp(t, s)
	end(s)
	if _, err := Restore(t.Context(), dir, copied, true, dawn); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the index after a restore: %v, want none", err)
	}
	s = start()
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = 8 + posted(t, s, alice, bob, "after", 1)
	takenUp(t, s)
	findsAll(t, s, bob, n)
	end(s)
}

// TestIndexOfALaterTime: a database that was replaced by an earlier copy, without restore,
// has fewer messages than its index.
func TestIndexOfALaterTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := cast(t, s)
	posted(t, s, alice, bob, "first", 3)
	copied := filepath.Join(t.TempDir(), "copy")
	if _, err := Backup(t.Context(), dir, copied, false); err != nil {
		t.Fatal(err)
	}
	posted(t, s, alice, bob, "lost", 3)
	takenUp(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(copied)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, FileName), old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 3 + posted(t, s, alice, bob, "other", 2)
	if got := takenUp(t, s); got != n {
		t.Errorf("taken up after the copy: got %d, want %d", got, n)
	}
	findsAll(t, s, bob, n)
}
