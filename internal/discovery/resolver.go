package discovery

import (
	"context"
	"time"
)

// Resolver asks DNS. Several callers may ask at once.
type Resolver interface {
	// TXT asks for the TXT records at a name, which has no final dot. An error means that
	// DNS did not answer. That there is no record, or no such name, is an answer.
	TXT(ctx context.Context, name string) (Answer, error)
}

// Answer is the answer of DNS about a name.
type Answer struct {
	Status  Status
	Records []string      // with Exists: each joined from its strings
	TTL     time.Duration // for how long the answer is valid; 0 if DNS does not say
}

// Status says whether there are records at a name.
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
