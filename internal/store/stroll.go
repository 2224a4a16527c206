package store

import "sync"

// LookedAt is at how many times as many rows one step of a Stroll looks as it may find:
// some are leased, and some are young but for a clock that was wrong.
const LookedAt = 20

// Stroll is a walk through rows in an order, a step at a time. Each step begins with the
// first row as long as it finds enough there. Beyond that it goes on where the last one
// ended, and begins anew at the end: rows that have to stay hide none behind them,
// however many they are. It is kept in memory, for a walk may begin anywhere.
type Stroll struct {
	mu sync.Mutex
	at Place
}

// Place is a row in the order of a time and, of those with the same, of a number or a
// name. The zero value is before all of them.
type Place struct {
	Time int64
	ID   int64
	Name string
}

// Step takes the next step, which ends when it has found so many as enough. look is told
// behind which row, and returns how many rows it found and the last that it looked at,
// the zero Place when it came to the end.
func (s *Stroll) Step(enough int, look func(after Place) (found int, last Place, err error)) (found int, err error) {
	s.mu.Lock()
	at := s.at
	s.mu.Unlock()
	found, last, err := look(at)
	if err == nil && found == 0 && last == (Place{}) && at != last {
		found, last, err = look(last)
	}
	switch {
	case err != nil:
		return 0, err
	case at == (Place{}) && found >= enough:
		last = at
	}
	s.mu.Lock()
	s.at = last
	s.mu.Unlock()
	return found, nil
}
