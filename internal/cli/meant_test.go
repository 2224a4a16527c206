package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/profile"
)

// TestKeysAsTheyWereMeant: characters that a secret store or a file of variables adds
// around a key are no part of it.
func TestKeysAsTheyWereMeant(t *testing.T) {
	for _, around := range [][2]string{{"", "\n"}, {"", "\r\n"}, {"", "\r"}, {" ", " "}, {"\ufeff", ""}, {`"`, `"`},
		{"'", "'\n"}} {
		g := newFakeGateway(t, everything)
		u := newUser(t)
		for _, v := range [][2]string{{"AMTP_API_KEY", "amtp_secret-of-alice"},
			{"AMTP_ADMIN_KEY", "admin-secret-admin-secret"}, {"AMTP_GATEWAY_URL", g.url}} {
			u.env = append(u.env, v[0]+"="+around[0]+v[1]+around[1])
		}
		for _, command := range []string{"inbox", "agent list"} {
			if got := u.run(strings.Fields(command)...); got.exit != 0 {
				t.Errorf("amtp %s, a key between %q and %q: %+v", command, around[0], around[1], got)
			}
		}
		for _, r := range g.asked {
			if r.key != "amtp_secret-of-alice" && r.admin != "admin-secret-admin-secret" {
				t.Errorf("%+v: another key was sent than the one that was meant", r)
			}
		}
	}
}

// TestKeysThatAreNone: a text that cannot be a key is reported with its place and never
// shown, and no gateway is asked.
func TestKeysThatAreNone(t *testing.T) {
	for _, tt := range []struct{ variable, key, config, want string }{
		{"AMTP_API_KEY", "secret\nof-alice", "", "Error: AMTP_API_KEY cannot be a key: it has a line break in it."},
		{"AMTP_API_KEY", "secret of-alice", "", "Error: AMTP_API_KEY cannot be a key: it has a space in it."},
		{"AMTP_API_KEY", `secret\nof-alice`, "", "Error: AMTP_API_KEY cannot be a key: it has a backslash in it."},
		{"AMTP_ADMIN_KEY", "“secret”", "", "Error: AMTP_ADMIN_KEY cannot be a key: it has a quotation mark in it."},
		{"AMTP_ADMIN_KEY", "secr\u200bet", "",
			"Error: AMTP_ADMIN_KEY cannot be a key: it has the character U+200B in it."},
		{"", "", `secret\nof-alice`, "Error: apiKey in "},
	} {
		g := newFakeGateway(t, nil)
		u := newUser(t)
		if tt.config != "" {
			u.writeConfig(`{"gatewayUrl":"` + g.url +
				`","agentName":"alice","agentAddress":"alice@localhost","apiKey":"` + tt.config + `"}`)
		}
		u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url, tt.variable+"="+tt.key)
		got := u.run("inbox")
		if got.exit != exitUnauthorised || !strings.HasPrefix(got.stderr, tt.want) ||
			strings.Contains(got.stderr, "secr") || len(g.asked) > 0 {
			t.Errorf("%s=%q, %q: %+v, asked %d times; want exit code %d, %q and no key", tt.variable, tt.key, tt.config,
				got, len(g.asked), exitUnauthorised, tt.want)
		}
	}
}

// TestFilesOfEditors: a byte order mark, UTF-16 and the line ends of Windows are no
// part of what a file says.
func TestFilesOfEditors(t *testing.T) {
	wide := func(s string) string {
		var b strings.Builder
		b.WriteString("\xff\xfe")
		for i := range len(s) {
			b.Write([]byte{s[i], 0})
		}
		return b.String()
	}
	for name, write := range map[string]func(string) string{
		"a mark":  func(s string) string { return "\ufeff" + s },
		"Windows": func(s string) string { return "\ufeff" + strings.ReplaceAll(s, "\n", "\r\n") },
		"UTF-16":  wide,
	} {
		g := newFakeGateway(t, everything)
		u := newUser(t)
		u.writeConfig(write("{\"gatewayUrl\":\"" + g.url +
			"\",\n\"agentName\":\"alice\",\"agentAddress\":\"alice@localhost\",\"apiKey\":\"amtp_secret-of-alice\"}\n"))
		if got := u.run("inbox"); got.exit != 0 {
			t.Errorf("%s, the config file: %+v", name, got)
		}
		u.stdin = write("{\"a\":\n1}\n")
		if got := u.run("send", "--to", "bob@localhost", "--payload", "-"); got.exit != 0 {
			t.Errorf("%s, a payload: %+v", name, got)
		}
		project := filepath.Join(t.TempDir(), profile.ProjectFile)
		if err := os.WriteFile(project, []byte(write("# ours\nprofile = \"work\"\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		if profile, err := profile.ReadProject(project); err != nil || profile != "work" {
			t.Errorf("%s, the project's file: %q, %v", name, profile, err)
		}
	}
}

// TestSecretsFromStdin: secrets that other users could read on the command line can be
// given in another way.
func TestSecretsFromStdin(t *testing.T) {
	g := newFakeGateway(t, everything)
	u := alice(t, g)
	u.stdin = "\ufeffAuthorization=Bearer t0k3n\r\n\r\nX-Key=a=b\r\n"
	if got := u.run("agent", "update", "--push-header-file", "-"); got.exit != 0 {
		t.Fatalf("%+v", got)
	}
	if body := g.asked[len(g.asked)-1].body; !strings.Contains(body, `"Authorization":"Bearer t0k3n"`) ||
		!strings.Contains(body, `"X-Key":"a=b"`) {
		t.Errorf("the gateway was asked %s", body)
	}
	u.stdin = "not a code\n"
	if got := u.run("join", "-", "--profile", "other"); got.exit != exitUsage ||
		!strings.Contains(got.stderr, "no invitation") {
		t.Errorf("join - of something else: %+v", got)
	}
}
