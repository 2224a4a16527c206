package store

// Search collects the rows that one step of a Sweep finds. Look is called for the rows
// in the order of their positions, for at most Most rows.
type Search[T any] struct {
	Found []T

	limit, looked int
	last          Position
}

// NewSearch returns a search that ends when it has found limit rows.
func NewSearch[T any](limit int) *Search[T] { return &Search[T]{limit: limit} }

// Most returns the most rows at which a search looks.
func (s *Search[T]) Most() int { return LookedAt * s.limit }

// Look takes the next row and whether it is wanted, and reports whether the search goes
// on.
func (s *Search[T]) Look(at Position, row T, found bool) (more bool) {
	if len(s.Found) >= s.limit {
		return false
	}
	s.looked, s.last = s.looked+1, at
	if found {
		s.Found = append(s.Found, row)
	}
	return len(s.Found) < s.limit
}

// Last returns the position of the last row that was looked at, or the zero Position
// when the search reached the end of the rows.
func (s *Search[T]) Last() Position {
	if len(s.Found) < s.limit && s.looked < s.Most() {
		return Position{}
	}
	return s.last
}
