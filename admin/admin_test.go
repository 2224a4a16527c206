package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// TestEachCallIsOneRequest: every call makes the request that the API's document names,
// with the admin key.
func TestEachCallIsOneRequest(t *testing.T) {
	var got, key string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an incomplete request differs below
		got, key = r.Method+" "+r.RequestURI+" "+string(body), r.Header.Get("X-Admin-Key")
		io.WriteString(w, `{}`)
	}))
	defer srv.Close()
	c, ctx := &admin.Client{Client: amtp.Client{URL: srv.URL, AdminKey: "k", Retries: -1}}, t.Context()
	before := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, call := range []struct {
		want string
		make func() error
	}{
		{"POST /v1/admin/resume ", func() error { _, err := c.Resume(ctx); return err }},
		{"GET /v1/admin/agents ", func() error { _, err := c.Agents(ctx); return err }},
		{"GET /v1/admin/agents?cursor=x&limit=2 ", func() error {
			_, err := c.AgentsPage(ctx, admin.AgentPageQuery{Limit: 2, Cursor: "x"})
			return err
		}},
		{"GET /v1/admin/queue?after=c&destination=b.example&limit=2&message=m1&state=retrying ", func() error {
			_, err := c.Jobs(ctx, admin.JobQuery{Destination: "b.example", Message: "m1",
				State: amtp.StatusRetrying, After: "c", Limit: 2})
			return err
		}},
		{"GET /v1/admin/queue/7 ", func() error { _, err := c.Job(ctx, 7); return err }},
		{"POST /v1/admin/queue/7/retry ", func() error { _, err := c.RetryJob(ctx, 7); return err }},
		{"DELETE /v1/admin/queue/7 ", func() error { _, err := c.CancelJob(ctx, 7); return err }},
		{"GET /v1/admin/dead-letters?after=c&before=2026-01-31T12%3A00%3A00Z&code=GONE&limit=2 ", func() error {
			_, err := c.DeadLetters(ctx, admin.DeadLetterQuery{Code: "GONE", Before: before, After: "c", Limit: 2})
			return err
		}},
		{"GET /v1/admin/dead-letters/7 ", func() error { _, err := c.DeadLetter(ctx, 7); return err }},
		{`POST /v1/admin/dead-letters/redrive {"ids":[1,2]}`, func() error {
			_, err := c.Redrive(ctx, admin.DeadLetterChoice{IDs: []admin.DeadLetterID{1, 2}})
			return err
		}},
		{"DELETE /v1/admin/dead-letters?all=true ", func() error {
			_, err := c.PurgeDeadLetters(ctx, admin.DeadLetterChoice{All: true})
			return err
		}},
		{"DELETE /v1/admin/dead-letters?ids=1%2C2 ", func() error {
			_, err := c.PurgeDeadLetters(ctx, admin.DeadLetterChoice{IDs: []admin.DeadLetterID{1, 2}})
			return err
		}},
		{"DELETE /v1/admin/dead-letters/7 ", func() error { return c.PurgeDeadLetter(ctx, 7) }},
		{"GET /v1/admin/limits ", func() error { _, err := c.Limits(ctx); return err }},
		{"GET /v1/admin/keys ", func() error { _, err := c.SigningKeys(ctx); return err }},
		{`POST /v1/admin/keys `, func() error { _, err := c.RotateSigningKey(ctx); return err }},
		{`POST /v1/admin/keys {"algorithm":"ES256"}`, func() error {
			_, err := c.GenerateSigningKey(ctx, admin.NewSigningKey{PrivateKey: "left out"})
			return err
		}},
		{`POST /v1/admin/keys {"selector":"s","private_key":"PEM"}`, func() error {
			_, err := c.ImportSigningKey(ctx, "s", []byte("PEM"))
			return err
		}},
		{`POST /v1/admin/keys/s/use {"at_once":true}`, func() error {
			_, err := c.UseSigningKey(ctx, "s", true)
			return err
		}},
		{"DELETE /v1/admin/keys/s ", func() error { _, err := c.RetireSigningKey(ctx, "s"); return err }},
		{"GET /v1/admin/certificate ", func() error { _, err := c.Certificates(ctx); return err }},
		{`POST /v1/admin/certificate/renew {"force":true}`, func() error {
			_, err := c.RenewCertificates(ctx, true)
			return err
		}},
		{`POST /v1/admin/domain {"domain":"b.example"}`, func() error {
			_, err := c.PrepareDomain(ctx, "b.example")
			return err
		}},
		{"GET /v1/admin/peers ", func() error { _, err := c.Peers(ctx); return err }},
		{`POST /v1/admin/peers {"domain":"b.lan","gateway":"https://192.0.2.1"}`, func() error {
			_, err := c.AddPeer(ctx, admin.NewPeer{Domain: "b.lan", Gateway: "https://192.0.2.1"})
			return err
		}},
		{"POST /v1/admin/peers/b.lan/check ", func() error { _, err := c.CheckPeer(ctx, "b.lan"); return err }},
		{"DELETE /v1/admin/peers/b.lan ", func() error { return c.RemovePeer(ctx, "b.lan") }},
		{`POST /v1/admin/invites {"name":"carol"}`, func() error {
			_, err := c.Invite(ctx, admin.NewInvite{Name: "carol"})
			return err
		}},
	} {
		if err := call.make(); err != nil || got != call.want || key != "k" {
			t.Errorf("got  %s with the key %q, %v\nwant %s", got, key, err, call.want)
		}
	}
}
