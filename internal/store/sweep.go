package store

import "sync"

// LookedAt is at how many times as many rows one step of a Sweep looks as it may find:
// some are leased, and some are young but for a clock that was wrong.
const LookedAt = 20

// Sweep goes through rows in an order, a step at a time. Each step begins with the
// first row as long as it finds enough there. Beyond that it goes on where the last one
// ended, and begins anew at the end: rows that have to stay hide none behind them,
// however many they are. It is kept in memory, for a sweep may begin anywhere.
type Sweep struct {
	mu sync.Mutex
	at Position
}

// Position is a row in the order of a time and, of those with the same, of a number or a
// name. The zero value is before all of them.
type Position struct {
	Time int64
	ID   int64
	Name string
}

// Step takes the next step, which ends when it has found so many as enough. look is told
// behind which row, and returns how many rows it found and the last that it looked at,
// the zero Position when it came to the end.
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
