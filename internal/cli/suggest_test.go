package cli

import (
	"strings"
	"testing"
)

// TestWhatWasMeant: a command or flag that is mistyped, or has another name in other
// programs.
func TestWhatWasMeant(t *testing.T) {
	u := newUser(t)
	for typed, meant := range map[string]string{
		"sedn": `did you mean "amtp send"?`, "sedn --to bob@localhost": `did you mean "amtp send"?`,
		"inbx": `"amtp inbox"`, "unregster": `"amtp unregister"`,
		"discov": `"amtp discover"`, "Register": `"amtp setup --name NAME"`, "login": `"amtp setup`,
		"listen": `"amtp watch"`, "list": `"amtp inbox"`,
		"grep bob": `"amtp search WORDS"`, "start": `"amtp serve"`, "logs": `"amtp service logs"`,
		"show 1": `"amtp read ID"`, "delete 1": `"amtp ack ID"`, "answer 1": `"amtp reply ID"`,
		"agent lst": `"amtp agent list"`, "queue retyr --all": `"amtp queue retry"`,
		"profile us x":  `"amtp profile use"`,
		"inbox --unred": "did you mean --unread?", "send --txt x": "did you mean --text?",
		"send --too x": "did you mean --to?", "sent --lim 5": "did you mean --limit?",
		"setup --nmae x": "did you mean --name?", "ack --jsn": "did you mean --json?",
		"send --subjcet x": "did you mean --subject?", "inbox --limit abc": `--limit: "abc" is not a whole number.`,
		"inbox --wait 5":       `--wait: "5" is not a length of time.`,
		"inbox --timeout soon": "such as 30s", "inbox --unread=maybe": `"maybe" is neither true nor false`,
	} {
		got := u.run(strings.Fields(typed)...)
		if got.exit != 2 || !strings.Contains(got.stderr, meant) || strings.Contains(got.stderr, "strconv") ||
			strings.Contains(got.stderr, "time:") {
			t.Errorf("amtp %s: %+v, want %q", typed, got, meant)
		}
	}
	for _, typed := range []string{"bogus", "x", "agent bogus", "inbox --bogus", "inbox -z", "send --q"} {
		if got := u.run(strings.Fields(typed)...); got.exit != 2 || strings.Contains(got.stderr, "did you mean") {
			t.Errorf("amtp %s: %+v", typed, got)
		}
	}
	root := newProgram(nil, nil, nil, nil).rootCommand()
	for word, meant := range meantBy {
		if cmd, _, err := root.Find(strings.Fields(meant)); err != nil || cmd == root || len(cmd.Commands()) > 0 {
			t.Errorf("%s means %q, which is no command", word, meant)
		}
		if cmd, _, err := root.Find([]string{word}); err == nil && cmd != root && cmd.Name() == word &&
			len(cmd.Commands()) == 0 {
			t.Errorf("%s is a command, and so means nothing else", word)
		}
	}
}

// TestCompletionShowsNoMarks: the descriptions of flags are for readers.
func TestCompletionShowsNoMarks(t *testing.T) {
	u := newUser(t)
	got := u.run("__complete", "send", "--")
	if got.exit != 0 || !strings.Contains(got.stdout, "--idempotency-key\ta KEY under which") ||
		strings.Contains(got.stdout, "`") {
		t.Errorf("%+v", got)
	}
}
