package httpapi

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// FuzzQuery reads any query as every route does. Values that are accepted are within their
// bounds. All others cause one error of the 400s, which repeats little of the query.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"",
		"limit=10&offset=5&wait=10s&after=i1z&since=2026-01-31T12:00:00Z&sender=a@x.test&sent=true&status=delivered",
		"limit=0", "limit=1001", "limit=-1", "limit=%31", "limit=1&limit=2", "limit=99999999999999999999", "a;b=1",
		"%zz", "after=i-1", "after=I1", "after=i01",
		"wait=31", "wait=1e9s", "wait=-1s", "wait=1h", "since=0000-01-01T00:00:00Z",
		"since=9999-12-31T23:59:59.999999999-23:59", "sent=TRUE", "sender=a@@x", "=", "&&&", "status=%00",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		c := &call{r: &http.Request{URL: &url.URL{RawQuery: query}}}
		p := c.params()
		limit, offset, wait, after := p.limit(), p.offset(), p.wait(), p.cursor(ofInbox)
		p.since()
		p.flag("sent")
		p.oneOf("status", "read", "unread")
		sender := p.address("sender")
		if p.err != nil {
			if statuses[gateway.CodeOf(p.err)] != http.StatusBadRequest || len(gateway.Refusal(p.err).Message) > 700 {
				t.Fatalf("the error is %v with status %d; query %q", p.err, statuses[gateway.CodeOf(p.err)], query)
			}
			return
		}
		if limit < 1 || limit > maxLimit || offset < 0 || offset > gateway.MaxOffset || wait < 0 ||
			wait > 30*time.Second || after < 0 {
			t.Fatalf("limit %d, offset %d, wait %v, after %d are out of bounds; query %q", limit, offset, wait,
				after, query)
		}
		if text := p.text("after") + p.text("cursor"); text != "" && ofInbox.text(after) != text {
			t.Fatalf("the cursor %q was read as %d, which is written %q", text, after, ofInbox.text(after))
		}
		if sender.IsZero() != (p.text("sender") == "") {
			t.Fatalf("the sender is %q; query %q", sender, query)
		}
	})
}
