package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// prompt is the longest time for a refusal. On a busy machine the request is repeated until
// one is in time, for as long as patience lasts.
const prompt = slower * time.Second

// TestMalformedRequests makes every request of testdata/corpus. Each refusal has the status
// and code that the file states, has a request id, and has changed nothing.
func TestMalformedRequests(t *testing.T) {
	slow.Test(t, "it sends the whole corpus of malformed requests")
	c := newCorpus(t)
	for _, x := range c.cases {
		if x.status == nil {
			continue
		}
		t.Run(x.name(), func(t *testing.T) { c.run(t, x) })
	}
	c.w.wants("health after all", c.w.do("GET", "/health", ""), 200, "")
}

// TestCorpusIsWhole: no case is missing. A case about a feature that does not exist yet
// says so.
func TestCorpusIsWhole(t *testing.T) {
	var run, later []string
	for _, x := range readCorpus(t) {
		if x.status != nil || x.elsewhere {
			run = append(run, x.id)
		} else {
			later = append(later, x.id)
		}
	}
	for n := 1; n <= 210; n++ {
		if id := fmt.Sprintf("M%03d", n); !slices.Contains(run, id) && !slices.Contains(later, id) {
			t.Errorf("the corpus has no case %s", id)
		}
	}
	slices.Sort(run)
	t.Logf("%d requests of %d ids, %d ids not today", len(run), len(slices.Compact(run)), len(later))
}

// malformed is one case.
type malformed struct {
	id, what  string
	request   string // as in the file, filled in when it is made
	status    []int  // any of them; 0 is no answer; nil: not today, or elsewhere
	code      string
	bare      bool // answered by the HTTP server, without JSON
	closes    bool // the connection is closed behind the answer
	elsewhere bool
}

func (x malformed) name() string { return x.id + " " + x.what }

func readCorpus(t *testing.T) []malformed {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/[0-9]*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("the corpus: %v, %v", files, err)
	}
	var all []malformed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		for part := range strings.SplitSeq(string(text), "\n== ") {
			head, rest, _ := strings.Cut(part, "\n")
			request, expected, ok := strings.Cut("\n"+rest, "\n-- ")
			if !ok {
				continue // the text before the first case
			}
			x := malformed{request: strings.TrimPrefix(request, "\n")}
			x.id, x.what, _ = strings.Cut(head, " ")
			if err := x.expect(strings.TrimSpace(expected)); err != nil {
				t.Fatalf("%s: %s: %v", file, x.name(), err)
			}
			all = append(all, x)
		}
	}
	return all
}

// expect reads the line with the expected result.
func (x *malformed) expect(line string) error {
	why, later := strings.CutPrefix(line, "not today: ")
	_, elsewhere := strings.CutPrefix(line, "elsewhere: ")
	if later || elsewhere {
		x.elsewhere = elsewhere
		if why == "" {
			return errors.New("no reason is given")
		}
		return nil
	}
	words := strings.Fields(line)
	for status := range strings.SplitSeq(words[0], "|") {
		n, err := strconv.Atoi(status)
		if err != nil && status != "none" {
			return err
		}
		x.status = append(x.status, n)
	}
	for _, word := range words[1:] {
		switch word {
		case "bare":
			x.bare = true
		case "close":
			x.closes = true
		default:
			x.code = word
		}
	}
	return nil
}

// corpus is the world in which the cases are tried.
type corpus struct {
	w     *world
	cases []malformed
	known map[string]string
	funcs template.FuncMap
}

func newCorpus(t *testing.T) *corpus {
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	for _, name := range []string{"alice", "bob", "eve"} {
		w.agent(name)
	}
	issued := w.do("POST", "/v1/admin/agents/alice/keys", "", w.as("alice"))
	w.wants("issue", issued, 201, "")
	w.wants("revoke", w.do("DELETE", "/v1/admin/agents/alice/keys/"+issued.body["id"].(string), "",
		w.as("alice")), 200, "")
	c := &corpus{w: w, cases: readCorpus(t)}
	c.known = map[string]string{
		"admin": w.admin, "alice": w.keys["alice"], "bob": w.keys["bob"], "eve": w.keys["eve"],
		"revoked": issued.body["api_key"].(string),
		"mine":    w.send("alice", "bob", `1`), "foreign": w.send("bob", "eve", `1`),
	}
	c.funcs = template.FuncMap{
		"rep": strings.Repeat,
		"cat": func(s ...string) string { return strings.Join(s, "") },
		"lf":  func() string { return "\n" },
		"hex": func(s string) (string, error) { b, err := hex.DecodeString(s); return string(b), err },
		"members": func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `,"m%d":0`, i)
			}
			return "{" + b.String()[1:] + "}"
		},
	}
	return c
}

