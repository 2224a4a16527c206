package gateway

import "github.com/amtp-go/amtp"

// Priority is how urgent a message is to its sender. Higher numbers come first. The
// numbers are stored.
type Priority int

// The priorities. A header with any other word is normal.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 0
	PriorityHigh   Priority = 1
	PriorityUrgent Priority = 2
)

// PriorityOf returns the priority that the sender gave a message.
func PriorityOf(m *amtp.Message) Priority {
	switch m.Header(amtp.HeaderPriority) {
	case amtp.PriorityUrgent:
		return PriorityUrgent
	case amtp.PriorityHigh:
		return PriorityHigh
	case amtp.PriorityLow:
		return PriorityLow
	}
	return PriorityNormal
}
