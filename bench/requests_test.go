package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/uuid"
)

func TestSubmissionsAreWholeRequestsWithKeysOfTheirOwn(t *testing.T) {
	from, to := agent{nobody("alice@localhost").Address, "amtp_secret"}, nobody("bob@localhost")
	template := newSubmission("127.0.0.1:1", from, to, 1024)
	keys := make(map[string]bool)
	for range 2 {
		next := template.source(0)
		for range 100 {
			keys[checkSubmission(t, next(0))] = true
		}
	}
	if len(keys) != 200 {
		t.Errorf("200 requests had %d different keys", len(keys))
	}
}

// checkSubmission reads the request as a server does and returns its key.
func checkSubmission(t *testing.T, request []byte) string {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		t.Fatalf("ReadRequest: %v\n%s", err, request)
	}
	if got := r.Header.Get("Authorization"); r.Method != "POST" || r.URL.Path != "/v1/messages" ||
		got != "Bearer amtp_secret" {
		t.Fatalf("request is %s %s with %q", r.Method, r.URL, got)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("body: %v\n%s", err, body)
	}
	if len(m.Payload) != 1024 || m.Sender != "alice@localhost" || m.Recipients[0] != "bob@localhost" {
		t.Fatalf("message has %d bytes of payload, from %s to %s", len(m.Payload), m.Sender, m.Recipients)
	}
	if id, err := uuid.Parse(m.IdempotencyKey); err != nil || id.Version() != 4 {
		t.Fatalf("key %q is not a UUID of version 4", m.IdempotencyKey)
	}
	return m.IdempotencyKey
}

func TestAPayloadHasTheSizeAskedFor(t *testing.T) {
	for _, size := range []int{minPayload, 17, 200, 100_000} {
		if got := newPayload(size); len(got) != size || !json.Valid(got) {
			t.Errorf("newPayload(%d) has %d bytes, valid %v", size, len(got), json.Valid(got))
		}
	}
}
