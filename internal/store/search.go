package store

// Search collects the rows that one step of a Sweep finds. The rows come in the order
// of their places, at most Most of them.
type Search[T any] struct {
	Found []T

	limit, looked int
	last          Position
}

// NewSearch returns a search that ends when it has found so many.
func NewSearch[T any](limit int) *Search[T] { return &Search[T]{limit: limit} }

// Most returns at how many rows a search looks.
func (s *Search[T]) Most() int { return LookedAt * s.limit }

// Look looks at the next row, and reports whether the search goes on.
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

// Last returns the last row that was looked at, the zero Position when the search came to
// the end of the rows.
func (s *Search[T]) Last() Position {
	if len(s.Found) < s.limit && s.looked < s.Most() {
		return Position{}
	}
	return s.last
}
