package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// NewPeer says how to reach a domain that is not in DNS. At most one of Pin and CA is
// given. With neither, the gateway that asks must already trust the other gateway's
// certificate.
type NewPeer struct {
	Domain  amtp.Domain `json:"domain"`
	Gateway string      `json:"gateway"`       // base URL, https
	Pin     string      `json:"pin,omitempty"` // of its certificate's public key: see amtp.ParsePin
	CA      string      `json:"ca,omitempty"`  // the authorities of its certificate, in PEM form
	// Unsigned says that the peer's gateway does not sign its messages. From any other
	// peer a message is refused if it has no valid signature.
	Unsigned bool `json:"unsigned,omitempty"`
	// Receipts says that the peer's gateway wants to know when agents here read or
	// acknowledge its messages. In DNS a feature would say so.
	Receipts bool `json:"receipts,omitempty"`
}

// Peer is a domain that a gateway reaches without DNS, as its operator configured. Zero
// times are left out.
type Peer struct {
	NewPeer
	Added      amtp.Time `json:"added_at"`
	LastSeen   amtp.Time `json:"last_seen,omitzero"`   // when it last wrote here, to the hour
	LastSigned amtp.Time `json:"last_signed,omitzero"` // when it last wrote with a signature, to the hour
}

// PeerList answers GET /v1/admin/peers.
type PeerList struct {
	Domain amtp.Domain `json:"domain"` // of the gateway that answers
	Self   GatewaySelf `json:"self"`
	Peers  []Peer      `json:"peers"`
	Count  int         `json:"count"`
	Seen   []PeerSeen  `json:"seen"` // domains that wrote here, with DNS or without; at most a thousand
	// Flagged counts messages of other domains that were accepted without proof.
	Flagged FlaggedCounts `json:"flagged"`
}

// FlaggedCounts counts messages that nothing proves and that one process of a gateway
// has accepted since its start, because its policy is to flag them. It counts by the
// result recorded beside them. AMTP §9.
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
	Signed amtp.Time   `json:"last_signed,omitzero"` // zero if it never signed
}

// GatewaySelf says how others reach a gateway and how they recognise it, as far as the
// gateway knows.
type GatewaySelf struct {
	Gateways   []string `json:"gateways"`              // its URLs; if there are several, not all may be right
	Pin        string   `json:"pin,omitempty"`         // of the certificate that it shows; none if a proxy shows it
	SelfSigned bool     `json:"self_signed,omitempty"` // whether no authority issued the certificate
}

// PeerPoint is the result of one part of a check of a peer.
type PeerPoint struct {
	Name string `json:"name"` // address, certificate, domain, keys, clock, them
	OK   bool   `json:"ok"`
	Text string `json:"text"`
	Mend string `json:"mend,omitempty"` // what to do about a fault
}

// PeerReport is a peer with the result of a check: what works from here to there, and
// from there to here.
type PeerReport struct {
	Peer   Peer        `json:"peer"`
	OK     bool        `json:"ok"`
	Points []PeerPoint `json:"points"`
}

// Peers lists the domains that the gateway reaches without DNS. This call, and those
// below, return CONFLICT on a gateway without a domain of its own.
func (c *Client) Peers(ctx context.Context) (PeerList, error) {
	var out PeerList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "peers"}, Repeat: true}, &out)
	return out, err
}

// AddPeer says how a domain is reached, replaces earlier information, and returns the
// result of a check. The error is CONFLICT, and nothing changes, if a gateway other
// than the intended one answers there. If none answers, the peer is added.
func (c *Client) AddPeer(ctx context.Context, p NewPeer) (PeerReport, error) {
	var out PeerReport
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "peers"}, Body: p, Repeat: true}, &out)
	return out, err
}

// CheckPeer checks what works between the gateway and a peer, in each direction.
func (c *Client) CheckPeer(ctx context.Context, d amtp.Domain) (PeerReport, error) {
	var out PeerReport
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "peers", string(d), "check"},
		Repeat: true}, &out)
	return out, err
}

// RemovePeer removes a peer, so that DNS is asked for the domain again. The error is
// DOMAIN_NOT_FOUND if the domain is no peer; so the call is not repeated.
func (c *Client) RemovePeer(ctx context.Context, d amtp.Domain) error {
	return c.call(ctx, amtp.Request{Method: "DELETE", Path: []string{"admin", "peers", string(d)}}, nil)
}
