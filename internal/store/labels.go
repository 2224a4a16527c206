package store

import (
	"slices"
	"strings"
)

// Labels returns the labels of a message, in order, from one text with spaces between
// them. No label has a space.
func Labels(text string) []string {
	list := strings.Fields(text)
	slices.Sort(list)
	return list
}
