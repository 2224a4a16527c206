package store

import (
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ThreadRow is a message of a thread in a mailbox, by its number.
type ThreadRow struct {
	Row    int64
	Unread bool // it waits in the inbox and is not marked read
}

// ThreadRows are messages of a thread, in any order. A message that the agent sent to
// itself may be there twice.
type ThreadRows []ThreadRow

// Newest returns the highest number, 0 when there is none.
func (t ThreadRows) Newest() (newest int64) {
	for _, r := range t {
		newest = max(newest, r.Row)
	}
	return newest
}

// Oldest returns the lowest number, 0 when there is none.
func (t ThreadRows) Oldest() int64 {
	if len(t) == 0 {
		return 0
	}
	return slices.MinFunc(t, func(a, b ThreadRow) int { return int(min(max(a.Row-b.Row, -1), 1)) }).Row
}

// Counted is how many of the newest messages of a thread are read from each index, so
// that Describe can count.
const Counted = gateway.MaxThreadCount + 1

// Describe sets the numbers of a thread. The rows are its newest messages, up to Counted
// from each index.
func (t ThreadRows) Describe(to *gateway.Thread) {
	unread := make(map[int64]bool, len(t))
	for _, r := range t {
		unread[r.Row] = unread[r.Row] || r.Unread
	}
	rows := make([]int64, 0, len(unread))
	for row := range unread {
		rows = append(rows, row)
	}
	slices.Sort(rows)
	if to.Capped = len(rows) > gateway.MaxThreadCount; to.Capped {
		rows = rows[len(rows)-gateway.MaxThreadCount:]
	}
	to.Count = len(rows)
	for _, row := range rows {
		if unread[row] {
			to.Unread++
		}
	}
}

// Merge returns the lowest numbers of several lists, each once, in ascending order:
// limit of them at the most.
func Merge(limit int, lists ...[]int64) []int64 {
	all := slices.Concat(lists...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), limit)]
}

// ThreadNewest returns which of these messages, each in the thread of the same place,
// are the newest of their threads. rows returns the newest messages of threads.
func ThreadNewest(of []int64, in []amtp.MessageID,
	rows func([]amtp.MessageID) (map[amtp.MessageID]ThreadRows, error)) (newest []bool, err error) {
	names := slices.Clone(in)
	slices.Sort(names)
	found, err := rows(slices.Compact(names))
	if err != nil {
		return nil, err
	}
	newest = make([]bool, len(of))
	for i, row := range of {
		newest[i] = found[in[i]].Newest() <= row
	}
	return newest, nil
}

// ThreadListing returns the list of the threads of a mailbox, by their newest messages.
// newest reports which messages are the newest of their threads.
func ThreadListing(mailbox Series, newest func(rows []int64) ([]bool, error), b Bounds) Listing {
	b.Total = 0 // threads are not counted
	return Listing{Series: mailbox, Match: newest, Bounds: b}
}
