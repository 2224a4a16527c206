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
	Selector  string   `json:"selector"`
	State     KeyState `json:"state"`
	Algorithm string   `json:"algorithm"` // ES256 or RS256
	Name      string   `json:"name"`      // of its TXT record: see KeyRecordName
	Record    string   `json:"record"`    // what the TXT record says: see KeyRecord.String
	Created   Time     `json:"created_at"`
	Seen      Time     `json:"seen_at,omitzero"`    // when its record was first found in DNS
	Active    Time     `json:"active_at,omitzero"`  // when it began to sign
	Retired   Time     `json:"retired_at,omitzero"` // when it ended
	Until     Time     `json:"keep_until,omitzero"` // until when its record is needed
}

// NewSigningKey is the body of POST /v1/admin/keys: a key that is to be made, or
// one that is brought along. All of it is optional; nothing at all is the next key
// of the kind that signs now.
type NewSigningKey struct {
	// its name, see KeyRecordName; by default the day. A key that is brought needs one
	Selector   string `json:"selector,omitempty"`
	Algorithm  string `json:"algorithm,omitempty"`   // ES256 or RS256; by default ES256, or that of PrivateKey
	Bits       int    `json:"bits,omitempty"`        // of an RSA key that is made: 2048 (the default), 3072 or 4096
	PrivateKey string `json:"private_key,omitempty"` // the key that is brought, in PEM form: see ParseSigningKey
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
