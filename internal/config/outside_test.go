package config

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/amtp-go/amtp/internal/outbound"
)

const (
	record  = "v=amtp1;gateway=https://gw.b.example"
	plain   = "v=amtp1;gateway=http://127.0.0.1:8080"
	keyText = "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="
)

func TestOutsideInAFile(t *testing.T) {
	rules := []outbound.Rule{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		{Prefix: netip.MustParsePrefix("10.0.0.5/32"), Port: 8443},
		{Prefix: netip.MustParsePrefix("fd00::/8"), Port: 8443},
		{Prefix: netip.MustParsePrefix("::1/128")},
		{Host: "gw.lan", Port: 8443},
		{Port: 8443},
	}
	resolvers := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"),
		netip.MustParseAddrPort("[2001:db8::1]:5353")}
	peers := Table{"other.lan": record, "s1._amtpkey.other.lan": keyText}
	for name, in := range map[string]command{
		"lists and keys": {file: `
dns:
  resolvers:
  - 192.0.2.1
  - "[2001:db8::1]:5353"
outbound:
  allow: [10.0.0.0/8, "10.0.0.5:8443", "[fd00::/8]:8443", "::1", gw.lan:8443, ":8443"]
peers:
  Other.lan: ` + record + `
  s1._amtpkey.other.lan: ` + keyText + `
`},
		"one value each": {file: `
dns: {resolvers: "192.0.2.1, [2001:db8::1]:5353"}
outbound: {allow: "10.0.0.0/8,10.0.0.5:8443,[fd00::/8]:8443,[::1],GW.lan:8443,:8443"}
peers: '{"Other.lan": "` + record + `", "s1._amtpkey.other.lan": "` + keyText + `"}'
`},
		"variables": {env: []string{
			"AMTP_DNS_RESOLVERS=192.0.2.1:53,[2001:db8::1]:5353",
			"AMTP_OUTBOUND_ALLOW=10.0.0.0/8,10.0.0.5:8443,[fd00::/8]:8443,::1,gw.lan:8443,:8443",
			`AMTP_PEERS={"other.lan":"` + record + `","s1._amtpkey.other.lan":"` + keyText + `"}`,
		}},
	} {
		cfg := in.mustLoad(t)
		if !reflect.DeepEqual(cfg.DNS.Resolvers, resolvers) {
			t.Errorf("%s: dns.resolvers = %v, want %v", name, cfg.DNS.Resolvers, resolvers)
		}
		if !reflect.DeepEqual(cfg.Outbound.Allow, rules) {
			t.Errorf("%s: outbound.allow = %v, want %v", name, cfg.Outbound.Allow, rules)
		}
		if !reflect.DeepEqual(cfg.Peers, peers) {
			t.Errorf("%s: peers = %v, want %v", name, cfg.Peers, peers)
		}
	}
}

