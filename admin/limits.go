package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// The words of a [Limit] for who is counted.
const (
	LimitStranger = "stranger" // who proved nothing
	LimitNewcomer = "newcomer" // a domain that signs since less than a day
	LimitKnown    = "known"    // a domain that has signed for longer
	LimitAgent    = "agent"    // an agent of the gateway
	LimitLookUp   = "look-up"  // domains that are looked up for the first time
	LimitQuestion = "question" // requests without a key that are no messages
)

// The words of a [Limit] for what is counted.
const (
	LimitAddress = "address" // an address, of IPv6 a /64 network
	LimitNetwork = "network" // a /24 network, of IPv6 a /56
	LimitSite    = "site"    // a /48 network of IPv6
	LimitDomain  = "domain"  // of the sender
	LimitSender  = "sender"
	LimitInbox   = "inbox"
)

// Limit is how much of one kind may be used. Messages and Bytes may be used at once;
// what was used comes back evenly, so much in a minute. Bytes are 0 where only
// messages are counted.
type Limit struct {
	Class          string `json:"class"` // LimitStranger and others
	Of             string `json:"of"`    // LimitAddress and others
	Messages       int64  `json:"messages"`
	MessagesMinute int64  `json:"messages_minute"`
	Bytes          int64  `json:"bytes"`
	BytesMinute    int64  `json:"bytes_minute"`
	Refused        int64  `json:"refused"` // requests, since the gateway started
	Names          int    `json:"names"`   // that are remembered
}

// LimitUse is what one name uses of a Limit.
type LimitUse struct {
	Class    string  `json:"class"`
	Of       string  `json:"of"`
	Name     string  `json:"name"`
	Messages int64   `json:"messages"` // that have not come back yet
	Bytes    int64   `json:"bytes"`
	Share    float64 `json:"share"` // of the one that is used most, from 0 to 1
	Refused  int64   `json:"refused"`
}

// DiskRoom is how much room there is for messages, in bytes.
type DiskRoom struct {
	Free  int64 `json:"free"`
	Least int64 `json:"least"` // below it strangers are refused
	Short bool  `json:"short"`
}

// ConnectionCount is how many connections are open.
type ConnectionCount struct {
	Open      int   `json:"open"`
	Most      int   `json:"most"`      // that may be open together
	Strangers int   `json:"strangers"` // of those open: from elsewhere, and without a key or a signature
	Reserve   int   `json:"reserve"`   // of the most: kept from strangers
	Refused   int64 `json:"refused"`   // closed at once, since the start
	GaveWay   int64 `json:"gave_way"`  // closed to make room for others, since the start
}

// LimitReport answers GET /v1/admin/limits: what the gateway that answers knows. Used
// has the names that use most of each limit, those with the largest share first.
type LimitReport struct {
	Timestamp    amtp.Time        `json:"timestamp"`
	Limits       []Limit          `json:"limits"`
	Used         []LimitUse       `json:"used"`
	Disk         *DiskRoom        `json:"disk,omitempty"` // nil where nobody can say
	RefusedShort int64            `json:"refused_short"`  // requests, because the disk was short
	Connections  *ConnectionCount `json:"connections,omitempty"`
}

// Limits tells what may be used of the gateway in a time, and what is used. Of several
// gateways on one database each answers for itself.
func (c *Client) Limits(ctx context.Context) (LimitReport, error) {
	var out LimitReport
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "limits"}, Repeat: true}, &out)
	return out, err
}
