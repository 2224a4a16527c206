package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// everything answers all routes that succeed.
var everything = map[string]fakeAnswer{
	"POST /v1/messages":             {202, sentToBob},
	"GET /v1/messages":              {200, listOfSent},
	"GET /v1/messages/m1":           {200, storedMessage},
	"GET /v1/messages/m1/status":    {200, `{"message_id":"m1","status":"delivered","recipients":[]}`},
	"GET /v1/inbox/alice@localhost": {200, inboxOfAlice},
	"POST /v1/messages/m1/labels":   {200, `{"message_id":"m1","labels":["a"]}`},
	"GET /v1/threads/m1":            {200, `{"thread_id":"m1","count":0,"has_more":false,"next_cursor":"t1","messages":[]}`},
	"GET /v1/search":                {200, `{"messages":[],"count":0,"has_more":false,"behind":0}`},
	"GET /v1/threads":               {200, `{"threads":[],"has_more":false}`},

	"POST /v1/inbox/alice@localhost/m1/read": {200, `{}`},
	"DELETE /v1/inbox/alice@localhost/m1":    {200, `{"message_id":"m1","status":"acknowledged"}`},
	"GET /v1/discovery/agents":               {200, `{"agents":[]}`},
	"POST /v1/admin/agents":                  {201, registered},
	"GET /v1/admin/agents": {200,
		`{"agents":{"bob@localhost":{"address":"bob@localhost","delivery_mode":"pull"},"alice@localhost":{"address":"alice@localhost","delivery_mode":"pull","listed":true}},"count":2}`},
	"GET /v1/admin/agents/alice": {200,
		`{"address":"alice@localhost","delivery_mode":"pull","listed":true}`},
	"PATCH /v1/admin/agents/alice":     {200, `{"address":"alice@localhost"}`},
	"DELETE /v1/admin/agents/alice":    {200, `{}`},
	"POST /v1/admin/agents/alice/keys": {201, issued},
	"GET /v1/admin/agents/alice/keys": {200,
		`{"address":"alice@localhost","keys":[{"id":"key_1","created_at":"2026-11-22T17:21:51Z"},{"id":"key_2","created_at":"2026-11-22T17:21:51Z"}],"count":2}`},
	"DELETE /v1/admin/agents/alice/keys/key_1": {200, `{}`},
	"GET /v1/whoami":                {200, iAmAlice},
	"GET /v1/admin/queue":           {200, oneJob},
	"GET /v1/admin/queue/12":        {200, `{"job":` + aJob + `,"destination":` + aLane + `}`},
	"POST /v1/admin/queue/12/retry": {200, `{"job":` + aJob + `}`},
	"DELETE /v1/admin/queue/12":     {200, `{"job":` + aJob + `}`},
	"GET /v1/admin/dead-letters":    {200, oneDead},
	"GET /v1/admin/dead-letters/7": {200, aDead[:len(aDead)-1] +
		`,"original_message":{"sender":"alice@localhost","subject":"Prices","payload":{"text":"hi\nthere"}}}`},
	"POST /v1/admin/dead-letters/redrive": {200, `{"redriven":1}`},
	"DELETE /v1/admin/dead-letters":       {200, `{"purged":1}`},
	"GET /v1/admin/peers": {200,
		`{"domain":"here.lan","self":{"gateways":["https://192.168.1.5:8443"],"pin":"sha256//x"},"peers":[` + aPeer +
			`],"count":1,"seen":[]}`},
	"POST /v1/admin/peers": {201, `{"peer":` + aPeer +
		`,"ok":true,"points":[{"name":"address","ok":true,"text":"answers"}]}`},
	"POST /v1/admin/peers/far.lan/check": {200, `{"peer":` + aPeer +
		`,"ok":true,"points":[{"name":"address","ok":true,"text":"answers"}]}`},
	"DELETE /v1/admin/peers/far.lan": {200, `{}`},
}

const aPeer = `{"domain":"far.lan","gateway":"https://192.168.1.7:8443","added_at":"2026-11-22T17:21:51Z"}`

var everyCommand = []string{
	"send --to bob@localhost --text hi", "inbox", "read m1", "ack m1", "status m1", "sent", "discover",
	"whoami", "whoami --check", "setup --name alice", "agent list", "agent show", "agent update --role x",
	"agent rotate-key", "agent revoke-key key_1", "version", "help", "help send", "agent delete alice --yes",
	"unregister --yes", "reply m1 --text hi", "thread m1", "label m1 +a", "threads", "forward m1 bob@localhost",
	"search word",
	"queue list", "queue show 12", "queue retry 12", "queue cancel --all", "dead list", "dead show 7", "dead redrive 7",
	"dead purge --all",
	"peer list", "peer add far.lan https://192.168.1.7:8443", "peer check far.lan", "peer remove far.lan", "peer self",
}

