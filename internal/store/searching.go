package store

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Candidate is a message that the index proposes, as it is in the messages.
type Candidate struct {
	ID       amtp.MessageID
	Own      bool // the agent sent or received it
	Body     bool // its body is stored
	Received int64
	Thread   amtp.MessageID // in the agent's mailbox
}

// Found reports whether a search finds the candidate.
func (c *Candidate) Found(f *gateway.SearchFilter) bool {
	return c.Own && c.Body && c.Received >= Micros(f.Since) &&
		(f.Thread == "" || c.Thread == f.Thread || c.ID == f.Thread)
}

// Lookup is one search over an index.
type Lookup struct {
	// Index returns the numbers of messages that have the terms, below before and the
	// highest first.
	Index Fetch
	// From are the messages of the sender that the filter asks for, nil for any.
	From  Series
	Floor int64 // no message up to this number was received since the time of the filter
	// Match reports which of the messages are found (Candidate.Found).
	Match func(rows []int64) ([]bool, error)
	// Sizes returns the bytes of the messages' bodies.
	Sizes  func(rows []int64) (map[int64]int, error)
	Bounds Bounds
}

// searchStep is how many candidates are looked up at once. Most searches need one page.
const searchStep = 32

// FirstFound is how many messages a search asks the index for at first: those of a page and
// one more, so that most searches ask once. Each time, the index goes through all words that
// begin like one of the query.
func FirstFound(f *gateway.SearchFilter) int { return min(max(f.Limit, firstStep)+1, lastStep) }

// Page returns the numbers of the messages on a page, and the page without its messages.
func (s *Lookup) Page(f *gateway.SearchFilter) (rows []int64, page gateway.SearchPage, err error) {
	series := Series(&index{fetch: s.Index, step: FirstFound(f)})
	if s.From != nil {
		series = Intersection(series, s.From)
	}
	l := Listing{Series: series, Floor: s.Floor, Match: s.Match, Step: min(searchStep, f.Limit+1),
		Bounds: Bounds{Scan: s.Bounds.Scan}}
	rows, list, err := l.Page(gateway.MessageFilter{Before: f.Before, Limit: f.Limit})
	if err != nil {
		return nil, page, err
	}
	page = gateway.SearchPage{HasMore: list.HasMore, Next: list.Next, Incomplete: list.Incomplete}
	sizes, err := s.Sizes(rows)
	if err != nil {
		return nil, page, err
	}
	bytes := 0
	for i, row := range rows {
		if bytes += sizes[row]; i > 0 && f.MaxBytes > 0 && bytes > f.MaxBytes {
			return rows[:i], gateway.SearchPage{HasMore: true, Next: rows[i-1]}, nil
		}
	}
	return rows, page, nil
}

// IndexBytes is the most bytes of bodies that one step of the index reads.
const IndexBytes = 8 << 20
