package amtp

// KeyState is where one of a domain's signing keys stands.
type KeyState string

// The states, in their order.
const (
	KeyWaiting KeyState = "waiting" // to be published, and not used yet
	KeyActive  KeyState = "active"  // signs what is sent
	KeyRetired KeyState = "retired" // signed; its record is still needed until Until
)

// SigningKey is one of the keys with which a gateway signs for its domain, as
// its operator sees it: nothing of it is secret. Zero times are left out.
type SigningKey struct {
	Selector string   `json:"selector"`
	State    KeyState `json:"state"`
	Name     string   `json:"name"`   // of its TXT record: see KeyRecordName
	Record   string   `json:"record"` // what the TXT record says: see KeyRecord.String
	Created  Time     `json:"created_at"`
	Seen     Time     `json:"seen_at,omitzero"`    // when its record was first found in DNS
	Active   Time     `json:"active_at,omitzero"`  // when it began to sign
	Retired  Time     `json:"retired_at,omitzero"` // when it ended
	Until    Time     `json:"keep_until,omitzero"` // until when its record is needed
}

// SigningKeyList answers GET /v1/admin/keys.
type SigningKeyList struct {
	Domain Domain       `json:"domain"`
	Keys   []SigningKey `json:"keys"` // oldest first
}

// SigningKeyChange answers the calls that change a signing key.
type SigningKeyChange struct {
	Key SigningKey `json:"key"`
}
