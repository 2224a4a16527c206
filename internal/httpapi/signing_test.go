package httpapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestMakeSigningKey makes keys, brings one, and makes requests that are refused. No private
// key is in an answer or in the log.
func TestMakeSigningKey(t *testing.T) {
	w := start(t, "AMTP_DOMAIN=shop.example")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	with := func(members string) string {
		text, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		return `{"private_key":` + string(text) + members + `}`
	}
	for _, c := range []struct {
		what, body string
		status     int
		says       string // in the answer
	}{
		{"the next key", "", 201, `"state":"waiting","algorithm":"ES256"`},
		{"the next key, which waits already", `{}`, 201, `-2"`},
		{"nothing said", `{"algorithm":null,"bits":null,"selector":"","private_key":null}`, 201, `-2"`},
		{"a key under a name", `{"selector":"named"}`, 201, `"name":"named._amtpkey.shop.example"`},
		{"the name again", `{"selector":"named"}`, 409, "CONFLICT"},
		{"an algorithm", `{"algorithm":"ES256"}`, 201, `-3"`},
		{"another algorithm", `{"algorithm":"EdDSA"}`, 400, `"field":"algorithm"`},
		{"bits of another algorithm", `{"algorithm":"ES256","bits":256}`, 400, `"field":"bits"`},
		{"bits of another kind", `{"algorithm":"RS256","bits":"2048"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"too many bits", `{"algorithm":"RS256","bits":16384}`, 400, `"field":"bits"`},
		{"two labels", `{"selector":"a.b"}`, 400, `"field":"selector"`},
		{"a key that is brought", with(`,"selector":"k1"`), 201,
			`"selector":"k1","state":"waiting","algorithm":"ES256"`},
		{"the same again", with(`,"selector":"k1","algorithm":"ES256"`), 201, `"selector":"k1"`},
		{"a key without a name", with(``), 400, `"field":"selector"`},
		{"under the name of another", with(`,"selector":"named"`), 409, "CONFLICT"},
		{"as what it is not", with(`,"selector":"k2","algorithm":"RS256"`), 400, `"field":"algorithm"`},
		{"with bits", with(`,"selector":"k2","bits":2048`), 400, `"field":"bits"`},
		{"what is no key",
			`{"selector":"k2","private_key":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}`,
			400, "is a public key"},
		{"a body that is no object", `[]`, 400, "INVALID_REQUEST_FORMAT"},
		{"a name twice", `{"selector":"k3","selector":"k4"}`, 400, "INVALID_REQUEST_FORMAT"},
	} {
		a := w.do("POST", "/v1/admin/keys", c.body, "X-Admin-Key: "+w.admin)
		if a.status != c.status || !strings.Contains(a.raw, c.says) || strings.Contains(a.raw, "PRIVATE KEY") {
			t.Errorf("%s: got %d %s, want %d with %s", c.what, a.status, a.raw, c.status, c.says)
		}
	}
	used := w.do("POST", "/v1/admin/keys/k1/use", `{"at_once":true}`, "X-Admin-Key: "+w.admin)
	if used.status != 200 {
		t.Errorf("use k1: %d %s", used.status, used.raw)
	}
	if line := strings.Split(file, "\n")[1]; strings.Contains(w.log.String(), line) ||
		strings.Contains(w.log.String(), "PRIVATE KEY") {
		t.Errorf("the log has the private key")
	}
}

// TestBodyThatIsNone: a proxy may give a request without a body a body of unknown length.
// The gateway treats both alike.
func TestBodyThatIsNone(t *testing.T) {
	w := start(t, "AMTP_DOMAIN=shop.example")
	for body, want := range map[string]int{"": 201, `{"selector":"k7"}`: 201, " ": 415} {
		// its length is not known
		r, err := http.NewRequest("POST", w.url+"/v1/admin/keys", struct{ io.Reader }{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Admin-Key", w.admin)
		if body != "" && want == 201 {
			r.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body) // shown only
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a body %q of unknown length: %d %s, want %d", body, resp.StatusCode, raw, want)
		}
	}
}
