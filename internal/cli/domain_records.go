package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// recordTTL is how long DNS servers may cache a record, in seconds.
const recordTTL = 300

// txtRecord is a TXT record in the forms in which it is published.
type txtRecord struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl"`
	Value   string   `json:"value"`   // in one piece, as web forms accept it
	Strings []string `json:"strings"` // of at most 255 bytes, as DNS has them
	Zone    string   `json:"zone"`    // a line of a zone file
}

// maxString is how many bytes one string of a TXT record holds.
const maxString = 255

// newTXT makes the record of a value, which is printable ASCII.
func newTXT(name, value string) txtRecord {
	t := txtRecord{Name: name, Type: "TXT", TTL: recordTTL, Value: value}
	line := []string{fmt.Sprintf("%s.  %d  IN  TXT ", name, recordTTL)}
	for rest := value; ; {
		n := min(len(rest), maxString)
		t.Strings = append(t.Strings, rest[:n])
		line = append(line, fmt.Sprintf("%q", rest[:n]))
		if rest = rest[n:]; rest == "" {
			break
		}
	}
	t.Zone = strings.Join(line, " ")
	return t
}

// domainRecords are all records of a domain: where its gateway is, and the keys
// that others may need at the time.
func domainRecords(d amtp.Domain, c amtp.Capabilities, keys []admin.SigningKey, now time.Time) []txtRecord {
	list := []txtRecord{newTXT(amtp.CapabilitiesName(d), c.String())}
	for _, k := range keys {
		if k.State != admin.KeyRetired || k.Until.After(now) {
			list = append(list, newTXT(k.Name, k.Record))
		}
	}
	return list
}