// run makes one request and checks everything that must hold.
func (c *corpus) run(t *testing.T, x malformed) {
	request, eof := c.bytes(t, x)
	before := c.state(t)
	var got raw
	for first := time.Now(); ; {
		began := time.Now()
		got = c.speak(t, request, eof)
		if took := time.Since(began); took < prompt {
			break
		} else if time.Since(first) > patience {
			t.Errorf("for %v no answer took less than %v, the last one %v", patience, prompt, took)
			break
		}
	}
	got.described(t, request)
	if !slices.Contains(x.status, got.status) {
		t.Fatalf("got %d %.300q, want %v %s; request %.200q", got.status, got.body, x.status, x.code, request)
	}
	if got.status >= 500 && !x.bare {
		t.Errorf("got %d: input never causes it", got.status)
	}
	if !x.bare && got.status != 0 {
		c.inspect(t, x, got)
	}
	if x.closes && got.status != 0 && (!got.closed || len(got.after) > 0) {
		t.Errorf("after the answer: connection closed: %v, bytes %.200q; want it closed without bytes",
			got.closed, got.after)
	}
	if got.status/100 != 2 {
		if after := c.state(t); after != before {
			t.Errorf("after a refusal the state is %s, before it was %s", after, before)
		}
	}
	if name := c.healthy(); name != "" {
		t.Error(name)
	}
}

// inspect checks an answer that the gateway wrote, not the HTTP server.
func (c *corpus) inspect(t *testing.T, x malformed, got raw) {
	id := got.header.Get("X-Request-Id")
	if id == "" {
		t.Error("the answer has no request id")
	}
	for name := range got.header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the answer has %s", name)
		}
	}
	if x.code == "" {
		return
	}
	e := got.error(t)
	if e.Code != x.code || e.RequestID != id || e.Message == "" || e.Timestamp == "" || len(got.body) > 2000 {
		t.Errorf("got %s under %s, want %s with message, timestamp and request id", got.body, id, x.code)
	}
}

// state is all state that a refused request must not change.
func (c *corpus) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	admin := "X-Admin-Key: " + c.w.admin
	fmt.Fprintf(&b, "messages %v, agents %v", c.w.do("GET", "/v1/messages?limit=1", "", admin).body["total"],
		c.w.do("GET", "/v1/admin/agents", "", admin).body["count"])
	for _, name := range []string{"alice", "bob", "eve"} {
		who := c.w.do("GET", "/v1/whoami", "", c.w.as(name)).body
		keys := c.w.do("GET", "/v1/admin/agents/"+name+"/keys", "", admin).body["count"]
		fmt.Fprintf(&b, ", %s has %v pending, %v unread, %v keys", name, who["pending"], who["unread"], keys)
	}
	return b.String()
}

func (c *corpus) healthy() string {
	if a := c.w.do("GET", "/health", ""); a.status != 200 {
		return "the gateway is not healthy: " + a.raw
	}
	return ""
}

// bytes returns the request of a case as it goes over the connection.
func (c *corpus) bytes(t *testing.T, x malformed) (request string, eof bool) {
	t.Helper()
	line := "POST /v1/messages"
	headers := map[string]string{"Host": "localhost", "Connection": "close", "Content-Type": "application/json",
		"Authorization": "Bearer {{.alice}}"}
	body := x.request
	for strings.HasPrefix(body, "> ") {
		var directive string
		directive, body, _ = strings.Cut(body[len("> "):], "\n")
		word, rest, _ := strings.Cut(directive, " ")
		switch {
		case word == "raw":
			return c.fill(t, strings.ReplaceAll(body, "\n", "\r\n")), eof
		case word == "eof":
			eof = true
		case word == "with":
			member, value, _ := strings.Cut(rest, " ")
			body = goodMessage(member, value)
		case word == "without":
			body = goodMessage(rest, "")
		case word == "as":
			setKey(headers, rest)
		case strings.HasPrefix(word, "-"):
			delete(headers, word[1:])
		case strings.HasSuffix(word, ":"):
			headers[strings.TrimSuffix(word, ":")] = rest
		default:
			line = directive
		}
	}
	body = c.fill(t, body)
	if _, given := headers["Content-Length"]; !given && (body != "" || strings.HasPrefix(line, "POST")) {
		headers["Content-Length"] = strconv.Itoa(len(body))
	}
	var b strings.Builder
	b.WriteString(line + " HTTP/1.1\r\n")
	for name, value := range headers {
		b.WriteString(name + ": " + value + "\r\n")
	}
	return c.fill(t, b.String()) + "\r\n" + body, eof
}

// goodMessage returns a message from alice to bob. The member has the value, or is left out
// if the value is "".
func goodMessage(member, value string) string {
	members := [][2]string{{"sender", `"alice@localhost"`}, {"recipients", `["bob@localhost"]`}, {"payload", `{"n":1}`},
		{member, value}}
	var b strings.Builder
	for i, m := range members {
		if m[0] == member && i < 3 || m[1] == "" {
			continue
		}
		b.WriteString(`,"` + m[0] + `":` + m[1])
	}
	return "{" + b.String()[1:] + "}"
}

