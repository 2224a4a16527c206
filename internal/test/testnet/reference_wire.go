package testnet

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// The forms that the reference gateway demands in a message.
var (
	refSchema = regexp.MustCompile(`^agntcy:\w+\.\w+\.v\d+$`)
	refHash   = regexp.MustCompile(`^(sha256|sha512|md5):[0-9a-fA-F]+$`)
)

// refUUID reports whether the reference gateway accepts an id: it checks the hyphens,
// the version and the variant.
func refUUID(s string, version byte) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && s[14] == version &&
		strings.IndexByte("89abAB", s[19]) >= 0
}

// wrong returns what the reference gateway finds wrong with a message, "" for nothing.
func (m *RefMessage) wrong() string {
	switch {
	case m.MessageID != "" && !refUUID(m.MessageID, '7'):
		return "invalid message_id format, must be UUIDv7: " + m.MessageID
	case m.IdempotencyKey != "" && !refUUID(m.IdempotencyKey, '4'):
		return "invalid idempotency_key format, must be UUIDv4: " + m.IdempotencyKey
	case m.InReplyTo != "" && !refUUID(m.InReplyTo, '7'):
		return "invalid in_reply_to format, must be UUIDv7: " + m.InReplyTo
	case m.Schema != "" && !refSchema.MatchString(m.Schema):
		return "schema must be in format 'agntcy:domain.entity.version': " + m.Schema
	case !strings.Contains(m.Sender, "@"):
		return "invalid sender email format: " + m.Sender
	case len(m.Recipients) == 0:
		return "at least one recipient is required"
	}
	for _, address := range m.Recipients {
		if strings.Count(address, "@") != 1 {
			return "invalid recipient email format: " + address
		}
	}
	for i, a := range m.Attachments {
		if a.Filename == "" || a.ContentType == "" || a.Size < 0 || !refHash.MatchString(a.Hash) ||
			!strings.HasPrefix(a.URL, "http") {
			return fmt.Sprintf("attachment validation failed: attachment %d", i)
		}
	}
	return ""
}

// RefBody writes a message as the reference gateway does: all fifteen members in the
// order of their names, null or "" for a member without a value, whole seconds. more
// replaces members by name, each with its JSON.
func (r *Reference) RefBody(from, to, id, key string, more map[string]string) string {
	members := map[string]string{
		"attachments": "null", "coordination": "null", "headers": "null", "idempotency_key": quote(key),
		"in_reply_to": `""`,
		"message_id":  quote(id), "payload": `{"x":1}`, "recipients": "[" + quote(to) + "]", "response_type": `""`,
		"schema": `""`,
		"sender": quote(from + "@" + string(r.Domain)), "signature": "null", "subject": `"cross"`,
		"timestamp": quote(time.Now().UTC().Format("2006-01-02T15:04:05Z")), "version": `"1.0"`,
	}
	var b strings.Builder
	for i, name := range []string{
		"attachments", "coordination", "headers", "idempotency_key", "in_reply_to", "message_id", "payload",
		"recipients",
		"response_type", "schema", "sender", "signature", "subject", "timestamp", "version",
	} {
		value := members[name]
		if v, ok := more[name]; ok {
			value = v
		}
		fmt.Fprintf(&b, "%c%q:%s", "{,"[min(i, 1)], name, value)
	}
	return b.String() + "}"
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string cannot fail
	return string(b)
}

// RefResult is the answer that the reference gateway gets, byte for byte except for the
// header.
type RefResult struct {
	*http.Response
	Text string
}

// Post sends a body to the gateway as the reference gateway does: over HTTP/1.1,
// without ALPN, on a new connection.
func (r *Reference) Post(to *Gateway, path, body string) RefResult {
	t := r.net.t
	t.Helper()
	host := "amtp." + string(to.Domain)
	conn, err := tls.Dial("tcp", to.address, &tls.Config{RootCAs: r.net.Roots(), ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: AMTP-Gateway/1.0\r\nContent-Length: %d\r\nAccept: application/json\r\n"+
			"Content-Type: application/json\r\nX-Amtp-Version: 1.0\r\nAccept-Encoding: gzip\r\n\r\n%s", path, host,
		len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return RefResult{res, string(text)}
}