func TestEveryCommandSpeaksJSON(t *testing.T) {
	for _, command := range everyCommand {
		g := newFakeGateway(t, everything)
		u := alice(t, g)
		u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret")
		got := u.run(append(strings.Fields(command), "--json")...)
		var v map[string]any
		if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.exit != 0 || got.stderr != "" ||
			strings.Count(got.stdout, "\n") != 1 {
			t.Errorf("amtp %s --json: %+v", command, got)
		}
	}
}

func TestNoCommandPrintsASecret(t *testing.T) {
	for _, command := range everyCommand {
		for _, json := range []string{"--json=false", "--json"} {
			g := newFakeGateway(t, everything)
			u := alice(t, g)
			u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret")
			got := u.run(append(strings.Fields(command), json)...)
			if got.exit != 0 {
				t.Errorf("amtp %s: %+v", command, got)
			}
			for _, secret := range []string{"secret-of-alice", "new-key-of-alice", "secret-admin-secret"} {
				if strings.Contains(got.stdout+got.stderr, secret) {
					t.Errorf("amtp %s %s prints a key:\n%s%s", command, json, got.stdout, got.stderr)
				}
			}
		}
	}
}

func TestErrorsInJSON(t *testing.T) {
	limited := `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"Slow \u202edown","details":{"n":1}}}`
	tests := []struct {
		args    string
		answers map[string]fakeAnswer
		exit    int
		want    string
	}{
		{"status m1", map[string]fakeAnswer{"GET /v1/messages/m1/status": {404, noMessage}}, 4,
			`{"ok":false,"error":{"code":"MESSAGE_NOT_FOUND","message":"Message not found or already acknowledged","hint":"\"amtp inbox\" and \"amtp sent\" list the messages that you may see","retryable":false,"details":{"error":"message not found: x"}}}`},
		{"register", nil, 2,
			`{"ok":false,"error":{"code":"USAGE","message":"Unknown command: \"register\". Run \"amtp help\" for usage.","hint":"did you mean \"amtp setup --name NAME\"?","retryable":false}}`},
		{"inbox --bogus", nil, 2,
			`{"ok":false,"error":{"code":"USAGE","message":"Unknown flag: --bogus.","hint":"run \"amtp inbox --help\"","retryable":false}}`},
		{"send", nil, 2,
			`{"ok":false,"error":{"code":"USAGE","message":"--to is required. Usage: amtp send --to <address> --subject <s> [--text <t> | --text-file <f> | --payload <json> | --payload-file <f>]","hint":"","retryable":false}}`},
		{"send --to x@y.example --text hi --timeout 1s", map[string]fakeAnswer{"POST /v1/messages": {429, limited}}, 8,
			`{"ok":false,"error":{"code":"RATE_LIMIT_EXCEEDED","message":"Slow \u202edown","hint":"wait, then try again","retryable":true,"details":{"n":1}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got := alice(t, newFakeGateway(t, tt.answers)).run(append(strings.Fields(tt.args), "--json")...)
			if got.exit != tt.exit || got.stdout != tt.want+"\n" || got.stderr == "" {
				t.Errorf("exit %d\ngot  %swant %s\nstderr %s", got.exit, got.stdout, tt.want, got.stderr)
			}
		})
	}
}

func TestTheInboxInJSONIsVerbatim(t *testing.T) {
	u := alice(t, newFakeGateway(t, everything))
	got := u.run("inbox", "--json")
	want := `{"recipient":"alice@localhost","count":3,"has_more":false,"next_cursor":"i3","messages":[` +
		`{"message_id":"m1","sender":"bob@localhost","recipients":["alice@localhost"],"subject":"Hello","timestamp":"2026-11-22T17:21:51Z","payload":{"text":"Hi\nthere"},"trust":"local","status":"unread"},`
	if !strings.HasPrefix(got.stdout, want) {
		t.Errorf("got  %s\nwant %s…", got.stdout, want)
	}
}

func TestRotateKeySavesBeforeItEndsOthers(t *testing.T) {
	g := newFakeGateway(t, everything)
	u := alice(t, g)
	u.expect(g, u.run("agent", "rotate-key"), 0,
		"New key key_2 for alice@localhost; 1 other key ended.\n  Config saved to: $HOME/.amtp-config.json\n", "")
	if u.config()["apiKey"] != "amtp_new-key-of-alice" {
		t.Errorf("the file has %v", u.config())
	}
	want := []fakeRequest{
		{"POST /v1/admin/agents/alice/keys", "amtp_secret-of-alice", "", `{"revoke_others":false}`},
		{"GET /v1/admin/agents/alice/keys", "amtp_new-key-of-alice", "", ""},
		{"DELETE /v1/admin/agents/alice/keys/key_1", "amtp_new-key-of-alice", "", ""},
	}
	for i := range want {
		if i >= len(g.asked) || g.asked[i] != want[i] {
			t.Fatalf("asked %+v\nwant %+v", g.asked, want)
		}
	}
}

func TestRotateKeyOfAnotherAgent(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{
		"POST /v1/admin/agents/bob/keys": {201,
			`{"address":"bob@localhost","api_key":"amtp_key-of-bob","id":"key_9"}`}})
	u := alice(t, g)
	u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret")
	if got := u.run("agent", "rotate-key", "bob"); got.exit != 2 || len(g.asked) != 0 {
		t.Errorf("without --save: %+v", got)
	}
	file := u.home + "/bob.json"
	u.expect(g, u.run("agent", "rotate-key", "bob", "--keep-others", "--save", file), 0,
		"New key key_9 for bob@localhost; 0 other keys ended.\n  Config saved to: $HOME/bob.json\n", "")
	got := u.run("whoami", "--config", file)
	if !strings.Contains(got.stdout, "bob@localhost") || u.config()["apiKey"] != "amtp_secret-of-alice" {
		t.Errorf("whoami with bob's file: %+v", got)
	}
}

func TestAgentsInText(t *testing.T) {
	g := newFakeGateway(t, everything)
	u := alice(t, g)
	if got := u.run("agent", "list"); got.exit != 3 {
		t.Errorf("agent list without an admin key: %+v", got)
	}
	u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret")
	u.expect(g, u.run("agent", "list"), 0,
		"2 agents:\n\n  - alice@localhost  (pull)\n  - bob@localhost  (pull) (unlisted)\n", "")
	u.expect(g, u.run("agent", "revoke-key", "key_1"), 0, "Key key_1 of alice revoked.\n", "")
	if got := u.run("agent", "update"); got.exit != 2 {
		t.Errorf("agent update with nothing: %+v", got)
	}
	g.asked = nil
	u.run("agent", "update", "--capability", "", "--description", "d", "--listed")
	if want := `{"description":"d","capabilities":[],"listed":true}`; g.asked[0].body != want {
		t.Errorf("update sent %s, want %s", g.asked[0].body, want)
	}
	if got := u.run("agent", "update", "--listed", "--unlisted"); got.exit != 2 {
		t.Errorf("listed and unlisted: %+v", got)
	}
	if got := u.run("agent", "show"); !strings.Contains(got.stdout,
		"  Key:           key_1, made "+newProgram(nil, nil, nil, nil).timeText(aMoment)+", last used never\n") {
		t.Errorf("agent show: %+v", got)
	}
}

func TestAnotherAgentNeedsTheAdminKey(t *testing.T) {
	g := newFakeGateway(t, nil)
	got := alice(t, g).run("agent", "show", "bob")
	if got.exit != 3 || !strings.Contains(got.stderr, "Missing config: the gateway's admin key (adminKey).") ||
		len(g.asked) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestADeadKeyChangesNothing: the name may belong to another agent by now.
func TestADeadKeyChangesNothing(t *testing.T) {
	for _, tt := range []struct{ args, route, asAdmin string }{
		{"unregister --yes", "DELETE /v1/admin/agents/alice", "delete alice --yes"},
		{"agent update --role x", "PATCH /v1/admin/agents/alice", "update alice"},
		{"agent rotate-key", "POST /v1/admin/agents/alice/keys", "rotate-key alice"},
		{"agent revoke-key key_1", "DELETE /v1/admin/agents/alice/keys/key_1", "revoke-key alice"},
	} {
		g := newFakeGateway(t, map[string]fakeAnswer{tt.route: {401, wrongKey}})
		u := alice(t, g)
		u.withDataDirectory(g.url)
		got := u.run(strings.Fields(tt.args)...)
		if want := `run "amtp setup --name alice" for a new one, or as administrator "amtp agent ` + tt.asAdmin +
			"\"\n"; got.exit != 3 || !strings.HasSuffix(got.stderr, want) {
			t.Errorf("amtp %s: %+v, want exit 3 and %q", tt.args, got, want)
		}
		if len(g.asked) != 1 || g.asked[0].key == "" || g.asked[0].admin != "" {
			t.Errorf("amtp %s asked %+v, want one request with the agent's own key", tt.args, g.asked)
		}
		if u.config()["apiKey"] != "amtp_secret-of-alice" {
			t.Errorf("amtp %s changed the file to %v", tt.args, u.config())
		}
	}
}

func TestWithoutAKeyOfItsOwnAnAgentDoesNotLeave(t *testing.T) {
	g := newFakeGateway(t, nil)
	u := newUser(t)
	u.writeConfig(`{"gatewayUrl":"` + g.url + `","agentName":"alice"}`)
	u.withDataDirectory(g.url)
	if got := u.run("unregister", "--yes"); got.exit != 3 ||
		!strings.Contains(got.stderr, "Missing config: the agent's key (apiKey).") || len(g.asked) != 0 {
		t.Errorf("%+v, asked %q", got, g.lines())
	}
}

func TestANamedAgentIsTheAdministratorsToo(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"DELETE /v1/admin/agents/alice": {401, wrongKey}})
	u := alice(t, g)
	u.withDataDirectory(g.url)
	u.run("agent", "delete", "alice", "--yes")
	if len(g.asked) != 2 || g.asked[0].key == "" || g.asked[1].key != "" || g.asked[1].admin != "key-of-the-directory" {
		t.Errorf("asked %+v", g.asked)
	}
}
