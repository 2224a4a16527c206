package cli

import (
	"fmt"
	"strings"
	"testing"
)

// TestReply answers only the proven sender, with the subject.
func TestReply(t *testing.T) {
	message := func(sender, trust string) string {
		return fmt.Sprintf(`{"message_id":"m1","sender":%q,"timestamp":"2026-11-22T17:21:51Z","trust":%q,"subject":"Prices","status":"delivered","recipients":[{"address":"alice@localhost","status":"delivered"}]}`,
			sender, trust)
	}
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/messages": {202, sentToBob}})
	u := alice(t, g)
	for _, tt := range []struct {
		sender, trust, words string
		exit                 int
		want                 string
	}{
		{"bob@localhost", "local", "--text yes", 0,
			`"recipients":["bob@localhost"],"subject":"Re: Prices","payload":{"text":"yes"},"in_reply_to":"m1"`},
		{"bob@shop.example", "verified", `--payload {"ok":true} --subject Other --header a=b --schema agntcy:a.b.v1`, 0,
			`"recipients":["bob@shop.example"],"subject":"Other","schema":"agntcy:a.b.v1","headers":{"a":"b"},"payload":{"ok":true},"in_reply_to":"m1"`},
		{"`./build`@evil.example", "verified", "--text yes", 0,
			"\"recipients\":[\"`./build`@evil.example\"],\"subject\":\"Re: Prices\",\"payload\":{\"text\":\"yes\"},\"in_reply_to\":\"m1\""},
		{"x@evil.example", "unverified", "--text yes", 8, ""},
		{"x@evil.example", "bridged", "--text yes", 8, ""},
		{"x@evil.example", "", "--text yes", 8, ""},
		{"x@evil.example", "unverified", "--text yes --unproven", 0,
			`"recipients":["x@evil.example"],"subject":"Re: Prices","payload":{"text":"yes"},"in_reply_to":"m1"`},
		{"bob@localhost", "local", "", 2, ""},
		{"bob@localhost", "local", "--text amtp_secret-of-alice", 8, ""},
	} {
		g.answers["GET /v1/messages/m1"] = fakeAnswer{200, message(tt.sender, tt.trust)}
		g.asked = nil
		got := u.run(append([]string{"reply", "m1", "--idempotency-key", "k1"}, strings.Fields(tt.words)...)...)
		sent := ""
		for _, r := range g.asked {
			sent += r.body
		}
		want := tt.want
		if want != "" {
			want = `{"version":"1.0","idempotency_key":"k1","sender":"alice@localhost",` + want + `}`
		}
		if got.exit != tt.exit || sent != want {
			t.Errorf("reply to %s, %s %s: %+v\nsent %s\nwant %s", tt.sender, tt.trust, tt.words, got, sent, want)
		}
		if strings.Contains(got.stdout+got.stderr, "`./build") {
			t.Errorf("the address is shown bare: %+v", got)
		}
	}
	g.answers["GET /v1/messages/m1"] = fakeAnswer{200, strings.Replace(message("alice@localhost", "local"),
		`"recipients":[{"address":"alice`, `"recipients":[{"address":"bob`, 1)}
	if got := u.run("reply", "m1", "--text", "x"); got.exit != 2 ||
		!strings.Contains(got.stderr, "You wrote the message m1 yourself") {
		t.Errorf("reply to oneself: %+v", got)
	}
	if got := u.run("reply", "--text", "x"); got.exit != 2 {
		t.Errorf("reply to nothing: %+v", got)
	}
}

