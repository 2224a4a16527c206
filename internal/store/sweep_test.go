package store

import (
	"errors"
	"testing"
)

// TestSweep: rows that stay do not hide rows after them, and a sweep that reached the
// end starts again.
func TestSweep(t *testing.T) {
	const most = 10
	stays := make(map[int64]bool)
	rows := []int64{}
	for i := range int64(95) {
		rows = append(rows, i+1)
		stays[i+1] = i < 60 || i%2 == 0
	}
	var s Sweep
	step := func() (found int) {
		found, err := s.Step(most, func(after Position) (found int, last Position, err error) {
			looked := 0
			for i := 0; i < len(rows); i++ {
				if rows[i] <= after.Time {
					continue
				}
				if looked == most {
					return found, last, nil
				}
				looked, last = looked+1, Position{Time: rows[i]}
				if !stays[rows[i]] {
					rows, found, i = append(rows[:i:i], rows[i+1:]...), found+1, i-1
				}
			}
			return found, Position{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	sum := 0
	for range 10 {
		sum += step()
	}
	if sum != 17 {
		t.Errorf("ten steps found %d rows, want all 17", sum)
	}
	stays[3] = false
	for range 10 {
		sum += step()
	}
	if sum != 18 {
		t.Errorf("ten steps more found %d rows, want the one that stays no more", sum-17)
	}
	full := errors.New("the disk is full")
	if n, err := s.Step(most, func(Position) (int, Position, error) { return 1, Position{Time: 5}, full }); n != 0 ||
		!errors.Is(err, full) {
		t.Errorf("a step that fails = %d, %v; want 0 and its error", n, err)
	}
}
