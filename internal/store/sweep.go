package store

import "sync"

// LookedAt is how many rows one step of a Sweep looks at for each row that it may find.
// Some rows are leased, and some look old only because a clock was wrong.
const LookedAt = 20

// Sweep goes through rows in order, one step at a time. Each step begins with the first
// row, as long as it finds enough rows there. Otherwise the next step continues after
// the last row, and starts again at the end. So rows that have to stay never hide the
// rows after them. The position is kept in memory only, because a sweep may begin
// anywhere.
type Sweep struct {
	mu sync.Mutex
	at Position
}

// Position is the place of a row, ordered by a time, then by a number or a name. The
// zero value is before all rows.
type Position struct {
	Time int64
	ID   int64
	Name string
}

// Step takes the next step. The step ends when it has found enough rows. look is called
// with the position after which it starts. It returns how many rows it found and the
// position of the last row that it looked at, zero when it reached the end.
func (s *Sweep) Step(enough int,
	look func(after Position) (found int, last Position, err error)) (found int, err error) {
	s.mu.Lock()
	at := s.at
	s.mu.Unlock()
	found, last, err := look(at)
	if err == nil && found == 0 && last == (Position{}) && at != last {
		found, last, err = look(last)
	}
	switch {
	case err != nil:
		return 0, err
	case at == (Position{}) && found >= enough:
		last = at
	}
	s.mu.Lock()
	s.at = last
	s.mu.Unlock()
	return found, nil
}
