package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// captured is a message as it arrived, and the record of the key that its signature
// names.
type captured struct {
	body   string
	record string
}

// opensslSays runs the recipe of docs/signatures.md, in which OpenSSL and Node verify a
// message without any code of ours. It returns the output of the recipe, and whether
// the recipe ended without an error.
func opensslSays(t *testing.T, c captured) (output string, verified bool) {
	t.Helper()
	for _, program := range []string{"sh", "openssl", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is needed as an independent verifier (Debian: apt-get install openssl nodejs): %v",
				program, err)
		}
	}
	page, err := os.ReadFile("../docs/signatures.md")
	if err != nil {
		t.Fatal(err)
	}
	_, recipe, found := strings.Cut(string(page), "```sh\n")
	recipe, _, ends := strings.Cut(recipe, "```\n")
	if !found || !ends || !strings.Contains(recipe, "openssl dgst") {
		t.Fatal("docs/signatures.md has no recipe for openssl")
	}
	script, err := os.ReadFile("../testdata/signature/verify.mjs")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"verify.mjs": string(script), "message.json": c.body,
		"record.txt": c.record} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", recipe)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// agree expects that the recipe verifies the message, and no message that differs from
// it by a byte.
func agree(t *testing.T, c captured) {
	t.Helper()
	if out, ok := opensslSays(t, c); !ok || !strings.Contains(out, "Verified OK") {
		t.Fatalf("openssl does not verify the sent message:\n%s\nbody %s\nrecord %s", out, c.body, c.record)
	}
	for what, other := range map[string]captured{
		"a letter of the text":      {flip(t, c.body, "by hand"), c.record},
		"a letter of the recipient": {flip(t, c.body, "bob@"), c.record},
		"a digit of the time":       {flip(t, c.body, `"timestamp":"2`), c.record},
		"a byte of the signature":   {flip(t, c.body, `"value":"`), c.record},
		"a byte of the key":         {c.body, c.record[:len(c.record)-12] + swap(c.record[len(c.record)-12:])},
	} {
		if out, ok := opensslSays(t, other); ok || strings.Contains(out, "Verified OK") {
			t.Errorf("openssl verifies a message with %s changed:\n%s\nbody %s", what, out, other.body)
		}
	}
}

// flip changes the byte after the text to another valid one.
func flip(t *testing.T, body, behind string) string {
	t.Helper()
	at := strings.Index(body, behind)
	if at < 0 || at+len(behind) >= len(body) {
		t.Fatalf("the body has nothing behind %q: %s", behind, body)
	}
	at += len(behind)
	return body[:at] + swap(body[at:])
}

// swap replaces the first byte of a text by another.
func swap(s string) string {
	first := "1"
	if s[0] == '1' {
		first = "2"
	}
	return first + s[1:]
}

// outsider is the gateway of another domain, which keeps the messages sent to it.
type outsider struct {
	domain  string
	arrived chan string
}

// outsider opens an HTTPS server for the domain, and publishes its address.
func (n *internet) outsider(domain string) *outsider {
	n.Helper()
	s := &outsider{domain: domain, arrived: make(chan string, 8)}
	certFile, keyFile, err := n.ca.Certificate(n.dir, "amtp."+domain)
	if err != nil {
		n.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		n.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	server.EnableHTTP2 = true
	server.StartTLS()
	n.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	n.dns.Addrs("amtp."+domain, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	n.dns.TXT("_amtp."+domain, time.Minute, fmt.Sprintf("v=amtp1;gateway=https://amtp.%s:%s", domain, port))
	return s
}

// ServeHTTP keeps a message and accepts it for every recipient.
func (s *outsider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m struct {
		MessageID  string   `json:"message_id"`
		Recipients []string `json:"recipients"`
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/messages" || json.Unmarshal(body, &m) != nil {
		http.Error(w, "not a message", http.StatusNotFound)
		return
	}
	s.arrived <- string(body)
	type recipient struct {
		Address string `json:"address"`
		Status  string `json:"status"`
	}
	answer := struct {
		MessageID  string      `json:"message_id"`
		Status     string      `json:"status"`
		Recipients []recipient `json:"recipients"`
	}{MessageID: m.MessageID, Status: "accepted"}
	for _, a := range m.Recipients {
		answer.Recipients = append(answer.Recipients, recipient{Address: a, Status: "accepted"})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(answer) // a caller that went away gets no answer
}

// receive waits for the next message.
func (s *outsider) receive(t *testing.T) string {
	t.Helper()
	select {
	case body := <-s.arrived:
		return body
	case <-time.After(time.Minute):
		t.Fatalf("nothing arrives at %s", s.domain)
		return ""
	}
}

// lookUp asks the name server for the key that the message's signature names.
func (n *internet) lookUp(domain, body string) captured {
	n.Helper()
	var m struct {
		Signature struct{ Algorithm, KeyID, Value string }
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Signature.KeyID == "" {
		n.Fatalf("the message has no signature that names a key (%v): %s", err, body)
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, n.dns.Addr().String())
	}}
	txts, err := resolver.LookupTXT(n.Context(), m.Signature.KeyID+"._amtpkey."+domain+".")
	if err != nil || len(txts) != 1 {
		n.Fatalf("TXT records of the key: %q, %v, want one", txts, err)
	}
	return captured{body: body, record: txts[0]}
}

// TestOpenSSLVerifiesWhatLeaves sends a message from a gateway in its usual form to a
// gateway that is not ours. OpenSSL verifies the arrived message with the key in DNS.
func TestOpenSSLVerifiesWhatLeaves(t *testing.T) {
	n := newInternet(t)
	b := n.outsider("b.example")
	a := n.machine("a.example")
	a.setUp()
	a.publish()
	a.serve()
	a.does(0, "setup", "--name", "alice", "--gateway", "http://127.0.0.1:"+a.local)
	a.does(0, "send", "--to", "bob@b.example", "--subject", "Grüße & <Zahlen>", "--text",
		"verified by hand: 10498.50 €\n")
	c := n.lookUp("a.example", b.receive(t))
	if !strings.Contains(c.body, `"algorithm":"ES256"`) || !strings.HasPrefix(c.record, "v=amtpkey1;alg=ES256;p=") {
		t.Errorf("want ES256 in the message and in the record\nbody %s\nrecord %s", c.body, c.record)
	}
	agree(t, c)
}

// TestOpenSSLAgreesWithTheVectors runs the recipe over the vectors with a valid
// signature, of either algorithm.
func TestOpenSSLAgreesWithTheVectors(t *testing.T) {
	for _, file := range []string{"es256.json", "rs256.json"} {
		var list []struct {
			Name, Body, Result string
			DNS                map[string][]string
		}
		b, err := os.ReadFile(filepath.Join("../testdata/signature", file))
		if err == nil {
			err = json.NewDecoder(bytes.NewReader(b)).Decode(&list)
		}
		if err != nil {
			t.Fatal(err)
		}
		verified := 0
		for _, v := range list {
			out, ok := opensslSays(t, captured{v.Body, v.DNS["key1._amtpkey.example.com"][0]})
			if want := v.Result == "verified"; ok != want {
				t.Errorf("%s, %s: openssl verifies: %v, want %v\n%s", file, v.Name, ok, want, out)
			}
			if ok {
				verified++
			}
		}
		if verified == 0 {
			t.Errorf("%s has no vector that openssl verifies", file)
		}
	}
}
