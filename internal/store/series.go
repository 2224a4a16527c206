package store

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds are the most that one call of a list does, however much is stored.
type Bounds struct {
	Total  int // matching messages that are counted
	Scan   int // rows that are looked at without a match
	Agents int // agents that are looked at
}

// DefaultBounds returns the bounds of every store; tests use smaller ones.
func DefaultBounds() Bounds {
	return Bounds{Total: gateway.MaxTotal, Scan: gateway.MaxScan, Agents: gateway.MaxAgents}
}

// SinceSlack is how much later a message may have been received than one that was
// stored after it, in µs. Numbers are given in roughly the order of arrival. So a list
// of the messages since a time ends at the last message that was received SinceSlack
// before that time.
const SinceSlack = 60_000_000

// Indexes are the series of messages that a store reads through one index each.
type Indexes struct {
	All                Series
	SentBy, ReceivedBy func(agent int64) Series
	Labelled           func(label string) Series   // in the reader's mailbox
	SentFrom, SentTo   func(address string) Series // from and to other domains; the address is an amtp.Address.Key
}

// Select returns the messages that a filter chooses by their senders and recipients.
func (x *Indexes) Select(dir *Directory, by gateway.Reader, f *gateway.MessageFilter) Series {
	var all []Series
	switch {
	case by.Everyone:
	case f.Sent:
		all = append(all, x.SentBy(int64(by.Agent)))
	default:
		all = append(all, Union(x.SentBy(int64(by.Agent)), x.ReceivedBy(int64(by.Agent))))
	}
	if !f.Sender.IsZero() {
		all = append(all, named(dir, f.Sender, x.SentFrom, x.SentBy))
	}
	if !f.Recipient.IsZero() {
		all = append(all, named(dir, f.Recipient, x.SentTo, x.ReceivedBy))
	}
	if f.Label != "" {
		all = append(all, x.Labelled(f.Label))
	}
	if len(all) == 0 {
		return x.All
	}
	return Intersection(all...)
}

// named returns the messages of an address: as one in another domain, and as that of
// any local agent that ever had it.
func named(dir *Directory, a amtp.Address, elsewhere func(string) Series, here func(int64) Series) Series {
	list := []Series{elsewhere(a.Key())}
	for _, id := range dir.EverNamed(a) {
		list = append(list, here(id))
	}
	return Union(list...)
}

// Fetch returns up to limit numbers of messages below before from one index, the
// highest first.
type Fetch func(before int64, limit int) ([]int64, error)

// Series is the numbers of some messages, from the highest down.
type Series interface {
	// below returns the highest number below before, 0 when there is none.
	below(before int64, b *budget) (int64, error)
}

// budget counts the rows that are read from indexes.
type budget struct {
	looked, most int
	at           int64 // where a search that used up the budget ended: it has seen all from here up
}

// errSpent ends a search that has read as many rows as it may.
var errSpent = errors.New("the call has read as many rows as it may")

// How many numbers are read from an index at once. It starts at firstStep, and doubles
// up to lastStep while all numbers that were read are used.
const (
	firstStep = 16
	lastStep  = 256
)

// index is a series that one index of the database has.
type index struct {
	fetch Fetch
	rows  []int64
	done  bool // the index has nothing below rows
	step  int
}

// Index returns the series that fetch reads.
func Index(fetch Fetch) Series { return &index{fetch: fetch, step: firstStep} }

func (x *index) below(before int64, b *budget) (int64, error) {
	// rows descends: drop the numbers that are not below before.
	from, _ := slices.BinarySearchFunc(x.rows, before-1, func(row, want int64) int {
		return int(min(max(want-row, -1), 1))
	})
	x.rows = x.rows[from:]
	if len(x.rows) == 0 && !x.done {
		if from > 1 { // most numbers that were read were skipped
			x.step = firstStep
		}
		rows, err := x.fetch(before, x.step)
		if err != nil {
			return 0, err
		}
		b.looked += len(rows)
		x.rows, x.done = rows, len(rows) < x.step
		x.step = min(2*x.step, lastStep)
	}
	if len(x.rows) == 0 {
		return 0, nil
	}
	return x.rows[0], nil
}

// union is the numbers that are in at least one of its series.
type union []Series

// Union returns the numbers that are in at least one of the series, each once.
func Union(all ...Series) Series {
	if len(all) == 1 {
		return all[0]
	}
	return union(all)
}