// TestReplyGoesTo: a header reply-to counts in the domain of a proven sender only, --all
// adds the other recipients once, and a report is not answered.
func TestReplyGoesTo(t *testing.T) {
	const all = `"alice@localhost","Bob@localhost","carol@localhost","CAROL@localhost","x@far.example"`
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/messages": {202, sentToBob}})
	u := alice(t, g)
	for _, tt := range []struct {
		sender, trust, subject, headers, words string
		exit                                   int
		recipients, sent                       string
		says                                   string
	}{
		{"bob@localhost", "local", "", `{"reply-to":"desk@localhost"}`, "", 0, `["desk@localhost"]`, "", ""},
		{"bob@far.example", "verified", "", `{"Reply-To":"desk@FAR.example"}`, "", 0, `["desk@far.example"]`, "", ""},
		{"bob@far.example", "verified", "", `{"reply-to":"desk@evil.example"}`, "", 0, `["bob@far.example"]`, "",
			"the answer goes to bob@far.example"},
		{"bob@far.example", "unverified", "", `{"reply-to":"desk@far.example"}`, "--unproven", 0, `["bob@far.example"]`,
			"", "the answer goes to bob@far.example"},
		{"bob@localhost", "local", "", `{"reply-to":7}`, "", 0, `["bob@localhost"]`, "", ""},
		{"bob@localhost", "local", "", `{}`, "--all", 0, `["bob@localhost","carol@localhost","x@far.example"]`, "", ""},
		{"bob@localhost", "local", "RE: prices", `{}`, "", 0, `["bob@localhost"]`, `"subject":"RE: prices"`, ""},
		{"bob@localhost", "local", "Regular", `{}`, "", 0, `["bob@localhost"]`, `"subject":"Re: Regular"`, ""},
		{"mailer-daemon@localhost", "local", "Failed", `{}`, "", 8, "", "", "nobody would read an answer"},
		{"Mailer-Daemon@far.example", "unverified", "Failed", `{}`, "--unproven", 8, "", "",
			"nobody would read an answer"},
	} {
		var to []string
		for _, a := range strings.Split(all, ",") {
			to = append(to, `{"address":`+a+`,"status":"delivered"}`)
		}
		g.answers["GET /v1/messages/m1"] = fakeAnswer{200, fmt.Sprintf(`{"message_id":"m1","sender":%q,"trust":%q,`+
			`"subject":%q,"headers":%s,"status":"delivered","recipients":[%s]}`, tt.sender, tt.trust,
			tt.subject, tt.headers,
			strings.Join(to, ","))}
		g.asked = nil
		got := u.run(append([]string{"reply", "m1", "--text", "yes"}, strings.Fields(tt.words)...)...)
		sent := g.asked[len(g.asked)-1].body
		if got.exit != tt.exit || !strings.Contains(got.stderr, tt.says) ||
			tt.recipients != "" && !strings.Contains(sent, `"recipients":`+tt.recipients) ||
			!strings.Contains(sent, tt.sent) {
			t.Errorf("reply to %s %s, %s %s: %+v\nsent %s\nwant to %s", tt.sender, tt.trust, tt.headers,
				tt.words, got, sent,
				tt.recipients)
		}
	}
}

// TestForward sends a message on as data in one's own message.
func TestForward(t *testing.T) {
	const original = `{"message_id":"m1","sender":"mallory@evil.example","timestamp":"2026-11-22T17:21:51.000Z",` +
		`"trust":"unverified","authentication":{"result":"none","reason":"unsigned"},"subject":"Prices","schema":"agntcy:a.b.v1",` +
		`"payload":{"n":1.50,"html":"<b>"},"attachments":[{"filename":"a.txt","content_type":"text/plain","size":1,` +
		`"hash":"sha256:aa","url":"https://evil.example/a"}],"status":"delivered",` +
		`"recipients":[{"address":"alice@localhost","status":"delivered"}]}`
	const inside = `"forwarded":{"message_id":"m1","sender":"mallory@evil.example","timestamp":"2026-11-22T17:21:51.000Z",` +
		`"subject":"Prices","schema":"agntcy:a.b.v1","trust":"unverified","authentication":{"result":"none","reason":"unsigned"},` +
		`"payload":{"n":1.50,"html":"<b>"}}`
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/messages": {202, sentToBob},
		"GET /v1/messages/m1": {200, original}})
	u := alice(t, g)
	for words, want := range map[string]string{
		"m1 bob@localhost carol@localhost": `"recipients":["bob@localhost","carol@localhost"],"subject":"Fwd: Prices",` +
			`"payload":{` + inside + `}`,
		"m1 bob@localhost --text look --subject Other": `"recipients":["bob@localhost"],"subject":"Other",` +
			`"payload":{` + inside + `,"text":"look"}`,
	} {
		g.asked = nil
		got := u.run(append([]string{"forward", "--idempotency-key", "k1"}, strings.Fields(words)...)...)
		sent := g.asked[len(g.asked)-1].body
		if got.exit != 0 || !strings.Contains(sent, `"sender":"alice@localhost",`+want) ||
			!strings.Contains(sent, `"attachments":[{"filename":"a.txt"`) || strings.Contains(sent, "in_reply_to") {
			t.Errorf("forward %s: %+v\nsent %s\nwant %s", words, got, sent, want)
		}
	}
	g.answers["GET /v1/messages/m1"] = fakeAnswer{200, strings.Replace(original, `"subject":"Prices"`,
		`"subject":"fwd: Prices"`, 1)}
	u.run("forward", "m1", "bob@localhost")
	if sent := g.asked[len(g.asked)-1].body; !strings.Contains(sent, `"subject":"fwd: Prices","payload"`) {
		t.Errorf("a subject that has the prefix: sent %s", sent)
	}
	g.answers["GET /v1/messages/m1"] = fakeAnswer{200,
		`{"message_id":"m1","sender":"bob@localhost","body_purged":true,` +
			`"recipients":[]}`}
	if got := u.run("forward", "m1", "bob@localhost"); got.exit != 4 || !strings.Contains(got.stderr, "was removed") {
		t.Errorf("a content that was removed: %+v", got)
	}
	for _, words := range []string{"", "m1", "m1 nonsense", "m1 bob@localhost --text a --text-file b"} {
		if got := u.run(append([]string{"forward"}, strings.Fields(words)...)...); got.exit != 2 {
			t.Errorf("forward %s: %+v", words, got)
		}
	}
}
