package store

import (
	"errors"
	"math"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds are how much one call of a list does at the most, whatever is stored.
type Bounds struct {
	Total  int // matching messages that are counted
	Scan   int // rows that are looked at and do not match
	Agents int // agents that are looked at
}

// DefaultBounds returns what every store has; tests have less.
func DefaultBounds() Bounds {
	return Bounds{Total: gateway.MaxTotal, Scan: gateway.MaxScan, Agents: gateway.MaxAgents}
}

// SinceSlack is how much later than another message one may have been received and
// yet be stored before it, in µs. A store finds the messages since a time behind
// the last one that was received as long before it: numbers are given in about the
// order of arrival.
const SinceSlack = 60_000_000

// Indexes are the series of messages that a store reads through an index each.
type Indexes struct {
	All                Series
	SentBy, ReceivedBy func(agent int64) Series
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
	if len(all) == 0 {
		return x.All
	}
	return Intersection(all...)
}

// named returns the messages of an address, elsewhere or of any agent that ever had it.
func named(dir *Directory, a amtp.Address, elsewhere func(string) Series, here func(int64) Series) Series {
	list := []Series{elsewhere(a.Key())}
	for _, id := range dir.EverNamed(a) {
		list = append(list, here(id))
	}
	return Union(list...)
}

// Fetch returns the highest numbers of messages below before that one index has,
// the highest first, and up to limit of them.
type Fetch func(before int64, limit int) ([]int64, error)

// Series is the numbers of some messages, from the highest down.
type Series interface {
	// below returns the highest number below before, 0 when there is none.
	below(before int64, b *budget) (int64, error)
}

// budget counts the rows that are read of indexes.
type budget struct {
	looked, most int
	at           int64 // everything from here up was looked at when it was used up
}

// errSpent ends a search that has looked at as many rows as it may.
var errSpent = errors.New("as many rows were read as one call may")

// How many numbers are read of an index at once: few at first, and twice as many
// each time that all of them were wanted.
const (
	firstStep = 16
	lastStep  = 256
)

// index is a series that one index of the database has.
type index struct {
	fetch Fetch
	rows  []int64
	done  bool // nothing is below rows
	step  int
}

// Index returns the series that fetch reads.
func Index(fetch Fetch) Series { return &index{fetch: fetch, step: firstStep} }

func (x *index) below(before int64, b *budget) (int64, error) {
	// rows descends: leave out those that are not below before.
	from, _ := slices.BinarySearchFunc(x.rows, before-1, func(row, want int64) int {
		return int(min(max(want-row, -1), 1))
	})
	x.rows = x.rows[from:]
	if len(x.rows) == 0 && !x.done {
		if from > 1 { // most of what was read was leapt over
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

// union is the numbers that any of some series has.
type union []Series

// Union returns the numbers that any of the series has, each once.
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

// intersection is the numbers that all of some series have. The series leap over what
// the others do not have: the search costs what the shortest of them holds.
type intersection []Series

// Intersection returns the numbers that all of the series have.
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

// Listing is a list of messages, newest first, of which a page is wanted.
type Listing struct {
	Series Series
	Floor  int64 // no message up to this number matches
	// Match says which of the messages match beside being in the series; nil means
	// all of them.
	Match  func(rows []int64) (match []bool, err error)
	Bounds Bounds
}

// Page returns the numbers of the messages on the page that the filter asks for,
// and what the page says of the rest of the list.
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

// next returns the next numbers of the series, where to go on, and whether there
// is something.
func (l *Listing) next(before int64, b *budget) (found []int64, at int64, more bool, err error) {
	for len(found) < lastStep {
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
	count int // up to how many are counted
	rows  []int64
	total int
	over  bool // there is one more than is counted
	more  bool // there is one behind the page
	spent bool // as many rows were looked at as may be
}

// full reports whether nothing more has to be known.
func (p *pager) full() bool { return p.over }

// add takes those of the numbers that match.
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

// page says what is known of the list, which was looked through down to before.
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
