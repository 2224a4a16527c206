package store

import (
	"cmp"
	"slices"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Urgent collects the entries of an inbox that match a filter, and chooses the most urgent
// of them for a page. Look is called for the entries in the order of the inbox.
type Urgent[T any] struct {
	filter *gateway.InboxFilter
	scan   int // entries that match, and entries that do not, after which the search ends

	found  []urgentEntry[T]
	passed int
	last   int64 // the last entry that was looked at
	ended  bool  // the search ended before the inbox
}

// urgentEntry is an entry that matches.
type urgentEntry[T any] struct {
	seq            int64
	size, priority int
	entry          T
}

// NewUrgent returns a search that has found nothing yet.
func NewUrgent[T any](f *gateway.InboxFilter, scan int) *Urgent[T] {
	return &Urgent[T]{filter: f, scan: scan, last: f.After}
}

// Look takes the next entry, and whether it matches. It reports whether the search goes on.
func (u *Urgent[T]) Look(seq int64, size, priority int, entry T, wanted bool) (more bool) {
	if u.ended = u.ended || u.passed == u.scan || len(u.found) == u.scan; u.ended {
		return false
	}
	u.last = seq
	if wanted {
		u.found = append(u.found, urgentEntry[T]{seq, size, priority, entry})
	} else {
		u.passed++
	}
	return true
}

// Page returns the entries on the page, and notes in it whether there are more. A page on
// which none matches goes on behind what was looked at; any other has no Next.
func (u *Urgent[T]) Page(page *gateway.InboxPage) (chosen []T) {
	slices.SortStableFunc(u.found, func(a, b urgentEntry[T]) int { return cmp.Compare(b.priority, a.priority) })
	f := u.filter
	pager := Pager{Limit: f.Limit, Scan: len(u.found), Offset: f.Offset, MaxBytes: f.MaxBytes}
	for i := range u.found {
		if e := &u.found[i]; pager.Look(e.seq, e.size, true) {
			chosen = append(chosen, e.entry)
		}
	}
	page.Next = f.After
	if len(u.found) == 0 {
		page.Next = u.last
	}
	page.HasMore = pager.HasMore || u.ended
	page.Incomplete = u.ended && !pager.HasMore
	return chosen
}
