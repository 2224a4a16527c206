package calls

import (
	"errors"
	"iter"
)

// maxEmptyPages is after how many pages in a row without anything on them a list ends.
// A gateway looks at thousands of items for each.
const maxEmptyPages = 100

// ErrEmptyPages ends a list of which maxEmptyPages in a row had nothing on them.
var ErrEmptyPages = errors.New("the gateway showed 100 pages in a row without anything on them, and each said that more follows")

// GoesOn notes where the next page begins and reports whether there is one. A
// gateway that names the same place again has no other.
func GoesOn(more bool, next string, cursor *string) bool {
	if !more || next == "" || next == *cursor {
		return false
	}
	*cursor = next
	return true
}

// Pages goes through what next returns until it says that nothing follows.
func Pages[T any](next func() (items []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for empty := 0; ; {
			items, more, err := next()
			if empty++; len(items) > 0 {
				empty = 0
			}
			if err == nil && more && empty == maxEmptyPages {
				err = ErrEmptyPages
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}