func setKey(headers map[string]string, who string) {
	delete(headers, "Authorization")
	switch who {
	case "nobody":
	case "admin":
		headers["X-Admin-Key"] = "{{.admin}}"
	default:
		headers["Authorization"] = "Bearer {{." + who + "}}"
	}
}

func (c *corpus) fill(t *testing.T, text string) string {
	t.Helper()
	tmpl, err := template.New("").Funcs(c.funcs).Option("missingkey=error").Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, c.known); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// raw is an answer as it came over the connection.
type raw struct {
	status int // 0 when there was none
	header http.Header
	body   []byte
	closed bool
	after  []byte // the bytes after the answer
}

// speak sends the bytes and reads until the gateway closes the connection, but for a
// limited time.
func (c *corpus) speak(t *testing.T, request string, eof bool) raw {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, request) // the gateway need not read to the end
		if eof {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	answer := readRaw(t, conn, request)
	conn.Close()
	<-sent
	return answer
}

func readRaw(t *testing.T, conn net.Conn, request string) (got raw) {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	in := bufio.NewReader(conn)
	r, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return raw{} // closed without an answer
	}
	got.status, got.header = r.StatusCode, r.Header
	if got.body, err = io.ReadAll(r.Body); err != nil && r.ContentLength >= 0 {
		t.Errorf("the body of the answer: %v", err)
	}
	if got.closed = r.Close; !got.closed {
		return got
	}
	// An error means that the connection was cut, which ends it too.
	got.after, _ = io.ReadAll(in)
	return got
}

// described checks the answer to a whole request against the document of the API.
func (r raw) described(t *testing.T, request string) {
	t.Helper()
	describedRaw(t, request, &http.Response{StatusCode: r.status, Header: r.header}, r.body)
}

// wireError is an error in its form in an answer.
type wireError struct {
	Code, Message, Timestamp, RequestID string
}

func (r raw) error(t *testing.T) wireError {
	t.Helper()
	var body struct {
		Error struct {
			Code      string `json:"code"`
			Message   string `json:"message"`
			Timestamp string `json:"timestamp"`
			RequestID string `json:"request_id"`
		} `json:"error"`
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Errorf("the answer is not JSON: %v: %.300q", err, r.body)
	}
	return wireError(body.Error)
}

// TestAnnouncedBytesTakeNoRoom: a client that announces large bodies and does not send them
// does not keep other clients from sending.
func TestAnnouncedBytesTakeNoRoom(t *testing.T) {
	w := start(t, "AMTP_LIMITS_IN_FLIGHT_BYTES=16MiB")
	w.agent("alice")
	for range 50 {
		conn := w.open("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n{")
		t.Cleanup(func() { conn.Close() })
	}
	body := goodMessage("recipients", `["alice@localhost"]`)
	for range 20 {
		w.wants("a message of another client", w.do("POST", "/v1/messages", body, w.as("alice")), 202, "")
	}
	large := `{"sender":"alice@localhost","recipients":["alice@localhost"],"payload":"` + strings.Repeat("x",
		9<<20) + `"}`
	w.wants("a large one beside them", w.do("POST", "/v1/messages", large, w.as("alice")), 202, "")
	larger := strings.NewReader(strings.Repeat(" ", 11<<20))
	r, err := http.NewRequest("POST", w.url+"/v1/messages", io.MultiReader(larger)) // of unknown length: in chunks
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("more than is allowed, in chunks: got %d, want 413", resp.StatusCode)
		}
	}
}

// TestSlowRequestsEnd sends a header and a body byte by byte: M022 and M023.
func TestSlowRequestsEnd(t *testing.T) {
	slow.Test(t, "it waits for the end of slow requests")
	w := start(t, "AMTP_READ_TIMEOUT=6s")
	body := "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	for name, beginning := range map[string]string{"M022 a header": "", "M023 a body": body} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := w.open(beginning)
			defer conn.Close()
			began, every := time.Now(), time.NewTicker(time.Second)
			defer every.Stop()
			ended := make(chan raw, 1)
			go func() { ended <- readRaw(t, conn, "POST ") }()
			for {
				select {
				case <-every.C:
					_, _ = io.WriteString(conn, "G") // fails when it has ended
				case got := <-ended:
					if got.status != 0 && got.status != 400 && got.status != 408 {
						t.Errorf("got %d %s, want 400, 408 or nothing", got.status, got.body)
					}
					return
				}
				if took := time.Since(began); took > patience {
					t.Fatalf("after %v the connection is still open", took)
				}
			}
		})
	}
}

// open connects and sends the beginning of a request.
func (w *world) open(beginning string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, beginning); err != nil {
		w.t.Fatal(err)
	}
	return conn
}
