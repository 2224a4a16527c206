package outbound

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
)

// TestCheck: the decision about a URL that needs no look-up.
func TestCheck(t *testing.T) {
	type rules []Rule
	loopback := rules{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	for _, tc := range []struct {
		url   string
		allow rules
		want  bool
	}{
		{"https://hooks.example/a", nil, true},
		{"https://1.1.1.1/", nil, true},
		{"https://[2600::1]/", nil, true},
		{"https://hooks.example:8443/", nil, false},
		{"https://hooks.example:8443/", rules{{Port: 8443}}, true},
		{"https://hooks.example:0/", nil, false},
		{"https://hooks.example:99999/", nil, false},
		{"https://user@hooks.example/", nil, false},
		{"https:///path", nil, false},
		{"ftp://hooks.example/", loopback, false},
		{"https://127.0.0.1/", nil, false},
		{"https://127.0.0.1/", loopback, true},
		{"https://localhost/", nil, false},
		{"https://LocalHost./", loopback, true},
		{"https://a.localhost/", nil, false},
		{"https://10.1.2.3/", loopback, false},
		{"https://169.254.169.254/", nil, false},
		{"https://[::ffff:127.0.0.1]/", nil, false},
		{"https://2130706433/", loopback, false},
		{"https://0x7f.1/", loopback, false},
		{"http://hooks.example/", nil, false},
		{"http://hooks.example/", rules{{Port: 80}}, false},
		{"http://1.1.1.1/", loopback, false},
		{"http://127.0.0.1:9000/hook", loopback, true},
		{"http://localhost:9000/hook", loopback, true},
		{"http://127.0.0.1:9000/hook", rules{{Port: 9000}}, false},
		{"http://hooks.lan:9000/", rules{{Host: "hooks.lan", Port: 9000}}, true},
		{"http://hooks.lan:9001/", rules{{Host: "hooks.lan", Port: 9000}}, false},
		{"http://hooks.lan/", loopback, true}, // the address of the name is checked when it is called
	} {
		u, err := url.Parse(tc.url)
		if err != nil {
			u = &url.URL{Scheme: "https"} // the test has a URL that cannot be parsed
		}
		err = Options{Allow: tc.allow, PlainAllowed: true}.Check(u)
		if (err == nil) != tc.want || err != nil && !errors.Is(err, ErrForbidden) {
			t.Errorf("Check(%s) with %v = %v, want %v", tc.url, tc.allow, err, tc.want)
		}
	}
	if u, _ := url.Parse("http://127.0.0.1/"); (Options{Allow: loopback}).Check(u) == nil {
		t.Error("http passes without PlainAllowed")
	}
}

// TestPlainAllowed: http is allowed only to targets of rules, and https as without the
// option.
func TestPlainAllowed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_,
			_ = io.WriteString(w, "hello")
	}))
	t.Cleanup(server.Close)
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	get := func(o Options, url string) error {
		client := New(o)
		t.Cleanup(client.CloseIdleConnections)
		res, err := client.Get(url)
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	loopback := Rule{Prefix: netip.MustParsePrefix("127.0.0.0/8")}
	if err := get(Options{PlainAllowed: true, Allow: []Rule{loopback}}, server.URL); err != nil {
		t.Errorf("a rule leads there: %v", err)
	}
	for name, o := range map[string]Options{
		"no rule":       {PlainAllowed: true},
		"a port alone":  {PlainAllowed: true, Allow: []Rule{{Port: at.Port()}}},
		"another port":  {PlainAllowed: true, Allow: []Rule{{Prefix: loopback.Prefix, Port: at.Port() ^ 1}}},
		"no plain http": {Allow: []Rule{loopback}},
	} {
		if err := get(o, server.URL); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v, want ErrForbidden", name, err)
		}
	}
	// A public address is not open to plain http, whatever the rules for others say.
	if err := get(Options{PlainAllowed: true, Allow: []Rule{loopback}}, "http://192.0.0.9:80/"); !errors.Is(err,
		ErrForbidden) {
		t.Errorf("http to an address without a rule: %v, want ErrForbidden", err)
	}
}
