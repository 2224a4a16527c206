package hostile

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestLinearFindsSquares: a reader that scans all of its input for each thing that it
// finds is noticed, and a linear one is not.
func TestLinearFindsSquares(t *testing.T) {
	sum := 0
	linear := func(b []byte) {
		for _, c := range b {
			sum += int(c)
		}
	}
	Linear(t, Texts(), 64<<10, linear)
	small, large := bytes.Repeat([]byte("a;"), 4<<10), bytes.Repeat([]byte("a;"), times*4<<10)
	square := func(b []byte) {
		for i := range b {
			sum += bytes.Count(b[i:], []byte{';'})
		}
	}
	// An interruption of the machine while it reads the small input hides the square once.
	// Linear has many shapes, and here there are several tries.
	var ratios []float64
	for range 10 {
		ratio := growth(small, large, square)
		if ratio > mostRatio {
			return
		}
		ratios = append(ratios, ratio)
	}
	t.Errorf("a quadratic reader costs %.1f times as much for %d times as much, want once more than %.1f",
		ratios, times, mostRatio)
}

// TestShapesAreWhatTheySay: sizes are about right, and values are JSON, except those
// that are cut or name a member twice.
func TestShapesAreWhatTheySay(t *testing.T) {
	for _, s := range Values() {
		for _, n := range []int{4 << 10, 64 << 10} {
			doc := s.Make(n)
			if len(doc) < n*9/10 || len(doc) > n+3000 {
				t.Errorf("%s of %d bytes has %d", s.Name, n, len(doc))
			}
			if valid := json.Valid(doc); valid != (s.Name != "cut") {
				t.Errorf("%s is JSON: %v", s.Name, valid)
			}
		}
	}
	for _, s := range Texts("v=amtp1;") {
		if doc := s.Make(64 << 10); len(doc) < 60<<10 || len(doc) > 64<<10 {
			t.Errorf("%s of %d bytes has %d", s.Name, 64<<10, len(doc))
		}
	}
}
