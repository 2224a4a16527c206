package store

import (
	"fmt"

	"github.com/amtp-go/amtp/internal/gateway"
)

// ChangeDocuments returns the documents that replace all those of a kind. It refuses
// documents of another kind, and two documents with one name.
func ChangeDocuments(c *gateway.DocumentChange, before []gateway.Document) ([]gateway.Document, error) {
	after, err := c.Change(before)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(after))
	for _, n := range after {
		if n.Kind != c.Kind {
			return nil, fmt.Errorf("a document has kind %q, and the change is of kind %q", n.Kind, c.Kind)
		}
		if names[n.Name] {
			return nil, fmt.Errorf("%w: two documents of kind %q have the name %q", gateway.ErrExists, c.Kind, n.Name)
		}
		names[n.Name] = true
	}
	return after, nil
}
