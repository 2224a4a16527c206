package discovery

import (
	"context"
	"time"
)

// Resolver asks DNS. Several callers may ask at once.
type Resolver interface {
	// TXT asks for the TXT records at a name, which has no final dot. An error
	// means that DNS did not say; that there is no record, or no such name, is
	// an answer.
	TXT(ctx context.Context, name string) (Answer, error)
}

// Answer is what DNS says of a name.
type Answer struct {
	Status  Status
	Records []string      // of Exists: each joined from its strings
	TTL     time.Duration // for how long that holds; 0 if DNS does not say
}

// Status is whether there is something at a name.
type Status int

// The states of a name.
const (
	Exists Status = iota + 1 // there are records
	NoData                   // there is the name, or one below it, but no such record
	NoName                   // there is no such name, and none below it
)

// NoDNS is a DNS without names.
type NoDNS struct{}

// TXT answers that there is no such name.
func (NoDNS) TXT(context.Context, string) (Answer, error) { return Answer{Status: NoName}, nil }
