package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/render"
)

const (
	aJob = `{"id":12,"kind":"remote","destination":"far.example","state":"retrying","message_id":"m1","sender":"alice@localhost","subject":"Prices",` +
		`"recipients":[{"address":"carol@far.example","status":"retrying"}],"size":130,"attempts":3,"created_at":"2026-11-22T17:21:51Z",` +
		`"last_attempt":"2026-11-22T17:21:51Z","next_attempt":"2026-11-22T18:21:56Z","error_code":"RECIPIENT_UNAVAILABLE","error_message":"cannot be\u001b reached"}`
	aLane  = `{"destination":"far.example","window":1,"in_flight":0,"failures":3,"closed_until":"2026-11-22T17:26:51Z"}`
	oneJob = `{"jobs":[` + aJob + `],"count":1,"has_more":false,"next_cursor":"ic","destinations":[` + aLane +
		`,{"destination":"well.example","window":4,"in_flight":1,"failures":0}]}`
	aDead   = `{"id":7,"message_id":"m1","sender":"alice@localhost","recipient":"carol@far.example","destination":"far.example","error_code":"AGENT_UNKNOWN","failure_reason":"refused","attempts":2,"dlq_timestamp":"2026-11-20T14:21:51Z","received_at":"2026-11-20T14:21:51Z","size":130,"redrives":1}`
	oneDead = `{"dead_letters":[` + aDead + `],"count":1,"has_more":true,"next_cursor":"i7"}`
)

// operator is a user with the admin key, at a fixed time.
func operator(t *testing.T, g *fakeGateway) *user {
	u := alice(t, g)
	u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret")
	return u
}

func TestQueueInText(t *testing.T) {
	for _, c := range []struct {
		args    string
		answers map[string]fakeAnswer
		exit    int
		stdout  string
		stderr  string
	}{
		{"queue list", map[string]fakeAnswer{"GET /v1/admin/queue": {200, `{"jobs":[]}`}}, 0, "Nothing waits.\n", ""},
		{"queue retry 12", everything, 0, "1 job tried at once.\n", ""},
		{"queue cancel --destination far.example", everything, 0, "1 job cancelled.\n", ""},
		{"queue retry --all", map[string]fakeAnswer{"GET /v1/admin/queue": {200, oneJob},
			"POST /v1/admin/queue/12/retry": {409, `{"error":{"code":"CONFLICT","message":"Being delivered."}}`}}, 0,
			"0 jobs tried at once.\n", "1 job being delivered at this moment: left alone.\n"},
		{"queue cancel --all", map[string]fakeAnswer{"GET /v1/admin/queue": {200, oneJob},
			"DELETE /v1/admin/queue/12": {404, `{"error":{"code":"JOB_NOT_FOUND","message":"None."}}`}}, 0,
			"0 jobs cancelled.\n", ""},
		{"queue cancel 12", map[string]fakeAnswer{"DELETE /v1/admin/queue/12": {409,
			`{"error":{"code":"CONFLICT","message":"Being delivered."}}`}}, 5, "",
			"Error (CONFLICT): Being delivered.\n  Hint: do first what the text says\n"},
		{"queue show 13", map[string]fakeAnswer{"GET /v1/admin/queue/13": {404,
			`{"error":{"code":"JOB_NOT_FOUND","message":"None."}}`}}, 4, "",
			"Error (JOB_NOT_FOUND): None.\n  Hint: \"amtp queue list\" shows what waits, \"amtp status ID\" what became of a message\n"},
		{"queue cancel", nil, 2, "",
			"Error: Say which: ids, flags that choose, or --all for all that there are.\n  Hint: run \"amtp queue cancel --help\"\n"},
		{"queue cancel 12 --all", nil, 2, "",
			"Error: Give ids, flags that choose, or --all, and not two of them.\n  Hint: run \"amtp queue cancel --help\"\n"},
		{"queue show x", nil, 2, "",
			"Error: \"x\" is no id; they are numbers, as \"list\" shows them.\n  Hint: run \"amtp queue show --help\"\n"},
		{"dead list", map[string]fakeAnswer{"GET /v1/admin/dead-letters": {200, `{"dead_letters":[]}`}}, 0,
			"No dead letters.\n", ""},
		{"dead redrive 7", everything, 0, "1 dead letter redriven.\n", ""},
		{"dead redrive 7", map[string]fakeAnswer{"POST /v1/admin/dead-letters/redrive": {200, `{"redriven":0}`}}, 4, "",
			"Error: There are no such dead letters; what was redriven or purged has left the list.\n  Hint: \"amtp dead list\" shows those that there are\n"},
		{"dead redrive --code AGENT_UNKNOWN", map[string]fakeAnswer{"POST /v1/admin/dead-letters/redrive": {200,
			`{"redriven":0}`}}, 0, "0 dead letters redriven.\n", ""},
		{"dead purge --before 2026-01-31", everything, 0, "1 dead letter purged.\n", ""},
		{"dead purge", nil, 2, "",
			"Error: Say which: ids, flags that choose, or --all for all that there are.\n  Hint: run \"amtp dead purge --help\"\n"},
		{"dead purge --before soon", nil, 2, "",
			"Error: --before: \"soon\" is no time. Write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago it was, such as 720h.\n  Hint: run \"amtp dead purge --help\"\n"},
	} {
		g := newFakeGateway(t, c.answers)
		u := operator(t, g)
		u.expect(g, u.run(strings.Fields(c.args)...), c.exit, c.stdout, c.stderr)
	}
}

