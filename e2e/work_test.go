//go:build unix

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// shop is a gateway, with people who give work to others.
type shop struct {
	t       *testing.T
	program string
	dir     string
	url     string
	gateway *server
}

// openShop starts a gateway.
func openShop(t *testing.T) *shop {
	s := &shop{t: t, program: filepath.Join(build(t), "amtp"), dir: t.TempDir(), gateway: &server{mirror: mirror{t: t}}}
	s.open()
	t.Cleanup(func() { _ = s.gateway.kill() })
	return s
}

func (s *shop) open() {
	base, err := s.gateway.start(s.program, nil, filepath.Join(s.dir, "data"), "HOME="+s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = base
}

// environ is the environment of one person.
func (s *shop) environ(name string) []string {
	return []string{"HOME=" + filepath.Join(s.dir, name), "AMTP_DATA_DIR=" + filepath.Join(s.dir, "data"),
		"AMTP_GATEWAY_URL=" + s.url, "PATH=" + filepath.Dir(s.program) + ":" + os.Getenv("PATH")}
}

// hires registers agents.
func (s *shop) hires(names ...string) {
	s.t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			s.t.Fatal(err)
		}
		s.amtp(name, 0, "setup", "--name", name)
	}
}

// amtp runs the program as somebody, and returns what it printed.
func (s *shop) amtp(name string, exit int, args ...string) string {
	s.t.Helper()
	ctx, end := context.WithTimeout(context.Background(), patience)
	defer end()
	out, code := run(ctx, s.t, s.program, s.environ(name), args)
	if code != exit {
		s.t.Fatalf("amtp %q of %s ended with exit code %d, want %d:\n%s", args, name, code, exit, out)
	}
	return out
}

// gives sends a message to a worker.
func (s *shop) gives(from, to, subject string, more ...string) {
	s.t.Helper()
	if len(more) == 0 {
		more = []string{"--text", "x"}
	}
	s.amtp(from, 0, append([]string{"send", "--to", to + "@localhost", "--subject", subject}, more...)...)
}

// says fails unless a text matches.
func (s *shop) says(text, pattern string) []string {
	s.t.Helper()
	found := regexp.MustCompile(`(?s)` + pattern).FindStringSubmatch(text)
	if found == nil {
		s.t.Fatalf("nothing in this matches %s:\n%s", pattern, text)
	}
	return found
}

// working is a worker that runs.
type working struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	said  []string
}

// works starts amtp work with a script for the shell. The script speaks on stderr.
func (s *shop) works(name, script string, flags ...string) *working {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	args := append(append([]string{"work"}, flags...), "--", "sh", "-c", script)
	o := &working{t: s.t, cmd: exec.Command(s.program, args...), lines: make(chan string, 100)}
	o.cmd.Env, o.cmd.Stdout, o.cmd.Stderr = s.environ(name), w, w
	o.cmd.Env = append(o.cmd.Env, "AMTP_ADMIN_KEY=of-the-operator", "AMTP_DATABASE_URL=postgres://secret")
	err = o.cmd.Start()
	w.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(o.lines)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			o.lines <- lines.Text()
		}
	}()
	s.t.Cleanup(func() {
		_ = o.cmd.Process.Kill() // it may have ended
		_ = o.cmd.Wait()
	})
	return o
}

// hears waits for a line and returns it.
func (o *working) hears(pattern string) string {
	o.t.Helper()
	want, late := regexp.MustCompile(pattern), time.After(patience)
	for {
		select {
		case line, ok := <-o.lines:
			o.said = append(o.said, line)
			switch {
			case !ok:
				o.t.Fatalf("the worker ended before it said %s:\n%s", pattern, strings.Join(o.said, "\n"))
			case want.MatchString(line):
				return line
			}
		case <-late:
			o.t.Fatalf("the worker did not say %s, but:\n%s", pattern, strings.Join(o.said, "\n"))
		}
	}
}

// signals sends a signal to amtp alone.
func (o *working) signals(signal os.Signal) {
	o.t.Helper()
	if err := o.cmd.Process.Signal(signal); err != nil {
		o.t.Fatal(err)
	}
}

