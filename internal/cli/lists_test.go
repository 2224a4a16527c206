package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/render"
)

// ids of three messages, two of which were made in the same minute.
const (
	first3  = "01a205aa-2730-7297-8146-22cb8ea0ccca"
	second3 = "01a205aa-2731-7b05-91d5-880930b60608"
	third3  = "order:2026-1"
)

// mailbox is a gateway with messages for alice, which answers what is asked about them.
func mailbox(t *testing.T, ids ...string) *fakeGateway {
	answers := map[string]fakeAnswer{"POST /v1/messages": {202, sentToBob}, "GET /v1/messages": {200, listOfSent}}
	var list []string
	for i, id := range ids {
		doc := fmt.Sprintf(`{"message_id":%q,"sender":"bob@localhost","timestamp":"2026-11-22T17:21:51Z","trust":"local","subject":"S%d","payload":{"text":"t"}`,
			id, i+1)
		list = append(list, doc+`,"status":"unread"}`)
		answers["GET /v1/messages/"+id] = fakeAnswer{200,
			doc + `,"status":"delivered","recipients":[{"address":"alice@localhost","status":"delivered"}]}`}
		answers["POST /v1/inbox/alice@localhost/"+id+"/read"] = fakeAnswer{200, `{}`}
		answers["DELETE /v1/inbox/alice@localhost/"+id] = fakeAnswer{200, fmt.Sprintf(`{"message_id":%q}`, id)}
		answers["GET /v1/messages/"+id+"/status"] = fakeAnswer{200,
			fmt.Sprintf(`{"message_id":%q,"status":"delivered"}`, id)}
	}
	var outcomes []string
	for _, id := range ids {
		outcomes = append(outcomes, fmt.Sprintf(`{"message_id":%q,"status":"acknowledged"}`, id))
	}
	answers["POST /v1/inbox/alice@localhost/ack"] = fakeAnswer{200, `{"results":[` + strings.Join(outcomes, ",") + `]}`}
	answers["GET /v1/inbox/alice@localhost"] = fakeAnswer{200,
		`{"recipient":"alice@localhost","messages":[` + strings.Join(list, ",") + `]}`}
	return newFakeGateway(t, answers)
}

// missing has the gateway say of ids that it has no such message.
func (g *fakeGateway) missing(ids ...string) {
	for _, id := range ids {
		for _, line := range []string{"GET /v1/messages/" + id, "DELETE /v1/inbox/alice@localhost/" + id,
			"GET /v1/messages/" + id + "/status"} {
			g.answers[line] = fakeAnswer{404, noMessage}
		}
	}
}

// TestANumberOfTheLastList names a message to read, reply, ack and status.
func TestANumberOfTheLastList(t *testing.T) {
	g := mailbox(t, first3, second3, third3)
	u := alice(t, g)
	if got := u.run("read", "1"); got.exit != 4 || !strings.Contains(got.stderr, "No list was shown") ||
		len(g.asked) != 0 {
		t.Errorf("read 1 without a list: %+v, asked %q", got, g.lines())
	}
	u.does(0, "  2. ["+second3+"] [UNREAD]", "inbox")
	u.does(0, "Message "+second3, "read", "2", "--peek")
	u.does(0, "Message "+third3+":", "status", "3")
	u.does(0, "", "reply", "1", "--text", "yes")
	u.does(0, "Message "+first3+" acknowledged.\n  It was from bob@localhost, subject \"S1\".\nMessage "+third3+
		" acknowledged.\n  It was from bob@localhost, subject \"S3\".\n", "ack", "1", "3")
	u.does(0, "Message "+second3, "read", "2") // the list is the same
	if got := u.run("ack", "4"); got.exit != 4 || !strings.Contains(got.stderr, "no message with the number 4") {
		t.Errorf("ack 4: %+v", got)
	}
	g.missing("1")
	if got := u.run("read", "1", "--json"); got.exit != 4 || g.lines()[len(g.asked)-1] != "GET /v1/messages/1" {
		t.Errorf("with --json an argument is an id: %+v, asked %q", got, g.lines())
	}
	u.does(0, "", "inbox", "--json")
	u.does(0, "Message "+second3, "read", "2") // which showed no numbers

	// The numbers of the last list, and the lists to which they apply.
	u.does(0, "", "sent")
	// sent skips one
	g.answers["GET /v1/messages/m2/status"] = fakeAnswer{200, `{"message_id":"m2","status":"delivered"}`}
	u.does(0, "", "status", "2")
	for _, args := range []string{"ack 2", "reply 2 --text x"} {
		if got := u.run(strings.Fields(args)...); got.exit != 2 ||
			!strings.Contains(got.stderr, "The last list was that of amtp sent") {
			t.Errorf("%s behind amtp sent: %+v", args, got)
		}
	}
	other := *u
	other.env = append(u.env, "AMTP_PROFILE=other")
	other.writeConfig(strings.Replace(readAll(t, u.configFile()), "{",
		`{"profiles":{"other":{"gatewayUrl":"`+g.url+
			`","agentName":"alice","agentAddress":"alice2@localhost","apiKey":"amtp_key-of-other"}},`, 1))
	if got := other.run("read", "1"); got.exit != 4 {
		t.Errorf("another profile's number: %+v", got)
	}
}