func (u union) below(before int64, b *budget) (highest int64, err error) {
	for _, s := range u {
		at, err := s.below(before, b)
		if err != nil {
			return 0, err
		}
		highest = max(highest, at)
	}
	return highest, nil
}

// intersection is the numbers that are in all of its series. Each series skips numbers
// that the others lack, so the cost of a search is that of the shortest series.
type intersection []Series

// Intersection returns the numbers that are in all of the series.
func Intersection(all ...Series) Series {
	if len(all) == 1 {
		return all[0]
	}
	return intersection(all)
}

func (m intersection) below(before int64, b *budget) (int64, error) {
	for {
		id, err := m[0].below(before, b)
		if err != nil || id == 0 {
			return 0, err
		}
		lowest := id
		for _, s := range m[1:] {
			at, err := s.below(lowest+1, b)
			if err != nil || at == 0 {
				return 0, err
			}
			lowest = min(lowest, at)
		}
		if lowest == id {
			return id, nil
		}
		if before = lowest + 1; b.looked >= b.most {
			b.at = before
			return 0, errSpent
		}
	}
}

// Listing is a list of messages, newest first, from which pages are read.
type Listing struct {
	Series Series
	Floor  int64 // no message up to this number matches
	// Match reports which of these messages of the series match the rest of the filter.
	// nil means that all do.
	Match  func(rows []int64) (match []bool, err error)
	Step   int // messages that Match is asked for at once; 0 is lastStep
	Bounds Bounds
}

// Page returns the numbers of the messages on the page that the filter asks for, and
// the page's description of the rest of the list.
func (l *Listing) Page(f gateway.MessageFilter) (rows []int64, page gateway.MessagePage, err error) {
	p := pager{f: f, count: f.Offset + f.Limit}
	if f.Before == 0 {
		p.count = max(p.count, l.Bounds.Total)
	}
	if f.Limit == 0 {
		p.count = math.MaxInt
	}
	b := &budget{most: l.Bounds.Scan + f.Offset + f.Limit}
	before := f.Before
	if before == 0 {
		before = math.MaxInt64
	}
	for more := true; more && !p.full(); {
		var found []int64
		if found, before, more, err = l.next(before, b); err != nil {
			return nil, page, err
		}
		if err := p.add(found, l.Match); err != nil {
			return nil, page, err
		}
		if more && b.looked >= b.most {
			p.spent = true
			break
		}
	}
	return p.rows, p.page(before), nil
}

// next returns the next numbers of the series, the number below which the search
// continues, and whether there may be more.
func (l *Listing) next(before int64, b *budget) (found []int64, at int64, more bool, err error) {
	for len(found) < cmp.Or(l.Step, lastStep) {
		id, err := l.Series.below(before, b)
		switch {
		case errors.Is(err, errSpent):
			return found, b.at, true, nil
		case err != nil:
			return nil, before, false, err
		case id <= l.Floor:
			return found, before, false, nil
		}
		found, before = append(found, id), id
		if b.looked >= b.most {
			break
		}
	}
	return found, before, true, nil
}

// pager fills a page.
type pager struct {
	f     gateway.MessageFilter
	count int // the most messages that are counted
	rows  []int64
	total int
	over  bool // there is at least one more than is counted
	more  bool // there is a message after the page
	spent bool // the search read as many rows as it may
}

// full reports whether the page and the count are complete.
func (p *pager) full() bool { return p.over }

// add takes the numbers that match.
func (p *pager) add(found []int64, match func([]int64) ([]bool, error)) error {
	var keep []bool
	if match != nil && len(found) > 0 {
		var err error
		if keep, err = match(found); err != nil {
			return err
		}
	}
	for i, id := range found {
		if keep != nil && !keep[i] {
			continue
		}
		if p.total == p.count {
			p.over = true
			return nil
		}
		if p.total >= p.f.Offset {
			if p.f.Limit == 0 || len(p.rows) < p.f.Limit {
				p.rows = append(p.rows, id)
			} else {
				p.more = true
			}
		}
		p.total++
	}
	return nil
}

// page describes the list, which was searched down to before.
func (p *pager) page(before int64) gateway.MessagePage {
	page := gateway.MessagePage{Total: p.total, Capped: p.over || p.spent, HasMore: p.more || p.over || p.spent}
	filled := p.f.Limit > 0 && len(p.rows) == p.f.Limit
	switch {
	case !page.HasMore:
	case filled:
		page.Next = p.rows[len(p.rows)-1]
	default:
		page.Next, page.Incomplete = before, p.spent
	}
	return page
}
