// Command tests runs go test and prints a short report: a line for every package when it
// ends, then the slowest packages and tests, the skipped tests, and at the very end every
// test that failed and why. The whole output is kept in a file, whose name is printed. The
// exit code is that of go test.
//
//	go run ./tools/tests go test -race ./...
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 3 || os.Args[2] != "test" {
		fmt.Fprintln(os.Stderr, "usage: go run ./tools/tests go test [FLAG...] [PACKAGE...]")
		os.Exit(2)
	}
	// Ctrl-C ends go test, which was started from the same terminal. Its output until then
	// is still reported.
	signal.Ignore(os.Interrupt)
	whole, err := os.CreateTemp("", "amtp-tests-*.log")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer whole.Close()
	code, err := run(os.Args[1], os.Args[2:], "", os.Stdout, whole)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// file is where the whole output goes.
type file interface {
	io.Writer
	Name() string
}

// run runs go with the arguments in dir and returns its exit code.
func run(program string, args []string, dir string, out io.Writer, whole file) (code int, err error) {
	cmd := exec.Command(program, append([]string{args[0], "-json"}, args[1:]...)...)
	cmd.Dir = dir
	cmd.Stderr = io.MultiWriter(out, whole)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(out, whole)
	if err := r.read(stdout); err != nil {
		_, _ = io.Copy(io.Discard, stdout) // go test waits until it is read
		return 1, errors.Join(fmt.Errorf("what go test prints cannot be read: %w", err), cmd.Wait())
	}
	err = cmd.Wait()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		code, err = max(failed.ExitCode(), 1), nil
	} else if err != nil {
		return 1, err
	}
	r.tell(directories(program, dir, r.failedPackages()), whole.Name())
	return code, err
}

// directories returns where the sources of packages are. For a package that is not known,
// every line counts as the cause of a failure.
func directories(program, dir string, packages []string) map[string]string {
	found := map[string]string{}
	if len(packages) == 0 {
		return found
	}
	cmd := exec.Command(program, slices.Concat([]string{"list", "-e", "-f", "{{.ImportPath}}\t{{.Dir}}", "--"},
		packages)...)
	cmd.Dir = dir
	listed, _ := cmd.Output() // those that could be listed
	for line := range strings.Lines(string(listed)) {
		if name, place, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			found[name] = place
		}
	}
	return found
}
