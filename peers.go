package amtp

import "context"

// NewPeer says how a domain is reached that DNS does not know. At most one of
// Pin and CA is given; with neither, the gateway's certificate must be one that
// the asking gateway believes anyway.
type NewPeer struct {
	Domain  Domain `json:"domain"`
	Gateway string `json:"gateway"`       // base URL, https
	Pin     string `json:"pin,omitempty"` // of its certificate's public key: see ParsePin
	CA      string `json:"ca,omitempty"`  // the authorities of its certificate, in PEM form
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
	Added      Time `json:"added_at"`
	LastSeen   Time `json:"last_seen,omitzero"`   // when it last wrote here, to the hour
	LastSigned Time `json:"last_signed,omitzero"` // when it last wrote with a signature, to the hour
}

// PeerList answers GET /v1/admin/peers.
type PeerList struct {
	Domain Domain      `json:"domain"` // of the gateway that is asked
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
	Domain Domain `json:"domain"`
	First  Time   `json:"first_seen"`
	Last   Time   `json:"last_seen"`
	Signed Time   `json:"last_signed,omitzero"` // zero when it never did
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

// PeerAnswer answers POST /v1/peers/check: what the gateway that was asked knows
// of the domain that asks.
type PeerAnswer struct {
	Domain         Domain         `json:"domain"` // of the gateway that answers
	Authentication Authentication `json:"authentication"`
	Listed         bool           `json:"listed"`            // it reaches the domain as its operator says
	Reached        bool           `json:"reached"`           // and did so just now
	Problem        string         `json:"problem,omitempty"` // why it did not
}

// DomainKeys answers GET /v1/discovery/keys: what a domain publishes in DNS, for
// those who reach its gateway without.
type DomainKeys struct {
	Domain    Domain      `json:"domain"`
	Keys      []DomainKey `json:"keys"`
	Timestamp Time        `json:"timestamp"`
}

// DomainKey is one key of DomainKeys, as its TXT record has it.
type DomainKey struct {
	Selector string `json:"selector"`
	Record   string `json:"record"`
}

// Peers lists the domains that the gateway reaches without DNS. It, and the calls
// below, need AdminKey; CONFLICT on a gateway without a domain of its own.
func (c *Client) Peers(ctx context.Context) (PeerList, error) {
	var out PeerList
	_, err := c.do(ctx, call{method: "GET", path: path("admin", "peers"), admin: true, repeat: true}, &out)
	return out, err
}

// AddPeer says how a domain is reached, in place of what was said before, and
// returns what a check finds. CONFLICT, and nothing is changed, when another
// gateway than the one meant answers there; when none answers it is taken.
func (c *Client) AddPeer(ctx context.Context, p NewPeer) (PeerReport, error) {
	var out PeerReport
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "peers"), body: p, admin: true, repeat: true}, &out)
	return out, err
}

// CheckPeer tries what works between the gateway and a peer, in each direction.
func (c *Client) CheckPeer(ctx context.Context, d Domain) (PeerReport, error) {
	var out PeerReport
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "peers", string(d), "check"), admin: true,
		repeat: true}, &out)
	return out, err
}

// RemovePeer has DNS asked for the domain again. DOMAIN_NOT_FOUND when it is no
// peer; so it is not repeated.
func (c *Client) RemovePeer(ctx context.Context, d Domain) error {
	_, err := c.do(ctx, call{method: "DELETE", path: path("admin", "peers", string(d)), admin: true}, nil)
	return err
}
