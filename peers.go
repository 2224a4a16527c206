package amtp

// PeerAnswer answers POST /v1/peers/check: what the gateway that was asked knows about the
// domain that asks.
type PeerAnswer struct {
	Domain         Domain         `json:"domain"` // of the gateway that answers
	Authentication Authentication `json:"authentication"`
	Listed         bool           `json:"listed"`            // it reaches the domain as its operator says
	Reached        bool           `json:"reached"`           // and did so just now
	Problem        string         `json:"problem,omitempty"` // why it did not
}

// DomainKeys answers GET /v1/discovery/keys: the keys that a domain publishes in DNS, for
// gateways that reach its gateway without DNS.
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
