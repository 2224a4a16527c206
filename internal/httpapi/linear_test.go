package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/amtp-go/amtp/internal/test/hostile"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestReadersOfRequestsAreLinear reads headers, queries and small bodies of requests. The
// gateway reads them before it knows the caller.
func TestReadersOfRequestsAreLinear(t *testing.T) {
	slow.Test(t, "it reads long requests")
	header := func(name string, read func(r *http.Request)) func([]byte) {
		return func(value []byte) {
			read(&http.Request{Header: http.Header{name: {string(value)}}, RemoteAddr: "127.0.0.1:1",
				Host: "localhost"})
		}
	}
	door := &access.Authenticator{
		Admin:       []string{"admin"},
		Failures:    access.NewFailures(),
		Owners:      nobodys{},
		Development: true,
	}
	caller := func(r *http.Request) { _, _ = door.Caller(r, time.Now(), access.Strict) }
	query := func(text []byte) {
		p := (&call{r: &http.Request{URL: &url.URL{RawQuery: string(text)}}}).params()
		p.limit()
		p.offset()
		p.since()
		p.wait()
		p.cursor(ofInbox)
		p.address("sender")
		p.flag("sent")
		p.oneOf("status", "read", "unread")
	}
	for name, r := range map[string]struct {
		shapes []hostile.Shape
		read   func([]byte)
	}{
		"Content-Type": {hostile.Texts("application/json;", "application/json; charset="),
			header("Content-Type", func(r *http.Request) { _ = checkMedia(r) })},
		"If-None-Match": {hostile.Texts(`"a",`), header("If-None-Match", func(r *http.Request) {
			known(r.Header["If-None-Match"], `"b"`)
		})},
		"X-Request-Id":   {hostile.Texts(), header("X-Request-Id", func(r *http.Request) { clientID(r) })},
		"Authorization":  {hostile.Texts("Bearer "), header("Authorization", caller)},
		"X-Api-Key":      {hostile.Texts(), header("X-Api-Key", caller)},
		"X-Admin-Key":    {hostile.Texts(), header("X-Admin-Key", caller)},
		"Sec-Fetch-Site": {hostile.Texts(), header("Sec-Fetch-Site", caller)},
		"Host":           {hostile.Texts("[", "a:"), func(b []byte) { access.IsThisMachine(string(b)) }},
		"query":          {hostile.Texts("after=i", "limit=1&", "since=2026-", "sender=a@", "wait=", "after="), query},
		"registration": {hostile.Within(hostile.Values(), `{"address":"a","capabilities":`, `}`), func(b []byte) {
			_ = strictjson.Decode(b, new(newAgent))
		}},
		"push headers": {hostile.Within(hostile.Values(), `{"address":"a","push_headers":`, `}`), func(b []byte) {
			_ = strictjson.Decode(b, new(newAgent))
		}},
		"update": {hostile.Within(hostile.Values(), `{"supported_schemas":`, `}`), func(b []byte) {
			_ = strictjson.Decode(b, new(amtp.AgentUpdate))
		}},
		"invitation": {hostile.Within(hostile.Values(), `{"secret":"a","description":`, `}`), func(b []byte) {
			_ = strictjson.Decode(b, new(amtp.Join))
		}},
		"shown message": {hostile.Within(hostile.Values(), `{"sender":"a@b.example","headers":`, `}`),
			func(b []byte) { _, _ = strictjson.Split(b) }},
	} {
		t.Run(name, func(t *testing.T) { hostile.Linear(t, r.shapes, 16<<10, r.read) })
	}
}

// nobodys is a directory without keys.
type nobodys struct{}

func (nobodys) KeyOwner(context.Context, [32]byte, time.Time) (*gateway.Agent, string, error) {
	return nil, "", gateway.ErrNotFound
}
