package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestExamples runs the worker of every language in examples through one story. In
// addition to the commands of the other stories it has these:
//
//	worker                start the worker as who types
//	worker-says REGEXP    wait until the worker prints such a line
//	stranger FROM TO TEXT send a text without a key
func TestExamples(t *testing.T) {
	bin := build(t)
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	worker := filepath.Join(bin, "worker")
	if out, err := exec.Command("go", "build", "-o", worker, "../examples/go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for language, command := range map[string][]string{
		"go": {worker},
		"python": {interpreter(t, "python3", "python3", "-c", "import sys; print(sys.executable)"), "-B",
			filepath.Join(examples, "python", "worker.py")},
		"node": {interpreter(t, "nodejs", "node", "-p", "process.execPath"),
			filepath.Join(examples, "node", "worker.mjs")},
	} {
		t.Run(language, func(t *testing.T) {
			params := stories(t, bin, "testdata/examples")
			params.Cmds["worker"] = func(ts *testscript.TestScript, _ bool, _ []string) { startWorker(ts, command) }
			params.Cmds["worker-says"] = workerSays
			params.Cmds["stranger"] = stranger
			testscript.Run(t, params)
		})
	}
}

// interpreter returns the program that runs a language. The program on PATH may be a
// wrapper that needs its user's home, so it is asked for the real one.
func interpreter(t *testing.T, debianPackage string, ask ...string) string {
	t.Helper()
	out, err := exec.Command(ask[0], ask[1:]...).Output()
	if err != nil {
		t.Fatalf("%s, with which an example is run, does not work: %v\nInstall it:  sudo apt-get install %s", ask[0],
			err, debianPackage)
	}
	return strings.TrimSpace(string(out))
}

type workerKey struct{}

// startWorker starts the worker with the identity of the current person.
func startWorker(ts *testscript.TestScript, command []string) {
	startWorkerOn(ts, append(command, filepath.Join(ts.Getenv("HOME"), ".amtp-config.json")))
}

// startWorkerOn starts a program until the end of the story.
func startWorkerOn(ts *testscript.TestScript, command []string) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	cmd.Dir = ts.Getenv("WORK")
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := make(chan string, 1000) // more lines than one story makes it print
	go func() {
		defer close(lines)
		for said := bufio.NewScanner(stderr); said.Scan(); {
			lines <- said.Text()
		}
	}()
	ts.Value(workerKey{}).(*workerOutput).lines = lines
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended by itself, which the story has noticed
		for said := range lines {
			ts.Logf("worker: %s", said)
		}
		_ = cmd.Wait()
	})
}

// workerOutput is the output of one story's worker.
type workerOutput struct{ lines <-chan string }

func workerSays(ts *testscript.TestScript, _ bool, args []string) { workerHears(ts, args[0]) }

// workerHears waits for a line of the worker and returns the text that the last group
// of the pattern matches.
func workerHears(ts *testscript.TestScript, pattern string) string {
	want := regexp.MustCompile(pattern)
	limit := time.After(patience)
	for {
		select {
		case said, ok := <-ts.Value(workerKey{}).(*workerOutput).lines:
			if !ok {
				ts.Fatalf("the worker ended before it printed %q", pattern)
			}
			ts.Logf("worker: %s", said)
			if found := want.FindStringSubmatch(said); found != nil {
				return found[len(found)-1]
			}
		case <-limit:
			ts.Fatalf("the worker did not print %q within %v", pattern, patience)
		}
	}
}

func stranger(ts *testscript.TestScript, _ bool, args []string) {
	body := fmt.Sprintf(`{"sender":%q,"recipients":[%q],"payload":{"text":%q}}`, args[0], args[1], args[2])
	resp, err := http.Post(ts.Getenv("URL")+"/v1/messages", "application/json", strings.NewReader(body))
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if resp.StatusCode != http.StatusAccepted {
		ts.Fatalf("the gateway answered a stranger with %s", resp.Status)
	}
}
