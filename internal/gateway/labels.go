package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amtp-go/amtp"
)

// Bounds of labels.
const (
	MaxLabels      = 32 // of one message in one mailbox
	MaxLabelLength = 64
)

// ErrLabels says that a message would have more than MaxLabels labels.
var ErrLabels = errors.New("too many labels")

// Labels is the part of a Store that keeps the labels of messages. A label belongs to a
// message in one mailbox, and no other mailbox ever sees it. Labels go with their
// message.
type Labels interface {
	// Label changes the labels of a message in the agent's mailbox, and returns those
	// that it has then, in order. The id is one under which Message finds the message
	// for the agent, else it is ErrNotFound. It is ErrLabels when there would be too
	// many, and then nothing is changed. Changes at the same time are made one after
	// the other.
	Label(ctx context.Context, by Acting, id amtp.MessageID, change LabelChange) ([]string, error)
}

// LabelChange adds labels to a message and removes others. A label that is in both is
// removed.
type LabelChange struct {
	Add, Remove []string // as ParseLabel returns them
}

// Apply returns the labels after the change, in order.
func (c LabelChange) Apply(have []string) ([]string, error) {
	list := slices.Concat(have, c.Add)
	slices.Sort(list)
	list = slices.DeleteFunc(slices.Compact(list), func(name string) bool { return slices.Contains(c.Remove, name) })
	if len(list) > MaxLabels && len(list) > len(have) {
		return nil, ErrLabels
	}
	return list, nil
}

// ParseLabel returns the name of a label in lower case.
func ParseLabel(s string) (string, error) {
	if s == "" || len(s) > MaxLabelLength {
		return "", fmt.Errorf("a label has 1 to %d characters", MaxLabelLength)
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_./", c) < 0 {
			return "", fmt.Errorf("a label has only letters of ASCII, digits and - _ . /")
		}
	}
	return strings.ToLower(s), nil
}
