package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// DomainPlan answers POST /v1/admin/domain: what a gateway does to serve a
// domain.
type DomainPlan struct {
	Domain amtp.Domain    `json:"domain"`
	Serves amtp.Domain    `json:"serves"` // the one that it serves now; the other from its next start in it
	Agents []Readdressing `json:"agents"` // who gets another address then
	Keys   []SigningKey   `json:"keys"`   // whose records are to be published, oldest first
}

// Readdressing is an agent whose address changes. The former one stays an alias
// at its gateway.
type Readdressing struct {
	From amtp.Address `json:"from"`
	To   amtp.Address `json:"to"`
}

// PrepareDomain has a gateway without a domain of its own make the first signing
// key for one, and returns what its next start in that domain will do. Done again
// it changes nothing. It is CONFLICT when the gateway serves another
// domain, or when the name of an agent is taken in it.
func (c *Client) PrepareDomain(ctx context.Context, d amtp.Domain) (DomainPlan, error) {
	var out DomainPlan
	body := map[string]string{"domain": string(d)}
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "domain"}, Body: body,
		Repeat: true}, &out)
	return out, err
}
