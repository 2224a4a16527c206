package store_test

import (
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/store"
)

// TestPager: which of the rows 1 to 9 are on a page, if the even ones are wanted.
func TestPager(t *testing.T) {
	const all = 1000
	for _, c := range []struct {
		name           string
		pager          store.Pager
		size           int
		want           []int64
		next           int64
		more, unfilled bool
	}{
		{"everything", store.Pager{Scan: all}, 0, []int64{2, 4, 6, 8}, 9, false, false},
		{"a full page ends before the next wanted row", store.Pager{Limit: 2, Scan: all}, 0, []int64{2, 4}, 5, true,
			false},
		{"a page that is just full", store.Pager{Limit: 4, Scan: all}, 0, []int64{2, 4, 6, 8}, 9, false, false},
		{"an offset", store.Pager{Limit: 2, Scan: all, Offset: 1}, 0, []int64{4, 6}, 7, true, false},
		{"an offset beyond the end", store.Pager{Limit: 2, Scan: all, Offset: 9}, 0, nil, 9, false, false},
		{"few rows may be looked at", store.Pager{Limit: 4, Scan: 2}, 0, []int64{2}, 3, true, true},
		{"few rows, and the page is full", store.Pager{Limit: 1, Scan: 2}, 0, []int64{2}, 3, true, false},
		{"bytes", store.Pager{MaxBytes: 25, Scan: all}, 10, []int64{2, 4}, 5, true, false},
		{"one row however large", store.Pager{MaxBytes: 25, Scan: all}, 100, []int64{2}, 3, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.pager
			var got []int64
			for row := int64(1); row <= 9; row++ {
				if p.Look(row, c.size, row%2 == 0) {
					got = append(got, row)
				}
			}
			if !slices.Equal(got, c.want) || p.Next != c.next || p.HasMore != c.more || p.Incomplete != c.unfilled {
				t.Errorf("page %v, next %d, more %v, incomplete %v; want %v, %d, %v, %v", got, p.Next, p.HasMore,
					p.Incomplete, c.want, c.next, c.more, c.unfilled)
			}
		})
	}
}

// TestPagesTogether: pages one after another have every wanted row once, even when each
// ends early.
func TestPagesTogether(t *testing.T) {
	for limit := range 4 {
		for scan := 1; scan < 4; scan++ {
			var got []int64
			next := int64(0)
			for more := true; more; {
				p := store.Pager{Limit: limit, Scan: scan, Next: next}
				for row := next + 1; row <= 20; row++ {
					if p.Look(row, 0, row%3 == 0) {
						got = append(got, row)
					}
				}
				if more = p.HasMore; more && p.Next == next {
					t.Fatalf("limit %d, scan %d: the page behind %d does not go on", limit, scan, next)
				}
				next = p.Next
			}
			if want := []int64{3, 6, 9, 12, 15, 18}; !slices.Equal(got, want) {
				t.Errorf("limit %d, scan %d: pages have %v, want %v", limit, scan, got, want)
			}
		}
	}
}

// TestSearch: one step of a sweep over rows, if the even ones are found.
func TestSearch(t *testing.T) {
	for _, c := range []struct {
		name        string
		limit, rows int
		even        bool // some rows are found
		found       int
		looked      int64
		last        int64 // 0 when the search came to the end
	}{
		{"it ends with as many as are wanted", 2, 100, true, 2, 4, 4},
		{"it comes to the end", 3, 5, true, 2, 5, 0},
		{"the last row is the last that is wanted", 2, 4, true, 2, 4, 4},
		{"it looks at so many and no more", 2, 100, false, 0, 2 * store.LookedAt, 2 * store.LookedAt},
		{"no rows", 2, 0, true, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store.NewSearch[int64](c.limit)
			var looked int64
			for row := int64(1); row <= int64(min(c.rows, s.Most())); row++ {
				looked = row
				if !s.Look(store.Position{ID: row}, row, c.even && row%2 == 0) {
					break
				}
			}
			if len(s.Found) != c.found || looked != c.looked || s.Last() != (store.Position{ID: c.last}) {
				t.Errorf("found %v of %d rows, last %v; want %d of %d, last %d", s.Found, looked, s.Last(), c.found,
					c.looked, c.last)
			}
		})
	}
}
