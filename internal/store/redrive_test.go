package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// TestEachDead: letters are changed in steps of a bounded size, until all that match or
// as many as the limit are done. Pages without a letter are skipped.
func TestEachDead(t *testing.T) {
	for _, c := range []struct {
		name                string
		limit, letters, gap int // every gap-th number is a letter; a page looks at 100 numbers
		asked, done         int // letters; do counts every second one
	}{
		{"none", 0, 0, 1, 0, 0},
		{"all in one step", 0, 20, 1, 20, 10},
		{"several steps", 0, 1000, 1, 1000, 500},
		{"a limit", 300, 1000, 1, 300, 150},
		{"a limit above all", 300, 40, 1, 40, 20},
		{"few among many rows", 0, 6, 250, 6, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []int64
			done, err := store.EachDead(gateway.DeadFilter{Limit: c.limit},
				func(f gateway.DeadFilter) (found []int64, _ gateway.DeadPage, _ error) {
					p := store.Pager{Limit: f.Limit, Scan: 100, Next: int64(f.After)}
					for row := int64(f.After) + 1; row <= int64(c.letters*c.gap); row++ {
						if p.Look(row, 0, row%int64(c.gap) == 0) {
							found = append(found, row/int64(c.gap))
						}
					}
					return found, p.DeadPage(), nil
				}, func(letters []int64) (did int, _ error) {
					if len(letters) == 0 || len(letters) > 256 {
						t.Errorf("one step has %d letters", len(letters))
					}
					asked = append(asked, letters...)
					for _, seq := range letters {
						did += int(1 - seq%2)
					}
					return did, nil
				})
			if err != nil || len(asked) != c.asked || done != c.done || !slices.IsSorted(asked) ||
				len(slices.Compact(asked)) != c.asked {
				t.Errorf("%d of %d were done, %v; want %d of %d", done, len(asked), err, c.done, c.asked)
			}
		})
	}
}

// TestEachDeadFails: an error ends the steps, and the letters done before count.
func TestEachDeadFails(t *testing.T) {
	down := errors.New("down")
	steps := 0
	page := func(f gateway.DeadFilter) ([]int64, gateway.DeadPage, error) {
		return []int64{int64(f.After) + 1}, gateway.DeadPage{Next: f.After + 1, HasMore: true}, nil
	}
	done, err := store.EachDead(gateway.DeadFilter{}, page, func([]int64) (int, error) {
		if steps++; steps == 3 {
			return 0, down
		}
		return 1, nil
	})
	if done != 2 || !errors.Is(err, down) {
		t.Errorf("%d were done, %v; want 2 and the error", done, err)
	}
	_, err = store.EachDead(gateway.DeadFilter{},
		func(gateway.DeadFilter) ([]int64, gateway.DeadPage, error) { return nil, gateway.DeadPage{}, down }, nil)
	if !errors.Is(err, down) {
		t.Errorf("a page that cannot be read: %v, want the error", err)
	}
}

// TestChangeDocuments: a change keeps to its kind and gives each name once.
func TestChangeDocuments(t *testing.T) {
	doc := func(kind, name string) gateway.Document { return gateway.Document{Kind: kind, Name: name} }
	mine := errors.New("mine")
	for _, c := range []struct {
		name  string
		after []gateway.Document
		fails error // what change returns
		want  error // nil for success
		any   bool  // any error
	}{
		{name: "none", after: nil},
		{name: "two", after: []gateway.Document{doc("k", "a"), doc("k", "b")}},
		{name: "the same name twice", after: []gateway.Document{doc("k", "a"), doc("k", "a")}, want: gateway.ErrExists,
			any: true},
		{name: "another kind", after: []gateway.Document{doc("k", "a"), doc("other", "b")}, any: true},
		{name: "the change refuses", fails: mine, want: mine, any: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := store.ChangeDocuments(&gateway.DocumentChange{Kind: "k",
				Change: func([]gateway.Document) ([]gateway.Document, error) { return c.after, c.fails }}, nil)
			if (err != nil) != c.any || c.want != nil && !errors.Is(err, c.want) ||
				err == nil && len(got) != len(c.after) {
				t.Errorf("ChangeDocuments = %v, %v; want the error %v", got, err, c.want)
			}
		})
	}
}
