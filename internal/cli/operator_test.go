package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestOperatorsFindTheirGateway: without an agent's config, or with one for another
// gateway, the commands that need the admin key are about the gateway that runs from
// the data directory, wherever it listens.
func TestOperatorsFindTheirGateway(t *testing.T) {
	commands := []string{"queue list", "dead list", "peer list", "agent list", "agent show alice",
		"agent update alice --role x"}
	colleague := newFakeGateway(t, nil)
	for _, config := range []string{"",
		`{"gatewayUrl":"https://bob.lan:8444","agentName":"carol","agentAddress":"carol@bob.lan","apiKey":"amtp_secret-of-carol","gatewayPin":"sha256//w5lSXBr5Vc1hkN2sRrS8EYbr6J5nkpyL3k+eWzQZ4FE="}`,
		`{"gatewayUrl":"` + colleague.url +
			`","agentName":"carol","agentAddress":"carol@localhost","apiKey":"amtp_secret-of-carol"}`} {
		for _, named := range []bool{false, true} {
			g := newFakeGateway(t, everything)
			u := newUser(t)
			u.withDataDirectory(g.url)
			flags := []string{}
			if named {
				u.env = append(u.env, "AMTP_DATA_DIR="+t.TempDir(), "AMTP_GATEWAY_URL="+colleague.url)
				flags = []string{"--data-dir", u.home + "/data"}
			}
			if config != "" {
				u.writeConfig(config)
			}
			for _, args := range commands {
				g.asked = nil
				got := u.run(append(strings.Fields(args), flags...)...)
				if got.exit != 0 || len(g.asked) == 0 {
					t.Errorf("amtp %s %q with %s: %+v", args, flags, config, got)
				}
				for _, r := range g.asked {
					if r.key != "" || r.admin != "key-of-the-directory" {
						t.Errorf("amtp %s: %s with the keys %q and %q", args, r.line, r.key, r.admin)
					}
				}
			}
		}
	}
	if len(colleague.asked) > 0 {
		t.Errorf("the other gateway was asked %q", colleague.lines())
	}
}

// TestOperatorsAreToldWhatIsMissing: no gateway at all, one without a key, and what
// another flag or variable names.
func TestOperatorsAreToldWhatIsMissing(t *testing.T) {
	u := newUser(t)
	u.does(3, "amtp serve", "queue", "list")
	u.does(6, "No gateway runs from the data directory "+u.home, "queue", "list", "--data-dir", u.home)
	other := newFakeGateway(t, nil)
	g := newFakeGateway(t, nil)
	u.withDataDirectory(g.url)
	u.does(2, "not both", "queue", "list", "--data-dir", u.home, "--gateway", g.url)
	u.does(3, "adminKey", "queue", "list", "--gateway", other.url) // was named, and is another's
	u.env = append(u.env, "AMTP_GATEWAY_URL="+other.url)
	u.does(3, "adminKey", "queue", "list")
	if len(g.asked)+len(other.asked) > 0 {
		t.Errorf("asked %q and %q", g.lines(), other.lines())
	}
}

// TestSetupRegistersAtTheUsersOwnGateway, not at whatever has the usual port.
func TestSetupRegistersAtTheUsersOwnGateway(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	u.withDataDirectory(g.url)
	u.does(0, "on "+g.url, "setup", "--name", "alice")
	if u.config()["gatewayUrl"] != g.url {
		t.Errorf("saved %v", u.config())
	}
}

// TestEveryOperatorsCommandTakesADataDirectory: every command whose help names the
// admin key has a flag for the gateway of the machine.
func TestEveryOperatorsCommandTakesADataDirectory(t *testing.T) {
	root := newProgram(nil, nil, nil, nil).rootCommand()
	n := 0
	each(root, func(cmd *cobra.Command) {
		of, _, _ := strings.Cut(strings.TrimPrefix(cmd.CommandPath(), "amtp "), " ")
		if !strings.Contains(" agent queue dead peer keys cert invite ", " "+of+" ") || len(cmd.Commands()) > 0 {
			return
		}
		n++
		if cmd.Flags().Lookup("data-dir") == nil && cmd.Name() != "cert" && cmd.Name() != "reset" {
			t.Errorf("%s has no --data-dir", cmd.CommandPath())
		}
	})
	if n < 25 {
		t.Errorf("looked at %d commands", n)
	}
}
