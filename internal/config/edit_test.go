package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestEdited: everything else stays, including comments, and the same change again
// changes nothing.
func TestEdited(t *testing.T) {
	domain := Change{Section: "server", Key: "domain", Value: "shop.example"}
	for _, c := range []struct {
		what    string
		file    string
		changes []Change
		want    string
	}{
		{"no file", "", []Change{domain}, "server:\n  domain: shop.example\n"},
		{"comments only", "# Our gateway\n", []Change{domain}, "# Our gateway\nserver:\n  domain: shop.example\n"},
		{"another value",
			"# Ours\nserver:\n  # who we are\n  domain: old.example # for now\n  address: 127.0.0.1:9000\nlogging:\n  level: debug\n",
			[]Change{domain},
			"# Ours\nserver:\n  # who we are\n  domain: shop.example # for now\n  address: 127.0.0.1:9000\nlogging:\n  level: debug\n"},
		{"a new section behind others", "logging:\n  level: debug\n", []Change{domain},
			"logging:\n  level: debug\nserver:\n  domain: shop.example\n"},
		{"an empty section", "server:\nlogging:\n  level: debug\n", []Change{domain},
			"server:\n  domain: shop.example\nlogging:\n  level: debug\n"},
		{"a key with dots", "peers:\n  a.example: v=amtp1;gateway=https://a.example\n",
			[]Change{{Section: "peers", Key: "k1._amtpkey.b.example", Value: keyText}},
			"peers:\n  a.example: v=amtp1;gateway=https://a.example\n  k1._amtpkey.b.example: " + keyText + "\n"},
		{"the last key of a section goes", "server:\n  domain: old.example\nlogging:\n  level: debug\n",
			[]Change{{Section: "server", Key: "domain"}}, "logging:\n  level: debug\n"},
		{"a key without a section", "data_dir: /a\n", []Change{{Key: "data_dir", Value: "/b"}}, "data_dir: /b\n"},
		{"a comment at the head", "# licence\n\n# vim: ts=2\nlogging:\n  level: debug # inline\n", []Change{domain},
			"# licence\n\n# vim: ts=2\nlogging:\n  level: debug # inline\nserver:\n  domain: shop.example\n"},
		{"a comment at the foot", "logging:\n  level: debug\n\n# foot\n\n\n", []Change{domain},
			"logging:\n  level: debug\n\n# foot\nserver:\n  domain: shop.example\n"},
		{"comments everywhere",
			"---\n# 1\n\n# 2\nserver: # 3\n    # 4\n    address: 127.0.0.1:1 # 5\n\n    # 6\n# 7\n\nlogging: # 8\n    # 9\n    level: info # 10\n# 11\n",
			[]Change{domain},
			"---\n# 1\n\n# 2\nserver: # 3\n    # 4\n    address: 127.0.0.1:1 # 5\n    domain: shop.example\n\n    # 6\n# 7\n\nlogging: # 8\n    # 9\n    level: info # 10\n# 11\n"},
		{"an empty section with a comment", "server: # ours\n  # nothing yet\n", []Change{domain},
			"server: # ours\n  domain: shop.example\n  # nothing yet\n"},
		{"line ends of Windows", "# 1\r\n\r\nserver:\r\n  domain: a.example # 2\r\n\r\n# 3\r\n", []Change{domain},
			"# 1\r\n\r\nserver:\r\n  domain: shop.example # 2\r\n\r\n# 3\r\n"},
		{"a byte order mark", "\ufeff# 1\nserver:\n  domain: a.example\n", []Change{domain},
			"# 1\nserver:\n  domain: shop.example\n"},
		{"quotes", "server: \n  domain:   \"a.example\"   # \"2\"\n", []Change{domain},
			"server: \n  domain:   shop.example   # \"2\"\n"},
		{"single quotes", "server:\n  domain: 'it''s' # it's\n", []Change{domain},
			"server:\n  domain: shop.example # it's\n"},
		{"no value yet", "server:\n  domain: # which?\n  address: :1\n", []Change{domain},
			"server:\n  domain: shop.example # which?\n  address: :1\n"},
		{"a comment on what goes", "server:\n  # 1\n  domain: a.example # 2\n# 3\nlogging:\n  level: info\n",
			[]Change{{Section: "server", Key: "domain"}},
			"  # 1\n  # 2\n# 3\nlogging:\n  level: info\n"},
		{"a key of several that goes", "server:\n  domain: a.example # 2\n  address: :1\n",
			[]Change{{Section: "server", Key: "domain"}}, "server:\n  # 2\n  address: :1\n"},
		{"several", "# 1\n", []Change{domain, {Section: "server", Key: "address", Value: ":443"},
			{Section: "tls", Key: "cert_file", Value: "/a b/c.pem"}},
			"# 1\nserver:\n  domain: shop.example\n  address: :443\ntls:\n  cert_file: /a b/c.pem\n"},
		{"what looks like something else", "", []Change{{Section: "server", Key: "address", Value: ":443"}},
			"server:\n  address: :443\n"},
	} {
		got, err := Edited([]byte(c.file), c.changes)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got\n%s%v\nwant\n%s", c.what, got, err, c.want)
			continue
		}
		again, err := Edited(got, c.changes)
		if err != nil || string(again) != string(got) {
			t.Errorf("%s, again: got\n%s%v\nwant no change", c.what, again, err)
		}
	}
}