func TestRefusedOutside(t *testing.T) {
	peers := func(s string) command { return env("AMTP_PEERS=" + s) }
	allow := func(s string) command { return env("AMTP_OUTBOUND_ALLOW=" + s) }
	for _, tc := range []problem{
		{"resolver by name", env("AMTP_DNS_RESOLVERS=dns.example"), "AMTP_DNS_RESOLVERS",
			`dns.resolvers: "dns.example" is not a name server`},
		{"resolver without port after its colon", env("AMTP_DNS_RESOLVERS=192.0.2.1:"), "AMTP_DNS_RESOLVERS",
			"is not a name server"},
		{"resolver at port 0", env("AMTP_DNS_RESOLVERS=192.0.2.1:0"), "AMTP_DNS_RESOLVERS", "is not a name server"},
		{"one of two resolvers", env("AMTP_DNS_RESOLVERS=192.0.2.1,"), "AMTP_DNS_RESOLVERS", `"" is not a name server`},
		{"endless question", env("AMTP_DNS_TIMEOUT=31s"), "AMTP_DNS_TIMEOUT", `dns.timeout: "31s" is longer than 30s`},
		{"question without unit", env("AMTP_DNS_TIMEOUT=5"), "AMTP_DNS_TIMEOUT", "a number with its unit"},
		{"long memory", env("AMTP_DNS_CACHE_TTL=25h"), "AMTP_DNS_CACHE_TTL", `dns.cache_ttl: "25h" is longer than 24h`},
		{"no memory", env("AMTP_DNS_CACHE_TTL=0s"), "AMTP_DNS_CACHE_TTL", "not longer than 0s"},
		{"mode that is no boolean", env("AMTP_DNS_MOCK_MODE=yes"), "AMTP_DNS_MOCK_MODE", "neither true nor false"},

		{"records that are no JSON", env("AMTP_DNS_MOCK_RECORDS=b.example"), "AMTP_DNS_MOCK_RECORDS",
			`dns.mock_records: "b.example" is not JSON of an object such as`},
		{"records in a list", peers(`["b.example"]`), "AMTP_PEERS", "is not JSON of an object"},
		{"record that is a number", peers(`{"b.example":1}`), "AMTP_PEERS",
			`peers: the value of "b.example" is not text`},
		{"record that is an object", peers(`{"b.example":{}}`), "AMTP_PEERS", "is not text"},
		{"object without end", peers(`{"b.example":"` + record + `"`), "AMTP_PEERS", "is not JSON of an object"},
		{"two objects", peers(`{} {}`), "AMTP_PEERS", "something follows the JSON"},
		{"same domain twice", peers(`{"b.example":"` + record + `","B.example.":"` + record + `"}`), "AMTP_PEERS",
			`"B.example." is there twice`},
		{"name that is no domain", peers(`{"b example":"` + record + `"}`), "AMTP_PEERS",
			`"b example" is not a domain`},
		{"record of another kind", peers(`{"b.example":"v=spf1 -all"}`), "AMTP_PEERS",
			`the record of "b.example" cannot be used: `},
		{"record without gateway", peers(`{"b.example":"v=amtp1"}`), "AMTP_PEERS",
			"cannot be used: the AMTP record is malformed: the tag gateway is missing"},
		{"key under a domain", peers(`{"b.example":"` + keyText + `"}`), "AMTP_PEERS", "cannot be used: "},
		{"gateway under the name of a key", peers(`{"s1._amtpkey.b.example":"` + record + `"}`), "AMTP_PEERS",
			"cannot be used: "},
		{"gateway without TLS", peers(`{"b.example":"` + plain + `"}`), "AMTP_PEERS",
			"is not https; dns.allow_http (AMTP_DNS_ALLOW_HTTP=true) allows plain text"},
		{"mock gateway without TLS", env(`AMTP_DNS_MOCK_RECORDS={"b.example":"`+plain+`"}`, "AMTP_DNS_MOCK_MODE=true"),
			"AMTP_DNS_MOCK_RECORDS", "is not https"},
		{"domain in both tables", env(`AMTP_DNS_MOCK_RECORDS={"b.example":"`+record+`"}`, "AMTP_DNS_MOCK_MODE=true",
			`AMTP_PEERS={"b.example":"`+record+`"}`),
			"AMTP_DNS_MOCK_RECORDS", `"b.example" is in peers as well`},
		{"table of lists", command{file: "peers:\n  b.example: [x]\n"}, "{dir}/amtp.yaml:2",
			"peers: expected lines of the form domain: record"},
		{"table with a hole", command{file: "peers:\n  b.example:\n"}, "{dir}/amtp.yaml:2",
			"peers: expected lines of the form domain: record"},
		{"list for a table", command{file: "peers: [b.example]\n"}, "{dir}/amtp.yaml:1",
			"peers: expected lines of the form domain: record"},
		{"same key twice in the file", command{file: "peers:\n  b.example: " + record + "\n  b.example: " + record +
			"\n"}, "{dir}/amtp.yaml:2", "is there twice"},

		{"rule without meaning", allow("10.0.0.0/8,a b"), "AMTP_OUTBOUND_ALLOW",
			`outbound.allow: "a b" is not a place to call`},
		{"rule of nothing", allow(","), "AMTP_OUTBOUND_ALLOW", `"" is not a place to call`},
		{"rule with bits behind the mask", allow("127.0.0.1/8"), "AMTP_OUTBOUND_ALLOW",
			"write 127.0.0.0/8, or the address alone"},
		{"rule with too long a mask", allow("10.0.0.0/33"), "AMTP_OUTBOUND_ALLOW", "is not a place to call"},
		{"rule with a colon and no port", allow("gw.lan:"), "AMTP_OUTBOUND_ALLOW", "has no port between 1 and 65535"},
		{"rule with port 0", allow(":0"), "AMTP_OUTBOUND_ALLOW", "has no port between 1 and 65535"},
		{"rule with text behind brackets", allow("[::1]8443"), "AMTP_OUTBOUND_ALLOW",
			"has no port between 1 and 65535"},
		{"rule with a URL", allow("https://gw.lan"), "AMTP_OUTBOUND_ALLOW", "has no port"},
		{"rule with a zone", allow("fe80::1%eth0"), "AMTP_OUTBOUND_ALLOW", "is not a place to call"},
		{"rules as keys", command{file: "outbound:\n  allow: {gw.lan: 1}\n"}, "{dir}/amtp.yaml:2",
			"outbound.allow: expected one value, or a list"},
		{"rules in rules", command{file: "outbound:\n  allow: [[gw.lan]]\n"}, "{dir}/amtp.yaml:2",
			"outbound.allow: expected a list of single values"},
		{"no rules", command{file: "outbound:\n  allow: []\n"}, "{dir}/amtp.yaml:2",
			"outbound.allow: expected one value, or a list"},

		{"no file of authorities", env("AMTP_OUTBOUND_CA_FILE={dir}/none"), "AMTP_OUTBOUND_CA_FILE", "no such file"},
		{"file without authorities", command{file: "outbound: {ca_file: '{dir}/amtp.yaml'}"}, "{dir}/amtp.yaml:1",
			"holds no certificate in PEM form"},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestWarningsOutside(t *testing.T) {
	records := `AMTP_DNS_MOCK_RECORDS={"b.example":"` + record + `"}`
	for _, tc := range []warning{
		{"records that are not used", env(records),
			[]string{"AMTP_DNS_MOCK_RECORDS: dns.mock_records: is not used, because dns.mock_mode is false"}},
		{"records that are used", env(records, "AMTP_DNS_MOCK_MODE=true"), nil},
		{"a DNS without names", env("AMTP_DNS_MOCK_MODE=true"),
			[]string{"AMTP_DNS_MOCK_MODE: dns.mock_mode: is true and neither"}},
		{"a DNS of peers", env("AMTP_DNS_MOCK_MODE=true", `AMTP_PEERS={"b.example":"`+record+`"}`), nil},
		{"plain text", env("AMTP_DNS_ALLOW_HTTP=true", `AMTP_PEERS={"b.example":"`+plain+`"}`),
			[]string{"AMTP_DNS_ALLOW_HTTP: dns.allow_http: is true: messages"}},
		{"the reference's off", env("AMTP_DNS_MOCK_MODE=FALSE", "AMTP_DNS_ALLOW_HTTP=false"), nil},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestAuthoritiesAreRead(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	cfg, warnings, err := env("AMTP_OUTBOUND_CA_FILE={dir}/cert.pem").loadIn(t, dir)
	if err != nil || len(warnings) > 0 || cfg.Outbound.CAFile != filepath.Join(dir, "cert.pem") {
		t.Errorf("Load with a file of authorities = %q, %v, %v; want the file", cfg.Outbound.CAFile, warnings, err)
	}
}
