package held

import "testing"

// TestSettling: memory is returned once after many connections came, not while they come
// and not while their number stays.
func TestSettling(t *testing.T) {
	var s settling
	for i, step := range []struct {
		now  int
		want bool
	}{
		{0, false}, {900, false}, {900, false}, {5000, false}, {5050, true}, {5050, false},
		{5900, false}, {5900, false}, {6050, false},
		{6050, true}, {100, false}, {1000, false}, {1000, false}, {1100, true}, {1100, false},
	} {
		if got := s.worth(step.now); got != step.want {
			t.Errorf("step %d, with %d connections: got %t, want %t", i, step.now, got, step.want)
		}
	}
}
