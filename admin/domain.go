package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// DomainPlan answers POST /v1/admin/domain: it says what a gateway will do to serve a
// domain.
type DomainPlan struct {
	Domain amtp.Domain    `json:"domain"`
	Serves amtp.Domain    `json:"serves"` // the domain that it serves until its next start
	Agents []Readdressing `json:"agents"` // those whose addresses change then
	Keys   []SigningKey   `json:"keys"`   // the keys whose records must be published, oldest first
}

// Readdressing is an agent whose address changes. The former address stays an alias at
// its gateway.
type Readdressing struct {
	From amtp.Address `json:"from"`
	To   amtp.Address `json:"to"`
}

// PrepareDomain makes a gateway without a domain of its own generate the first signing
// key for one, and returns what its next start in that domain will do. A second call
// changes nothing. The error is CONFLICT if the gateway serves another domain, or if
// the name of an agent is taken in the new one.
func (c *Client) PrepareDomain(ctx context.Context, d amtp.Domain) (DomainPlan, error) {
	var out DomainPlan
	body := map[string]string{"domain": string(d)}
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "domain"}, Body: body,
		Repeat: true}, &out)
	return out, err
}