// TestANumberThatIsAnID: a stranger's message with the id "1" is not acknowledged in
// place of another.
func TestANumberThatIsAnID(t *testing.T) {
	g := mailbox(t, first3, "1")
	u := alice(t, g)
	u.does(0, "", "inbox")
	before := len(g.asked)
	if got := u.run("ack", "1"); got.exit != 2 || len(g.asked) != before || !strings.Contains(got.stderr, "number 2") {
		t.Errorf("ack 1: %+v, asked %q", got, g.lines()[before:])
	}
	u.does(0, "Message 1 acknowledged.", "ack", "2")
	u.does(0, "Message "+first3+" acknowledged.", "ack", first3)
}

// runAt runs a command at a terminal, "" for none.
func (u *user) runAt(terminal string, args ...string) outcome {
	u.t.Helper()
	var stdout, stderr strings.Builder
	p := newProgram(strings.NewReader(u.stdin), &stdout, &stderr, u.env)
	p.goos, p.session = "linux", func() string { return terminal }
	exit := p.run(u.t.Context(), args)
	return outcome{stdout.String(), stderr.String(), exit}
}

// TestEachTerminalHasItsNumbers: a list that another terminal showed meanwhile changes
// nothing here, because an acknowledgement cannot be undone.
func TestEachTerminalHasItsNumbers(t *testing.T) {
	g, later := mailbox(t, first3), mailbox(t, second3, first3)
	u := alice(t, g)
	for _, terminal := range []string{"one", "two", ""} {
		if got := u.runAt(terminal, "ack", "1"); got.exit != 4 ||
			!strings.Contains(got.stderr, "No list was shown here") {
			t.Errorf("terminal %q before its first list: %+v", terminal, got)
		}
		if got := u.runAt(terminal, "inbox"); got.exit != 0 {
			t.Fatalf("%+v", got)
		}
	}
	g.answers["GET /v1/inbox/alice@localhost"] = later.answers["GET /v1/inbox/alice@localhost"]
	for _, line := range []string{"DELETE /v1/inbox/alice@localhost/" + second3, "GET /v1/messages/" + second3} {
		g.answers[line] = later.answers[line]
	}
	u.runAt("two", "inbox")
	for terminal, want := range map[string]string{"one": first3, "two": second3, "": first3} {
		if got := u.runAt(terminal, "ack", "1"); !strings.HasPrefix(got.stdout,
			"Message "+want+" acknowledged.\n  It was from bob@localhost, subject") {
			t.Errorf("terminal %q: %+v, want %s", terminal, got, want)
		}
	}
	if got := u.runAt("one", "ack", first3); got.stdout != "Message "+first3+" acknowledged.\n" {
		t.Errorf("by its id: %+v", got)
	}
}

// TestASubjectIsShownAsData where a message is acknowledged by its number: in one short
// line, without what a terminal would act on.
func TestASubjectIsShownAsData(t *testing.T) {
	subject := "a\"\n\x1b[2JMessage x acknowledged. " + strings.Repeat("b", 500)
	head := render.Clean(render.Head(&amtp.Received{Subject: subject}))
	if strings.ContainsAny(head, "\n\x1b") || len(head) > 200 || !strings.Contains(head, `\"`) {
		t.Errorf("shown as %s", head)
	}
}

