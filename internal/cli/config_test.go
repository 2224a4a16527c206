package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// configured is the result of one amtp config command.
type configured struct {
	stdout, stderr string
	exit           int
}

func runConfig(t *testing.T, environ []string, args ...string) configured {
	t.Helper()
	var stdout, stderr strings.Builder
	p := newProgram(strings.NewReader(""), &stdout, &stderr,
		append([]string{"AMTP_DATA_DIR=" + t.TempDir()}, environ...))
	root := &cobra.Command{Use: "amtp", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().BoolVar(&p.json, "json", false, "")
	root.AddCommand(p.configCommand())
	root.SetArgs(append([]string{"config"}, args...))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	exit := p.report(root.Execute())
	return configured{stdout.String(), stderr.String(), exit}
}

func TestConfigCheck(t *testing.T) {
	for _, tc := range []struct {
		name    string
		environ []string
		args    []string
		want    configured
	}{
		{"good", nil, []string{"check"}, configured{stdout: "OK\n"}},
		{"warning", []string{"AMTP_NO=1"}, []string{"check"},
			configured{stdout: "Warning: environment: AMTP_NO is not a variable of this program; nothing reads it\nOK\n"}},
		{"problems", []string{"AMTP_LOG_LEVEL=loud\n"}, []string{"check", "--domain=a b"}, configured{
			stdout: `Error: AMTP_LOG_LEVEL: logging.level: "loud\n" is not one of: debug, info, warn, error` + "\n" +
				`Error: --domain: server.domain: "a b" is not a domain: the domain has a character other than letters, digits and hyphens` +
				"\n",
			exit: exitUsage}},
		{"JSON, good", nil, []string{"check", "--json"},
			configured{stdout: `{"ok":true,"file":"","problems":[],"warnings":[]}` + "\n"}},
		{"JSON, problem", []string{"AMTP_LOG_FORMAT=xml"}, []string{"check", "--json"}, configured{
			stdout: `{"ok":false,"file":"","problems":[{"place":"AMTP_LOG_FORMAT","text":"logging.format: \"xml\" is not one of: text, json"}],"warnings":[]}` +
				"\n",
			exit: exitUsage}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := runConfig(t, tc.environ, tc.args...); got != tc.want {
				t.Errorf("amtp config %q with %q:\n got %+v\nwant %+v", tc.args, tc.environ, got, tc.want)
			}
		})
	}
}

func TestConfigCheckNamesTheLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.WriteFile(name, []byte("server:\n  port: 80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runConfig(t, nil, "check", "--config", name)
	if want := "Error: " + name + `:2: unknown key "server.port"`; !strings.HasPrefix(got.stdout, want) ||
		got.exit != exitUsage {
		t.Errorf("amtp config check = %+v, want exit %d and %s", got, exitUsage, want)
	}
}

func TestConfigShow(t *testing.T) {
	got := runConfig(t, []string{"AMTP_ADMIN_KEY=canary-0123456789", "AMTP_NO=1"}, "show", "--domain", "shop.example")
	for _, want := range []string{"  domain: shop.example # from --domain\n",
		"  admin_key: (set) # from AMTP_ADMIN_KEY\n", "  # The address on which the gateway listens."} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("amtp config show lacks %q:\n%s", want, got.stdout)
		}
	}
	if strings.Contains(got.stdout+got.stderr, "canary") {
		t.Errorf("amtp config show prints the admin key: %+v", got)
	}
	if !strings.HasPrefix(got.stderr, "Warning: environment: AMTP_NO ") || got.exit != exitDone {
		t.Errorf("amtp config show = exit %d and on stderr %q, want 0 and the warning", got.exit, got.stderr)
	}
}

func TestConfigShowJSON(t *testing.T) {
	got := runConfig(t, nil, "show", "--json", "--log-level=debug")
	var shown struct {
		Settings map[string]struct{ Value, From any }
	}
	if err := json.Unmarshal([]byte(got.stdout), &shown); err != nil {
		t.Fatalf("amtp config show --json = %+v: %v", got, err)
	}
	if level := shown.Settings["logging.level"]; level.Value != "debug" || level.From != "--log-level" {
		t.Errorf("logging.level = %v, want debug from --log-level", level)
	}
}

func TestConfigShowOfABadConfiguration(t *testing.T) {
	for _, tc := range []struct {
		name    string
		environ []string
		stderr  string
	}{
		{"one problem", []string{"AMTP_LOG_FORMAT=xml"},
			"Error: AMTP_LOG_FORMAT: logging.format: \"xml\" is not one of: text, json.\n  Hint: fix it there; \"amtp config show\" prints every setting and where it came from\n"},
		{"two problems", []string{"AMTP_LOG_FORMAT=xml", "AMTP_LIMITS_CONNECTIONS=x"},
			"Error: The configuration has 2 problems: AMTP_LOG_FORMAT: logging.format: \"xml\" is not one of: text, json; " +
				"AMTP_LIMITS_CONNECTIONS: limits.connections: \"x\" is not a number from 1 to 1000000.\n" +
				"  Hint: amtp config check, which prints each on a line of its own\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, want := runConfig(t, tc.environ, "show"),
				(configured{stderr: tc.stderr, exit: exitUsage}); got != want {
				t.Errorf("amtp config show with %q:\n got %+v\nwant %+v", tc.environ, got, want)
			}
		})
	}
}

func TestConfigWithoutASubcommand(t *testing.T) {
	if got := runConfig(t, nil); got.exit != exitDone || !strings.Contains(got.stdout, "check") {
		t.Errorf("amtp config = %+v, want its help", got)
	}
	if got := runConfig(t, nil, "chekc"); got.exit != exitUsage || !strings.Contains(got.stderr, "amtp config check") {
		t.Errorf("amtp config chekc = %+v, want exit %d and a suggestion", got, exitUsage)
	}
}