// TestEditedKeepsEveryComment: every comment is still in its place afterwards, or the
// file is not changed.
func TestEditedKeepsEveryComment(t *testing.T) {
	lines := []string{"server:", "  domain: a.example", "  address: 127.0.0.1:9000", "peers:",
		"  a.example: v=amtp1;gateway=https://a.example", "acme:",
		"  hosts: [a.example,", "    b.example]", "logging: {level: debug}", "data_dir: /a"}
	changes := []Change{{Section: "server", Key: "domain", Value: "b.example"},
		{Section: "server", Key: "public_url", Value: "https://b.example"},
		{Section: "server", Key: "address"}, {Section: "tls", Key: "cert_file", Value: "c.pem"},
		{Section: "peers", Key: "a.example"},
		{Section: "logging", Key: "level", Value: "info"}, {Section: "acme", Key: "hosts", Value: "c.example"},
		{Key: "data_dir", Value: "/b"}}
	for at := range len(lines) + 1 {
		for _, remark := range []string{"\n# alone\n\n", "# above\n", "  # within\n", " # behind"} {
			file := ""
			for i, line := range lines {
				if i == at && remark != " # behind" {
					file += remark
				}
				file += line
				if i == at && remark == " # behind" {
					file += remark
				}
				file += "\n"
			}
			if at == len(lines) && remark != " # behind" {
				file += remark
			}
			for _, c := range changes {
				for _, content := range []string{file, strings.ReplaceAll(file, "\n", "\r\n")} {
					got, err := Edited([]byte(content), []Change{c})
					if err == nil && strings.Count(string(got), "#") != strings.Count(content, "#") {
						t.Errorf("%+v in\n%s\ngot\n%s\nwithout its comment", c, content, got)
					}
					if err != nil && !strings.Contains(err.Error(), "by hand") {
						t.Errorf("%+v in\n%s\n%v", c, content, err)
					}
				}
			}
		}
	}
}

// TestEditedStays: a file in which nothing changes stays the same to the byte, and a
// file that is not understood is not touched.
func TestEditedStays(t *testing.T) {
	odd := "server:   { domain:   shop.example }   # as I like it\n\n\n"
	got, err := Edited([]byte(odd), []Change{{Section: "server", Key: "domain", Value: "shop.example"},
		{Section: "tls", Key: "cert_file"}})
	if err != nil || string(got) != odd {
		t.Errorf("got %q, %v, want it as it is", got, err)
	}
	for file, want := range map[string]string{"a: [": "not YAML", "a: 1\n---\nb: 2\n": "second document",
		"[1, 2]\n": "key: value", "server: 7\n": "by hand"} {
		if _, err := Edited([]byte(file), []Change{{Section: "server", Key: "domain",
			Value: "x.example"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", file, err, want)
		}
	}
}

// TestPublicURL: the URL at which others reach the gateway when no setting names it.
func TestPublicURL(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	tls := []string{"AMTP_TLS_CERT_FILE=" + filepath.Join(dir, "cert.pem"),
		"AMTP_TLS_KEY_FILE=" + filepath.Join(dir, "key.pem")}
	for _, c := range []struct {
		want string
		env  []string
	}{
		{"", nil},
		{"https://amtp.shop.example", []string{"AMTP_DOMAIN=shop.example"}},
		{"https://amtp.shop.example", append([]string{"AMTP_DOMAIN=shop.example", "AMTP_SERVER_ADDRESS=:443"}, tls...)},
		{"https://amtp.shop.example:8443", append([]string{"AMTP_DOMAIN=shop.example",
			"AMTP_SERVER_ADDRESS=:8443"}, tls...)},
		{"https://gw.example/amtp", []string{"AMTP_DOMAIN=shop.example", "AMTP_PUBLIC_URL=https://GW.example/amtp/"}},
		{"http://127.0.0.1:9", []string{"AMTP_DOMAIN=shop.example", "AMTP_PUBLIC_URL=http://127.0.0.1:9",
			"AMTP_DNS_ALLOW_HTTP=true"}},
	} {
		cfg, _, err := Load(Sources{Environ: append([]string{"AMTP_DATA_DIR=" + t.TempDir()}, c.env...)})
		if err != nil || cfg.PublicURL() != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.env, cfg.PublicURL(), err, c.want)
		}
	}
	for env, want := range map[string]string{
		"AMTP_PUBLIC_URL=http://amtp.shop.example":        "is not https",
		"AMTP_PUBLIC_URL=amtp.shop.example":               "is not a URL",
		"AMTP_PUBLIC_URL=https://a.example;auth=cert":     "is not a URL",
		"AMTP_LOCAL_ADDRESS=0.0.0.0:8080":                 "can be reached from other machines",
		"AMTP_LOCAL_ADDRESS=:8080":                        "can be reached from other machines",
		"AMTP_LOCAL_ADDRESS=127.0.0.1":                    "not an address to listen on",
		"AMTP_PUBLIC_URL=https://user@amtp.shop.example/": "is not a URL",
	} {
		_, _, err := Load(Sources{Environ: []string{"AMTP_DATA_DIR=" + t.TempDir(), "AMTP_DOMAIN=shop.example", env}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", env, err, want)
		}
	}
}
