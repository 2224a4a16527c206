package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// NewPeer says how a domain is reached that DNS does not know. At most one of
// Pin and CA is given; with neither, the gateway's certificate must be one that
// the asking gateway believes anyway.
type NewPeer struct {
	Domain  amtp.Domain `json:"domain"`
	Gateway string      `json:"gateway"`       // base URL, https
	Pin     string      `json:"pin,omitempty"` // of its certificate's public key: see amtp.ParsePin
	CA      string      `json:"ca,omitempty"`  // the authorities of its certificate, in PEM form
	// Unsigned says that the gateway there does not sign what it sends. Of any
	// other peer a message without a signature that verifies is refused.
	Unsigned bool `json:"unsigned,omitempty"`
	// Receipts says that the gateway there wants to be told when agents here read,
	// or acknowledge, a message from there. DNS would say it among the features.
	Receipts bool `json:"receipts,omitempty"`
}

// Peer is a domain that a gateway reaches without DNS, because its operator said
// how. Zero times are left out.
type Peer struct {
	NewPeer
	Added      amtp.Time `json:"added_at"`
	LastSeen   amtp.Time `json:"last_seen,omitzero"`   // when it last wrote here, to the hour
	LastSigned amtp.Time `json:"last_signed,omitzero"` // when it last wrote with a signature, to the hour
}

// PeerList answers GET /v1/admin/peers.
type PeerList struct {
	Domain amtp.Domain `json:"domain"` // of the gateway that is asked
	Self   GatewaySelf `json:"self"`
	Peers  []Peer      `json:"peers"`
	Count  int         `json:"count"`
	Seen   []PeerSeen  `json:"seen"` // domains that wrote here, with DNS or without; a thousand at the most
	// Flagged counts messages of other domains that were taken without proof.
	Flagged FlaggedCounts `json:"flagged"`
}

// FlaggedCounts counts the messages that one process of a gateway took since it
// started although nothing shows who sent them, because its policy is to flag
// them, by the result that stands beside them. AMTP §9.
type FlaggedCounts struct {
	Unsigned       int64 `json:"unsigned"`
	Invalid        int64 `json:"invalid"`
	KeyUnavailable int64 `json:"key_unavailable"`
}

// PeerSeen is a domain that wrote to a gateway. Times are to the hour.
type PeerSeen struct {
	Domain amtp.Domain `json:"domain"`
	First  amtp.Time   `json:"first_seen"`
	Last   amtp.Time   `json:"last_seen"`
	Signed amtp.Time   `json:"last_signed,omitzero"` // zero when it never did
}

// GatewaySelf is how a gateway is reached by others and known to them, as far as
// it can say.
type GatewaySelf struct {
	Gateways   []string `json:"gateways"`              // URLs; of several only some may be right
	Pin        string   `json:"pin,omitempty"`         // of the certificate that it shows; none where a proxy does
	SelfSigned bool     `json:"self_signed,omitempty"` // no authority has issued it
}

// PeerPoint is one thing that a check of a peer looked at.
type PeerPoint struct {
	Name string `json:"name"` // address, certificate, domain, keys, clock, them
	OK   bool   `json:"ok"`
	Text string `json:"text"`
	Mend string `json:"mend,omitempty"` // what to do about it
}

// PeerReport is a peer with what a check found: what works from here to there,
// and what from there to here.
type PeerReport struct {
	Peer   Peer        `json:"peer"`
	OK     bool        `json:"ok"`
	Points []PeerPoint `json:"points"`
}

// Peers lists the domains that the gateway reaches without DNS. This call, and those
// below, are CONFLICT on a gateway without a domain of its own.
func (c *Client) Peers(ctx context.Context) (PeerList, error) {
	var out PeerList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "peers"}, Repeat: true}, &out)
	return out, err
}

// AddPeer says how a domain is reached, in place of what was said before, and
// returns what a check finds. CONFLICT, and nothing is changed, when another
// gateway than the one meant answers there; when none answers it is taken.
func (c *Client) AddPeer(ctx context.Context, p NewPeer) (PeerReport, error) {
	var out PeerReport
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "peers"}, Body: p, Repeat: true}, &out)
	return out, err
}

// CheckPeer tries what works between the gateway and a peer, in each direction.
func (c *Client) CheckPeer(ctx context.Context, d amtp.Domain) (PeerReport, error) {
	var out PeerReport
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "peers", string(d), "check"},
		Repeat: true}, &out)
	return out, err
}

// RemovePeer has DNS asked for the domain again. DOMAIN_NOT_FOUND when it is no
// peer; so it is not repeated.
func (c *Client) RemovePeer(ctx context.Context, d amtp.Domain) error {
	return c.call(ctx, amtp.Request{Method: "DELETE", Path: []string{"admin", "peers", string(d)}}, nil)
}