// ends waits for the end of amtp with exit code 0, and returns all that it said.
func (o *working) ends() string {
	o.t.Helper()
	for late := time.After(patience); ; {
		select {
		case line, ok := <-o.lines:
			if ok {
				o.said = append(o.said, line)
				continue
			}
			said := strings.Join(o.said, "\n")
			if err := o.cmd.Wait(); err != nil {
				o.t.Fatalf("the worker ended with %v:\n%s", err, said)
			}
			return said
		case <-late:
			o.t.Fatalf("the worker did not end, but said:\n%s", strings.Join(o.said, "\n"))
		}
	}
}

// gate is a pipe that a script waits at: cat PIPE. opens lets it pass.
func (s *shop) gate(name string) (pipe string, opens func()) {
	s.t.Helper()
	pipe = filepath.Join(s.dir, name)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return pipe, func() {
		s.t.Helper()
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the script
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestWork runs amtp work as people do, with what may happen to it.
func TestWork(t *testing.T) {
	whole := openShop(t)
	number := 0
	for _, tt := range []struct {
		name string
		test func(s *shop, giver, worker string)
	}{
		{"signals", workSignals},
		{"a command that ignores SIGTERM", workIgnores},
		{"a command that fails", workFails},
		{"a program left behind", workLeavesBehind},
		{"a lost lease", workLosesLease},
		{"a lease that ended", workOversleeps},
		{"a gateway that restarts", workRestarts},
		{"one answer", workAnswersOnce},
		{"the rule of answers", workAnswersWhere},
		{"an answer that is refused", workAnswerRefused},
		{"in parallel", workParallel},
		{"a large message", workLarge},
		{"a command that does not exist", workNothing},
		{"the environment", workEnvironment},
	} {
		number++
		giver, worker := fmt.Sprintf("giver%d", number), fmt.Sprintf("worker%d", number)
		t.Run(tt.name, func(t *testing.T) {
			s := *whole
			s.t = t
			s.hires(giver, worker)
			tt.test(&s, giver, worker)
		})
	}
}

// untilAsked is a script that ends in order when it gets SIGTERM. A shell that waits for a
// program runs the trap at once; one that runs it waits for its end.
const untilAsked = `trap 'echo asked >&2; exit 0' TERM; echo up >&2; while :; do sleep 1 & wait $!; done`

// workSignals: after a signal the message is given back at once, whatever the command's
// exit code is.
func workSignals(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	for attempt, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		w := s.works(worker, untilAsked)
		w.hears("^up$")
		w.signals(signal)
		w.hears("^asked$")
		s.says(w.ends(), `the worker was stopped; it may be tried again after 0s`)
		claimed := s.amtp(worker, 0, "claim", "--json")
		found := s.says(claimed, fmt.Sprintf(`"message_id":"([^"]+)".*"token":"(\w+)".*"attempt":%d`, 2*attempt+2))
		s.amtp(worker, 0, "nack", found[1], "--lease", found[2])
	}
}

// workIgnores: a command that does not end is killed, with what it started.
func workIgnores(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	w := s.works(worker, `trap '' TERM; sleep 600 & echo "up $$ $!" >&2; wait; wait`)
	ids := strings.Fields(w.hears("^up "))
	w.signals(syscall.SIGTERM)
	s.says(w.ends(), `the worker was stopped`)
	command, err := strconv.Atoi(ids[1])
	if err != nil || syscall.Kill(command, 0) != syscall.ESRCH {
		s.t.Errorf("the command %s lives on", ids[1])
	}
	s.says(s.amtp(worker, 0, "claim", "--json"), `"attempt":2`)
}

// workFails: the message is given back with the reason, which its dead letter names.
func workFails(s *shop, giver, worker string) {
	s.amtp(worker, 0, "agent", "update", worker, "--max-deliveries", "1")
	s.gives(giver, worker, "one")
	w := s.works(worker, `exit 3`, "--once")
	s.says(w.ends(), `the command ended with exit status 3; it may be tried again after 5s`)
	// The attempt that would follow is one too many.
	s.amtp(worker, 7, "claim", "--wait", "8s")
	s.says(s.amtp(worker, 0, "dead", "list", "--json"), `the command ended with exit status 3`)
}

// workLeavesBehind: exit code 0 counts, although a program keeps the output open.
func workLeavesBehind(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	w := s.works(worker, `sleep 600 & echo "left $!" >&2; exit 0`, "--once")
	left, err := strconv.Atoi(strings.Fields(w.hears("^left "))[1])
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = syscall.Kill(left, syscall.SIGKILL) }) // it may have ended
	if said := w.ends(); strings.Contains(said, "tried again") {
		s.t.Error(said)
	}
	s.says(s.amtp(worker, 0, "inbox"), `Inbox is empty`)
}

