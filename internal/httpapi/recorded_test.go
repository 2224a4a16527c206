package httpapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRecordedClients replays the requests of existing clients, byte for byte over a bare
// connection. It checks the members that the clients read of each answer. The files say how
// they were recorded, and which form they have.
func TestRecordedClients(t *testing.T) {
	files, err := filepath.Glob("testdata/recorded/*.txt")
	if err != nil || len(files) < 3 {
		t.Fatalf("recordings: %q, %v; want at least 3", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			w := start(t)
			host := strings.TrimPrefix(w.url, "http://")
			known := map[string]string{"host": host, "admin": w.admin}
			for _, e := range readRecording(t, file) {
				e.replay(t, host, known)
			}
		})
	}
}

// An exchange is one recorded request, with the members of the answer that its client reads.
type exchange struct {
	title   string
	request string // with {{names}} for the texts that differ from run to run
	status  int
	reads   []string
}

// readRecording reads a file of exchanges: "== title", the request, "-- status",
// one line for every member that the client reads.
func readRecording(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	for part := range strings.SplitSeq("\n"+string(text), "\n== ") {
		title, rest, _ := strings.Cut(part, "\n")
		request, answer, ok := strings.Cut(rest, "\n-- ")
		if !ok {
			continue // the text before the first exchange
		}
		e := exchange{title: title, request: request}
		for i, line := range strings.Split(strings.TrimSpace(answer), "\n") {
			if i > 0 {
				e.reads = append(e.reads, line)
			} else if e.status, err = strconv.Atoi(line); err != nil {
				t.Fatalf("%s: %s: %v", file, title, err)
			}
		}
		all = append(all, e)
	}
	return all
}

// bytes returns the request as it goes over the connection.
func (e exchange) bytes(known map[string]string) string {
	text := e.request
	for name, value := range known {
		text = strings.ReplaceAll(text, "{{"+name+"}}", value)
	}
	head, body, _ := strings.Cut(text, "\n\n")
	head = strings.ReplaceAll(head, "{{length}}", strconv.Itoa(len(body)))
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

// replay makes the exchange and remembers the values that its lines name.
func (e exchange) replay(t *testing.T, host string, known map[string]string) {
	t.Helper()
	request := e.bytes(known)
	if strings.Contains(request, "{{") {
		t.Fatalf("%s: the request has an unknown name: %s", e.title, request)
	}
	status, body := speak(t, host, request)
	if status != e.status {
		t.Fatalf("%s: got %d, want %d: %s", e.title, status, e.status, body)
	}
	var answer any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s: the answer is not JSON: %v: %s", e.title, err, body)
	}
	for _, line := range e.reads {
		if err := read(answer, line, known); err != nil {
			t.Errorf("%s: %v: %s", e.title, err, body)
		}
	}
}

// speak sends the bytes and returns the answer.
func speak(t *testing.T, host, request string) (int, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	describedRaw(t, request, r, body)
	// The reference client reads an answer as JSON only under this type.
	if got := r.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	return r.StatusCode, body
}

// read checks one line: "path is JSON", "path is a time", "path is a list",
// "path is a map" or "path as name", which remembers a string that is not empty.
func read(answer any, line string, known map[string]string) error {
	path, rest, _ := strings.Cut(line, " ")
	got := member(answer, path)
	if name, ok := strings.CutPrefix(rest, "as "); ok {
		text, _ := got.(string)
		if text == "" {
			return fmt.Errorf("%s is %v, want a string", path, got)
		}
		known[name] = text
		return nil
	}
	want := strings.TrimPrefix(rest, "is ")
	ok := false
	switch want {
	case "a time":
		text, _ := got.(string)
		_, err := time.Parse(time.RFC3339, text)
		ok = err == nil
	case "a list":
		_, ok = got.([]any)
	case "a map":
		_, ok = got.(map[string]any)
	default:
		for name, value := range known {
			want = strings.ReplaceAll(want, "{{"+name+"}}", value)
		}
		b, err := json.Marshal(got)
		ok = err == nil && string(b) == want
	}
	if !ok {
		return fmt.Errorf("%s is %v, want %s", path, got, want)
	}
	return nil
}

// member follows a path of names and numbers, with / between them. A dot cannot separate
// them, because an address may be a name.
func member(v any, path string) any {
	for step := range strings.SplitSeq(path, "/") {
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}