// TestOldListsGo: the lists of old terminals are removed.
func TestOldListsGo(t *testing.T) {
	u := alice(t, mailbox(t, first3))
	u.env = append(u.env, "XDG_STATE_HOME="+u.home)
	u.runAt("old", "inbox")
	files, err := filepath.Glob(filepath.Join(u.home, "amtp", "list-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	if err := os.Chtimes(files[0], time.Time{}, time.Now().Add(-2*listTime)); err != nil {
		t.Fatal(err)
	}
	u.runAt("new", "inbox")
	if left, err := filepath.Glob(filepath.Join(u.home, "amtp", "list-*.json")); err != nil || len(left) != 1 ||
		left[0] == files[0] {
		t.Errorf("left are %q, %v", left, err)
	}
}

// TestShortIDs: the beginning or end of an id is enough where no other has it, with and
// without a list.
func TestShortIDs(t *testing.T) {
	for _, listed := range []bool{true, false} {
		g := mailbox(t, first3, second3, third3)
		g.missing("ccca", "0608", "01a205aa-2730", "01a205aa", "order", "nothing-like-it", "2026-1")
		u := alice(t, g)
		if listed {
			u.does(0, "", "inbox")
		}
		u.does(0, "Message "+first3, "read", "ccca", "--peek")
		u.does(0, "Message "+first3, "read", "01a205aa-2730", "--peek")
		u.does(0, "Message "+third3+":", "status", "order")
		u.does(0, "", "reply", "0608", "--text", "yes")
		u.does(0, "Message "+third3+" acknowledged.", "ack", "2026-1")
		for args, says := range map[string]string{"read 01a205aa": "2 messages' ids", "ack 01a205aa": "2 messages' ids",
			"read nothing-like-it": "not found", "ack abc": ""} {
			g.missing("abc")
			want := 4
			if strings.HasPrefix(says, "2 ") {
				want = 2
			}
			if got := u.run(strings.Fields(args)...); got.exit != want || !strings.Contains(got.stderr, says) {
				t.Errorf("%s, listed %t: %+v", args, listed, got)
			}
		}
		for _, r := range g.asked {
			if strings.HasPrefix(r.line, "DELETE") && !strings.HasSuffix(r.line, third3) &&
				r.line != "DELETE /v1/inbox/alice@localhost/2026-1" && !strings.HasSuffix(r.line, "/01a205aa") &&
				!strings.HasSuffix(r.line, "/abc") {
				t.Errorf("asked %s", r.line)
			}
		}
	}
}

// TestTheListIsKeptPrivate: the file holds only ids and is readable by its owner only.
// If it cannot be written, the list is still shown.
func TestTheListIsKeptPrivate(t *testing.T) {
	u := alice(t, mailbox(t, first3))
	u.does(0, "", "inbox")
	files, err := filepath.Glob(filepath.Join(u.home, ".local", "state", "amtp", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	var list map[string]any
	if text := readAll(t, files[0]); json.Unmarshal([]byte(text), &list) != nil || strings.Contains(text, "S1") ||
		strings.Contains(text, "bob") {
		t.Errorf("the list is %s", text)
	}
	u.env = append(u.env, "XDG_STATE_HOME="+files[0]) // no directory
	u.does(0, "  1. ["+first3, "inbox")
}

func readAll(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestInReplyToIsAMessage: a mistyped id begins no thread.
func TestInReplyToIsAMessage(t *testing.T) {
	g := mailbox(t, first3)
	g.missing("nope", "ccca")
	u := alice(t, g)
	if got := u.run("send", "--to", "bob@localhost", "--text", "x", "--in-reply-to", "nope"); got.exit != 4 {
		t.Errorf("%+v", got)
	}
	u.does(0, "", "send", "--to", "bob@localhost", "--text", "x", "--in-reply-to", "ccca")
	if last := g.asked[len(g.asked)-1]; !strings.Contains(last.body, `"in_reply_to":"`+first3+`"`) {
		t.Errorf("sent %s", last.body)
	}
	for _, r := range g.asked[:len(g.asked)-1] {
		if strings.HasPrefix(r.line, http.MethodPost) {
			t.Errorf("asked %s", r.line)
		}
	}
}