// workLosesLease: somebody gives the message back while the command runs.
func workLosesLease(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	w := s.works(worker, `echo "up $AMTP_MESSAGE_ID $AMTP_LEASE" >&2; `+untilAsked, "--once", "--visibility", "3s")
	up := strings.Fields(w.hears("^up .+"))
	s.amtp(worker, 0, "nack", up[1], "--lease", up[2])
	w.hears("^asked$")
	s.says(w.ends(), `the lease was lost, so nothing was acknowledged`)
	s.says(s.amtp(worker, 0, "claim", "--json"), `"attempt":2`)
}

// workOversleeps: the worker stands still until another one has the message.
func workOversleeps(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	w := s.works(worker, untilAsked, "--once", "--visibility", "3s")
	w.hears("^up$")
	w.signals(syscall.SIGSTOP)
	claimed := s.amtp(worker, 0, "claim", "--wait", "60s", "--visibility", "10m", "--json")
	w.signals(syscall.SIGCONT)
	w.hears("^asked$")
	s.says(w.ends(), `the lease was lost, so nothing was acknowledged`)
	found := s.says(claimed, `"message_id":"([^"]+)".*"token":"(\w+)".*"attempt":2`)
	s.says(s.amtp(worker, 0, "inbox"), found[1])
	s.amtp(worker, 0, "ack", found[1], "--lease", found[2])
}

// workRestarts: the command ends while the gateway is away.
func workRestarts(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	gate, opens := s.gate("restart")
	w := s.works(worker, `echo up >&2; cat '`+gate+`'; echo done >&2`, "--once")
	w.hears("^up$")
	if err := s.gateway.terminate(); err != nil {
		s.t.Fatal(err)
	}
	opens()
	w.hears("^done$")
	s.open()
	w.ends()
	s.says(s.amtp(worker, 0, "inbox"), `Inbox is empty`)
}

