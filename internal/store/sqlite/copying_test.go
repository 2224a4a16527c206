package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// busyOffice has a journal that restarts after a few messages.
func busyOffice(t *testing.T) *office {
	t.Helper()
	o := openOfficeWith(t, Options{Dir: t.TempDir(), walSoft: 128 << 10, walHard: 512 << 10})
	o.fill(300)
	return o
}

// TestCopyIsOfOneMoment: the database is copied piece by piece. After each piece new
// messages arrive, and the journal is moved and restarts. The copy is as sound as the
// database, and ends with a complete message.
func TestCopyIsOfOneMoment(t *testing.T) {
	slow.Test(t, "it copies a store that is written to")
	o := busyOffice(t)
	sent := 0
	for round := range 6 {
		dir := t.TempDir()
		file := filepath.Join(dir, FileName)
		pieces := 0
		k := copying{pinned: maxPinned, piece: 48 << 10, beside: func() {
			if pieces++; pieces > 25 { // the rest of a long journal
				return
			}
			for range 3 {
				if _, err := o.send(fmt.Sprintf("beside-%d", sent)); err != nil {
					t.Fatal(err)
				}
				sent++
			}
		}}
		before, err := k.run(t.Context(), filepath.Join(o.dir, FileName), file)
		if err == nil {
			err = alone(file, "")
		}
		if err == nil {
			err = before.reached(t.Context(), file)
		}
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if list := wrong(Check(t.Context(), dir)); len(list) > 0 && !slices.Equal(list, []string{"durability"}) {
			t.Fatalf("round %d: the check of the copy finds %v, want nothing", round, list)
		}
		facts, err := Examine(t.Context(), file)
		if err != nil || facts.Messages < 300 || facts.Messages != facts.Deliveries {
			t.Fatalf("round %d: the copy has %+v, %v; want 300 messages or more, and a delivery for each",
				round, facts, err)
		}
	}
	if sent < 100 {
		t.Errorf("only %d messages arrived during the copies; the test checks nothing", sent)
	}
}

// TestCopyLetsGo: a copy that holds the journal for too long starts again, and finally
// gives up; so does a check.
func TestCopyLetsGo(t *testing.T) {
	o := busyOffice(t)
	sent, let := 0, false
	k := copying{pinned: 64 << 10, piece: 48 << 10, beside: func() {
		for range 40 {
			if let {
				return
			}
			if _, err := o.send(fmt.Sprintf("beside-%d", sent)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}}
	_, err := k.run(t.Context(), filepath.Join(o.dir, FileName), filepath.Join(t.TempDir(), "copy"))
	if !errors.Is(err, ErrPinned) {
		t.Errorf("a copy during many writes = %v, want %v", err, ErrPinned)
	}
	let = true
	if _, err := k.run(t.Context(), filepath.Join(o.dir, FileName), filepath.Join(t.TempDir(), "copy")); err != nil {
		t.Errorf("a copy after that = %v, want no error", err)
	}
	f := checking{pinned: -1}.run(t.Context(), o.dir)[0]
	if f.OK || f.Mend == "" {
		t.Errorf("a check next to many writes finds %+v, want that it was not checked to the end", f)
	}
	if list := wrong(checking{pinned: maxPinned}.run(t.Context(), o.dir)); len(list) > 0 {
		t.Errorf("a check after that finds %v, want nothing", list)
	}
}

// TestJournalShrinks: another process held a snapshot while much was written. After it
// has ended, the journal is short again.
func TestJournalShrinks(t *testing.T) {
	o := busyOffice(t)
	c, err := openToRead(filepath.Join(o.dir, FileName), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.newest(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(o.dir, FileName+"-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	n := 0
	for size() < 3<<20 {
		if _, err := o.send(fmt.Sprintf("held-%d", n)); err != nil {
			t.Fatal(err)
		}
		n++
	}
	held := size()
	if _, err := c.exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for i := 0; size() > held/2; i++ {
		if _, err := o.send(fmt.Sprintf("after-%d", i)); err != nil {
			t.Fatal(err)
		}
		if i > 20*n {
			t.Fatalf("after %d messages the journal has %d bytes, want less than half of the %d that it had", i,
				size(), held)
		}
	}
}
