package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// The values of Class in a [Limit]: the callers for whom it holds.
const (
	LimitStranger = "stranger" // a caller that proved nothing
	LimitNewcomer = "newcomer" // a domain that has signed for less than a day
	LimitKnown    = "known"    // a domain that has signed for longer
	LimitAgent    = "agent"    // an agent of the gateway
	LimitLookUp   = "look-up"  // domains that a caller makes the gateway look up for the first time
	LimitQuestion = "question" // requests without a key other than messages
)

// The values of Of in a [Limit]: the names by which use is counted.
const (
	LimitAddress = "address" // an IPv4 address, or a /64 network of IPv6
	LimitNetwork = "network" // a /24 network of IPv4, or a /56 of IPv6
	LimitSite    = "site"    // a /48 network of IPv6
	LimitDomain  = "domain"  // of the sender
	LimitSender  = "sender"
	LimitInbox   = "inbox"
)

// Limit says how much of one kind may be used. Messages and Bytes may be used at once;
// the used part comes back evenly, so much in a minute. Bytes are 0 if only messages
// are counted.
type Limit struct {
	Class          string `json:"class"` // LimitStranger or another class
	Of             string `json:"of"`    // LimitAddress or another kind of name
	Messages       int64  `json:"messages"`
	MessagesMinute int64  `json:"messages_minute"`
	Bytes          int64  `json:"bytes"`
	BytesMinute    int64  `json:"bytes_minute"`
	Refused        int64  `json:"refused"` // requests, since the gateway started
	Names          int    `json:"names"`   // names that are remembered
}

// LimitUse says how much one name uses of a Limit.
type LimitUse struct {
	Class    string  `json:"class"`
	Of       string  `json:"of"`
	Name     string  `json:"name"`
	Messages int64   `json:"messages"` // used messages that have not come back yet
	Bytes    int64   `json:"bytes"`
	Share    float64 `json:"share"` // of the rate that is used most, from 0 to 1
	Refused  int64   `json:"refused"`
}

// DiskRoom says how much disk space there is for messages, in bytes.
type DiskRoom struct {
	Free  int64 `json:"free"`
	Least int64 `json:"least"` // below it messages from strangers are refused
	Short bool  `json:"short"`
}

// ConnectionCount says how many connections are open.
type ConnectionCount struct {
	Open      int   `json:"open"`
	Most      int   `json:"most"`      // that may be open at once
	Strangers int   `json:"strangers"` // open connections from elsewhere without a key or a signature
	Reserve   int   `json:"reserve"`   // part of Most that strangers may not use
	Refused   int64 `json:"refused"`   // closed at once, since the start
	GaveWay   int64 `json:"gave_way"`  // closed to make room for others, since the start
}

// LimitReport answers GET /v1/admin/limits, as the gateway that answers knows it. Used
// has the names that use most of each limit, those with the largest share first.
type LimitReport struct {
	Timestamp    amtp.Time        `json:"timestamp"`
	Limits       []Limit          `json:"limits"`
	Used         []LimitUse       `json:"used"`
	Disk         *DiskRoom        `json:"disk,omitempty"` // nil if it is not known
	RefusedShort int64            `json:"refused_short"`  // requests, because the disk was short
	Connections  *ConnectionCount `json:"connections,omitempty"`
}

// Limits returns the limits of the gateway and their use. If several gateways share a
// database, each reports its own counts.
func (c *Client) Limits(ctx context.Context) (LimitReport, error) {
	var out LimitReport
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "limits"}, Repeat: true}, &out)
	return out, err
}
