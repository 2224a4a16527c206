// Package calls is what the clients of a gateway share, the agents' and the operator's:
// the parameters of a request, and lists that are read page by page. It keeps nothing.
package calls

import (
	"net/url"
	"strconv"
	"time"
)

// Query collects the parameters that are set.
type Query url.Values

// Text sets a parameter, unless the value is zero.
func (q Query) Text(name, value string) {
	if value != "" {
		q[name] = []string{value}
	}
}

// Number sets a parameter, unless the value is zero.
func (q Query) Number(name string, value int) {
	if value != 0 {
		q.Text(name, strconv.Itoa(value))
	}
}

// Flag sets a parameter, unless the value is zero.
func (q Query) Flag(name string, value bool) {
	if value {
		q.Text(name, "true")
	}
}

// Time sets a parameter, unless the value is zero.
func (q Query) Time(name string, value time.Time) {
	if !value.IsZero() {
		q.Text(name, value.UTC().Format(time.RFC3339Nano))
	}
}
