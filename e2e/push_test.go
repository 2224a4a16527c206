package e2e

import (
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestPush runs the receiver of every language in examples/push through one story. In
// addition to the commands of the other stories it has these:
//
//	receiver FILE      start the receiver with its secret in FILE; sets HOOK to its URL
//	worker-says REGEXP wait until it prints such a line
//	write FILE TEXT    put a text into a file
//	break-off          begin a request to HOOK and close the connection
func TestPush(t *testing.T) {
	bin := build(t)
	examples, err := filepath.Abs("../examples/push")
	if err != nil {
		t.Fatal(err)
	}
	receiver := filepath.Join(bin, "receiver")
	if out, err := exec.Command("go", "build", "-o", receiver, "../examples/push/go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for language, command := range map[string][]string{
		"go": {receiver},
		"python": {interpreter(t, "python3", "python3", "-c", "import sys; print(sys.executable)"), "-B",
			filepath.Join(examples, "receiver.py")},
		"node": {interpreter(t, "nodejs", "node", "-p", "process.execPath"), filepath.Join(examples, "receiver.mjs")},
	} {
		t.Run(language, func(t *testing.T) {
			params := stories(t, bin, "testdata/push")
			params.Cmds["receiver"] = func(ts *testscript.TestScript, _ bool, args []string) {
				startWorkerOn(ts, append(command, ts.MkAbs(args[0])))
				ts.Setenv("HOOK", workerHears(ts, `receives at (\S+)`))
			}
			params.Cmds["worker-says"] = workerSays
			params.Cmds["break-off"] = func(ts *testscript.TestScript, _ bool, _ []string) {
				hook, err := url.Parse(ts.Getenv("HOOK"))
				ts.Check(err)
				c, err := net.Dial("tcp", hook.Host)
				ts.Check(err)
				_, err = c.Write([]byte("POST / HTTP/1.1\r\nHost: " + hook.Host + "\r\nContent-Length: 100\r\n\r\n{"))
				ts.Check(errors.Join(err, c.Close()))
			}
			params.Cmds["write"] = func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], " ")+"\n"), 0o600))
			}
			testscript.Run(t, params)
		})
	}
}