// TestQueueColumns: a line says how old a job is, how often and when it is
// tried, and what went wrong last.
func TestQueueColumns(t *testing.T) {
	g := newFakeGateway(t, everything)
	got := operator(t, g).run("queue", "list")
	lines := strings.Split(got.stdout, "\n")
	if got.exit != 0 || len(lines) < 4 || !strings.HasPrefix(lines[0], "JOB  DESTINATION  AGE") {
		t.Fatalf("queue list: %+v", got)
	}
	if f := strings.Fields(lines[1]); f[0] != "12" || f[1] != "far.example" || f[3] != "retrying" || f[4] != "3" ||
		!strings.HasSuffix(lines[1], `cannot be\u001b reached`) {
		t.Errorf("the line of the job is %q", lines[1])
	}
	if !strings.Contains(got.stdout, "\nfar.example: 3 failures in a row") ||
		strings.Contains(got.stdout, "well.example") {
		t.Errorf("the destinations are not shown by their health:\n%s", got.stdout)
	}
	got = operator(t, g).run("dead", "list")
	if f := strings.Fields(strings.Split(got.stdout, "\n")[1]); f[0] != "7" || f[1] != "carol@far.example" ||
		f[3] != "2" || f[4] != "AGENT_UNKNOWN" || f[5] != "refused" {
		t.Errorf("dead list: %+v", got)
	}
	if got.stderr != "There are more: amtp dead list --cursor i7\n" {
		t.Errorf("stderr of dead list is %q", got.stderr)
	}
	got = operator(t, g).run("dead", "show", "7")
	if !strings.Contains(got.stdout, "  Why:           refused (AGENT_UNKNOWN)\n") ||
		!strings.Contains(got.stdout, "\nSubject: Prices\n\nhi\nthere\n----- END") {
		t.Errorf("dead show: %s", got.stdout)
	}
}

func TestPurgeOfManyAsksInPieces(t *testing.T) {
	g := newFakeGateway(t, everything)
	u := operator(t, g)
	args := []string{"dead", "purge"}
	for range 45 {
		args = append(args, "7")
	}
	u.expect(g, u.run(args...), 0, "3 dead letters purged.\n", "")
	if len(g.asked) != 3 {
		t.Errorf("asked %d times, want 3: %q", len(g.asked), g.lines())
	}
}

func TestShortTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 1500 * time.Millisecond: "1s", time.Minute: "1m", 12*time.Minute + 5*time.Second: "12m5s",
		3*time.Hour + 59*time.Second: "3h", 26 * time.Hour: "1d2h", 168 * time.Hour: "7d",
	} {
		if got := render.Span(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
	p := &program{now: func() time.Time { return aMoment }}
	if got := p.next(admin.QueuedJob{State: "retrying",
		NextAttempt: amtp.Time{Time: aMoment.Add(time.Hour)}}); got != "in 1h" {
		t.Errorf("next = %q, want in 1h", got)
	}
}