// workAnswersOnce: the worker dies after it has answered and before it acknowledges. The
// second attempt writes another answer, which is not sent.
func workAnswersOnce(s *shop, giver, worker string) {
	s.gives(giver, worker, "Price")
	target, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	var first atomic.Pointer[os.Process]
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete {
				_ = first.Load().Kill() // it asks again as long as it lives
				return nil, http.ErrAbortHandler
			}
			return direct.RoundTrip(r)
		}),
	})
	s.t.Cleanup(front.Close)
	mine, err := os.ReadFile(filepath.Join(s.dir, worker, ".amtp-config.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	config := filepath.Join(s.dir, "once.json")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(mine), s.url, front.URL)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	gate, opens := s.gate("once")
	w := s.works(worker, `echo up >&2; cat '`+gate+`'; echo "attempt $AMTP_ATTEMPT"`, "--once", "--reply", "--visibility",
		"3s", "--gateway", front.URL, "--config", config)
	first.Store(w.cmd.Process)
	w.hears("^up$")
	opens()
	if err := w.cmd.Wait(); err == nil {
		s.t.Fatal("the worker acknowledged the message")
	}
	w = s.works(worker, `echo "attempt $AMTP_ATTEMPT"; echo "up $AMTP_ATTEMPT" >&2`, "--once", "--reply")
	w.hears("^up 2$")
	w.ends()
	s.says(s.amtp(worker, 0, "inbox"), `Inbox is empty`)
	inbox := s.amtp(giver, 0, "inbox", "--json")
	if strings.Count(inbox, `"message_id"`) != 1 || !strings.Contains(inbox, "attempt 1") {
		s.t.Errorf("the giver has\n%s\nwant one answer, that of the first attempt", inbox)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// workAnswersWhere: the answer goes where amtp reply would send it, under its subject.
func workAnswersWhere(s *shop, giver, worker string) {
	other := giver + "b"
	s.hires(other)
	s.gives(giver, worker, "Price", "--text", "x", "--header", "reply-to="+other+"@localhost")
	s.works(worker, `echo '{"price":7}'`, "--once", "--reply").ends()
	s.says(s.amtp(other, 0, "inbox", "--wait", "60s", "--json"), `"subject":"Re: Price".*"payload":\{"price":7\}`)
	s.says(s.amtp(giver, 0, "inbox"), `Inbox is empty`)
}

// workAnswerRefused: nobody has the sender's address any more, or the answer is too long.
func workAnswerRefused(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	w := s.works(worker, `head -c 2000000 /dev/zero`, "--once", "--reply")
	s.says(w.ends(), `wrote more than 1048576 bytes.*tried again after 5s`)
	s.amtp(giver, 0, "unregister", "--yes")
	w = s.works(worker, `echo yes`, "--once", "--reply")
	s.says(w.ends(), `the answer was not sent: .*there is no agent `+giver+`.*it is rejected`)
	s.says(s.amtp(worker, 0, "inbox"), `Inbox is empty`)
	s.says(s.amtp(worker, 0, "dead", "list", "--json"), `the answer was not sent`)
}

// workParallel: three commands run at once, each with a message of its own.
func workParallel(s *shop, giver, worker string) {
	script := `echo "up $AMTP_SUBJECT" >&2; cat '` + s.dir + `/'"$AMTP_SUBJECT"`
	var open []func()
	for _, subject := range []string{"red", "green", "blue", "last"} {
		_, opens := s.gate(subject)
		open = append(open, opens)
		s.gives(giver, worker, subject)
	}
	w := s.works(worker, script, "--parallel", "3", "--max-messages", "4")
	seen := map[string]bool{}
	for range 3 {
		seen[w.hears("^up ")] = true
	}
	if len(seen) != 3 || seen["up last"] {
		s.t.Errorf("at once there were %v", seen)
	}
	open[1]()
	w.hears("^up last$")
	open[0]()
	open[2]()
	open[3]()
	w.ends()
	s.says(s.amtp(worker, 0, "inbox"), `Inbox is empty`)
}

// workLarge: a command need not read its message.
func workLarge(s *shop, giver, worker string) {
	file := filepath.Join(s.dir, "large")
	if err := os.WriteFile(file, []byte(strings.Repeat("word ", 200_000)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.gives(giver, worker, "large", "--text-file", file)
	if said := s.works(worker, `exit 0`, "--once").ends(); said != "" {
		s.t.Error(said)
	}
	s.says(s.amtp(worker, 0, "inbox"), `Inbox is empty`)
}

// workNothing: the message is left alone.
func workNothing(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	out := s.amtp(worker, 2, "work", "--once", "--", "no-such-command")
	s.says(out, `The command cannot be run: .*no-such-command`)
	s.says(s.amtp(worker, 0, "claim", "--json"), `"attempt":1`)

	// A command that is there and cannot be started gives its message back, and ends the work.
	broken := filepath.Join(s.t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.gives(giver, worker, "two")
	s.says(s.amtp(worker, 2, "work", "--", broken), `The command cannot be run: `)
	s.says(s.amtp(worker, 0, "claim", "--json"), `"attempt":2`)
}

// workEnvironment: the command gets what concerns the message, and no secret of the
// gateway's operator.
func workEnvironment(s *shop, giver, worker string) {
	s.gives(giver, worker, "one")
	said := s.works(worker, `env >&2`, "--once").ends()
	for _, want := range []string{"AMTP_SENDER=" + giver + "@localhost", "AMTP_SUBJECT=one", "AMTP_TRUST=local",
		"AMTP_RECIPIENT=" + worker + "@localhost", "AMTP_ATTEMPT=1", "AMTP_GATEWAY_URL=" + s.url} {
		if !strings.Contains("\n"+said+"\n", "\n"+want+"\n") {
			s.t.Errorf("%s is missing:\n%s", want, said)
		}
	}
	for _, secret := range []string{"AMTP_ADMIN_KEY", "AMTP_DATABASE_URL", "AMTP_API_KEY"} {
		if strings.Contains(said, secret) {
			s.t.Errorf("the command got %s:\n%s", secret, said)
		}
	}
}
