package gateway

import (
	"strconv"
	"strings"

	"github.com/amtp-go/amtp"
)

// Kind says what a job does. A job's destination tells its kind.
type Kind int

// The kinds. Each has a row in the table below, and a courier.
const (
	KindRemote   Kind = iota + 1 // delivers a message to the gateway of another domain
	KindPush                     // delivers a message to the endpoint of a local agent
	KindReport                   // tells a local sender which deliveries failed
	KindDeadline                 // tells a local sender that an answer did not come in time
	KindExpiry                   // ends a message that is of no use any more
)

// The number of attempts that may run at once at one destination.
const (
	MaxWidth   = 192 // one or two HTTP/2 connections carry as many: servers allow a hundred streams on each
	smallWidth = 8   // at an agent's endpoint, and for what this gateway writes itself
)

// kindRow has everything that the gateway knows of the jobs of one kind. Code that
// depends on the kind asks for a property and compares no kinds, so that a new kind
// needs only a row here and a courier.
type kindRow struct {
	kind     Kind
	name     string // for people
	prefix   string // the prefix of its destinations, colon included; "" for domains
	width    int    // attempts that may be made at once at one destination
	decides  bool   // its deliveries wait for it; without that, its payload names its subject
	internal bool   // an attempt stays within this gateway
	whole    bool   // its subject is the message itself, and not some of its deliveries
}

var kinds = []kindRow{
	{kind: KindRemote, name: "remote", prefix: "", width: MaxWidth, decides: true, internal: false},
	{kind: KindPush, name: "push", prefix: "push:", width: smallWidth, decides: true, internal: false},
	{kind: KindReport, name: "report", prefix: "report:", width: smallWidth, decides: false, internal: true},
	{kind: KindDeadline, name: "deadline", prefix: "deadline:", width: smallWidth, internal: true, whole: true},
	{kind: KindExpiry, name: "expiry", prefix: "expiry:", width: smallWidth, internal: true, whole: true},
}

// Kinds returns all kinds.
func Kinds() []Kind {
	list := make([]Kind, len(kinds))
	for i := range kinds {
		list[i] = kinds[i].kind
	}
	return list
}

func (k Kind) row() *kindRow { return &kinds[k-1] }

// String returns the kind's name.
func (k Kind) String() string { return k.row().name }

// Prefix returns the prefix of the destinations of the kind, "" for those that are
// domains.
func (k Kind) Prefix() string { return k.row().prefix }

// Width returns how many attempts may be made at once at one destination of the kind.
func (k Kind) Width() int { return k.row().width }

// Decides reports whether deliveries wait for jobs of the kind, and are decided by
// their attempts. A job of any other kind has a payload that names its subject.
func (k Kind) Decides() bool { return k.row().decides }

// Internal reports whether an attempt stays within this gateway, without any other
// system.
func (k Kind) Internal() bool { return k.row().internal }

// Whole reports whether the subject of a job is the message itself. Such a job has one
// recipient without an address, whose result is that of the job.
func (k Kind) Whole() bool { return k.row().whole }

// Destination is the place to which jobs deliver. Jobs for one destination fail
// together, and never delay those for another. It is a domain in lower case, one of the
// names that PushTo returns, or one within this gateway. A domain has no colon.
type Destination string

// Destinations within this gateway.
const (
	Reports   Destination = "report:"   // reports of failures, to inboxes
	Deadlines Destination = "deadline:" // notices that an answer did not come in time, to inboxes
	Expiries  Destination = "expiry:"   // the ends of messages
)

// PushTo returns the destination of pushes to a local agent.
func PushTo(agent AgentID) Destination {
	return Destination(KindPush.Prefix() + strconv.FormatInt(int64(agent), 10))
}

// Kind returns the kind of the jobs of a destination.
func (d Destination) Kind() Kind {
	if colon := strings.IndexByte(string(d), ':'); colon >= 0 {
		for i := range kinds {
			if kinds[i].prefix == string(d[:colon+1]) {
				return kinds[i].kind
			}
		}
	}
	return KindRemote
}

// Agent returns the local agent of a push destination, 0 for any other destination.
func (d Destination) Agent() int64 {
	if d.Kind() != KindPush {
		return 0
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(string(d), KindPush.Prefix()), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// Domain returns the domain of a remote destination, "" for any other.
func (d Destination) Domain() amtp.Domain {
	if d.Kind() != KindRemote {
		return ""
	}
	return amtp.Domain(d)
}
