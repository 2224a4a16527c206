package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// TestRelayingCausesNoLookUp: a message of another domain with no recipient here is
// refused whatever it proves. So no name server is asked about it.
func TestRelayingCausesNoLookUp(t *testing.T) {
	dns := fakedns.New(t)
	n := newTown(t, "AMTP_DNS_RESOLVERS="+dns.Addr().String())
	const signature = `,"signature":{"algorithm":"ES256","keyid":"s1","value":"` +
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==" + `"}`
	for _, tc := range []struct {
		domain, recipients, signature string
		status                        int
		asked                         bool
	}{
		{"a.example", `"victim@other.example"`, "", 403, false},
		{"b.example", `"victim@other.example","b@sub.ours.example"`, signature, 403, false},
		{"c.example", `"victim@other.example","nobody@ours.example"`, "", 403, true},
		{"d.example", `"nobody@ours.example"`, signature, 404, true},
		{"e.example", `"victim@other.example","nobody@localhost"`, "", 403, true},
	} {
		body := `{"version":"1.0","sender":"ann@` + tc.domain + `","recipients":[` + tc.recipients + `],"timestamp":"` +
			time.Now().UTC().Format(time.RFC3339) + `"` + tc.signature + `}`
		status, code := n.post("192.0.2.1:4711", strings.NewReader(body), int64(len(body)))
		asked := dns.Asked("_amtp."+tc.domain)+dns.Asked("s1._amtpkey."+tc.domain) > 0
		if status != tc.status || asked != tc.asked {
			t.Errorf("from %s to %s: got %d %s and DNS was asked: %t; want %d and %t", tc.domain, tc.recipients, status,
				code, asked, tc.status, tc.asked)
		}
	}
}
