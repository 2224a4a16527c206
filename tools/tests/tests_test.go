package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is a module whose tests end in every way.
var module = map[string]string{
	"go.mod": "module example.test/m\n\ngo 1.26\n",
	"good/good_test.go": `package good
import "testing"
func TestGood(t *testing.T) { t.Log("all is well") }
func TestNotHere(t *testing.T) { t.Skip("there is no such disk") }
`,
	"bad/bad_test.go": `package bad
import ("log/slog"; "testing")
func TestBad(t *testing.T) {
	t.Log("to repeat: 17")
	slog.Warn("a peer is slow")
	slog.New(slog.NewTextHandler(t.Output(), nil)).Warn("the disk is full")
	t.Errorf("got 1\nwant 2")
}
func TestParts(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) {
		t.Fatal("the second part")
	})
}
`,
	"broken/broken_test.go": "package broken\nfunc f() { undefined() }\n",
	"panics/panics_test.go": "package panics\nimport \"testing\"\nfunc TestPanics(t *testing.T) { panic(\"oh\") }\n",
	"ends/ends_test.go": `package ends
import ("fmt"; "os"; "testing")
func TestMain(m *testing.M) { fmt.Println("there is no database"); os.Exit(3) }
func TestNothing(t *testing.T) {}
`,
	"none/none.go": "package none\n",
}

// tried runs go test on a module. It returns the printed text, the text of the file,
// and the exit code.
func tried(t *testing.T, files map[string]string, packages ...string) (printed, kept string, code int) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.Create(filepath.Join(t.TempDir(), "whole"))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	var out strings.Builder
	code, err = run("go", append([]string{"test"}, packages...), dir, &out, whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(whole.Name())
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out.String(), whole.Name(), "WHOLE"), string(b), code
}

// TestAFailedRun ends with the failures and their causes, and with nothing else.
func TestAFailedRun(t *testing.T) {
	printed, kept, code := tried(t, module, "./...")
	if code != 1 {
		t.Errorf("exit code %d, want go test's, 1", code)
	}
	_, end, _ := strings.Cut(printed, "Everything that was printed: WHOLE\n\n")
	const want = `5 failed:
FAIL	example.test/m/bad	TestBad: bad_test.go:7: got 1
FAIL	example.test/m/bad	TestParts/two: bad_test.go:12: the second part
FAIL	example.test/m/broken	(no test): broken/broken_test.go:2:12: undefined: undefined
FAIL	example.test/m/ends	(no test): there is no database
FAIL	example.test/m/panics	TestPanics: panic: oh`
	if got := strings.TrimSpace(end); got != want && got != want+" [recovered, repanicked]" {
		t.Errorf("the end is\n%s\nwant\n%s", got, want)
	}
	for _, line := range []string{
		"FAIL\texample.test/m/broken [build failed]\n", "?   \texample.test/m/none\t[no test files]\n",
		"\nok  \texample.test/m/good\t", "\nFAIL\texample.test/m/bad\t",
		"SKIP\texample.test/m/good\tTestNotHere: good_test.go:4: there is no such disk\n", "        want 2\n",
		filepath.Join("panics", "panics_test.go:3 "),
	} {
		if !strings.Contains("\n"+printed, line) {
			t.Errorf("nothing printed is %q:\n%s", line, printed)
		}
	}
	for _, text := range []string{"a peer is slow", "the disk is full", "all is well", "=== RUN"} {
		if strings.Contains(printed, text) {
			t.Errorf("%q is printed, want it in the file only", text)
		}
		if !strings.Contains(kept, text) {
			t.Errorf("%q is not in the file:\n%s", text, kept)
		}
	}
}

// TestARunWithoutFailure prints how each package ended, and where the whole output is.
func TestARunWithoutFailure(t *testing.T) {
	printed, kept, code := tried(t, module, "./good", "./none")
	if code != 0 || !strings.HasSuffix(printed, "\nEverything that was printed: WHOLE\n") ||
		!strings.Contains(printed, "ok  \texample.test/m/good\t") {
		t.Errorf("exit code %d, printed is\n%s", code, printed)
	}
	if !strings.Contains(kept, "--- PASS: TestGood") {
		t.Errorf("the file is without the tests that passed:\n%s", kept)
	}
}

// TestGoItself: an error of the go command is printed when nothing can be tested.
func TestGoItself(t *testing.T) {
	printed, kept, code := tried(t, module, "-timeout=never", "./good")
	if said := `"never"`; code == 0 || !strings.Contains(printed, said) || !strings.Contains(kept, said) {
		t.Errorf("exit code %d, printed is\n%s\nkept is\n%s", code, printed, kept)
	}
}

// events returns the output of go test -json for a test with this output that does not
// end.
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(`{"Action":"output","Package":"p","Test":"TestLate","Output":"` + l + `\n"}` + "\n")
	}
	return b.String() + `{"Action":"fail","Package":"p","Elapsed":60}` + "\n"
}

// TestLate: for a test that ran out of time, the report shows where it was. For a test
// with a data race, it says so.
func TestLate(t *testing.T) {
	for _, tc := range []struct {
		name, events, cause string
		shown               []string
	}{
		{"out of time", events("panic: test timed out after 1m", `\trunning tests:`, `\t\tTestLate (1m)`, "",
			"goroutine 7 [running]:", `testing.alarm()`, "",
			"goroutine 9 [select]:", "p.TestLate()", `\t/p/late_test.go:3 +0x1d`, "", "goroutine 10 [select]:",
			"p.other()"),
			"panic: test timed out after 1m", []string{"TestLate (1m)", "late_test.go:3"}},
		{"killed", events("*** Test killed with quit: ran too long (31m0s)."),
			"*** Test killed with quit: ran too long (31m0s).", nil},
		{"a race", events("==================", "WARNING: DATA RACE", "Read at 0x00 by goroutine 16:",
			"    testing.go:1712: race detected during execution of test"),
			"WARNING: DATA RACE", []string{"Read at 0x00 by goroutine 16:"}},
		{"a story", events("    testscript.go:584: > as alice", "        > amtp inbox",
			"        FAIL: testdata/inbox.txtar:4: no match"),
			"FAIL: testdata/inbox.txtar:4: no match", []string{"> amtp inbox"}},
		{"silent", events("=== RUN   TestLate"), "it did not end", nil},
	} {
		var out, whole strings.Builder
		r := newReport(&out, &whole)
		if err := r.read(strings.NewReader(tc.events)); err != nil {
			t.Fatal(err)
		}
		r.tell(nil, "WHOLE")
		printed := out.String()
		if want := "1 failed:\nFAIL\tp\tTestLate: " + tc.cause + "\n"; !strings.HasSuffix(printed, want) {
			t.Errorf("%s: printed is\n%s\nwant %q at the end", tc.name, printed, want)
		}
		for _, text := range append(tc.shown, "    60.0s  p\n") {
			if !strings.Contains(printed, text) {
				t.Errorf("%s: printed is\n%s\nwant %q in it", tc.name, printed, text)
			}
		}
		if strings.Contains(printed, "p.other()") {
			t.Errorf("%s: printed is\n%s\nwant no other goroutine", tc.name, printed)
		}
	}
}

// TestReasons: the report shows the reason beside the time of a slow test, as the test
// or one of its subtests gives it.
func TestReasons(t *testing.T) {
	var out, whole strings.Builder
	r := newReport(&out, &whole)
	var b strings.Builder
	for _, name := range []string{"TestA", "TestA/part", "TestB", "TestC"} {
		fmt.Fprintf(&b, `{"Action":"run","Package":"p","Test":%q}`+"\n", name)
	}
	b.WriteString(`{"Action":"attr","Package":"p","Test":"TestA/part","Key":"slow","Value":"it waits"}
{"Action":"attr","Package":"p","Test":"TestB","Key":"slow","Value":"it reads"}
{"Action":"attr","Package":"p","Test":"TestC","Key":"other","Value":"it sings"}
`)
	for i, name := range []string{"TestA/part", "TestA", "TestB", "TestC"} {
		fmt.Fprintf(&b, `{"Action":"pass","Package":"p","Test":%q,"Elapsed":%d}`+"\n", name, 9-i)
	}
	if err := r.read(strings.NewReader(b.String())); err != nil {
		t.Fatal(err)
	}
	r.tell(nil, "WHOLE")
	want := "The slowest tests:\n     8.0s  p TestA: it waits\n     7.0s  p TestB: it reads\n     6.0s  p TestC\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("printed is\n%s\nwant in it\n%s", &out, want)
	}
}

// TestAnExcerpt is bounded, however much a test prints.
func TestAnExcerpt(t *testing.T) {
	lines := slices.Repeat([]string{strings.Repeat("ü", longLine)}, 1000)
	got := excerpt(lines)
	if len(got) != headLines+tailLines+1 || got[headLines] != "… 960 lines …" || len(got[0]) > longLine+len("…") ||
		!strings.HasSuffix(got[0], "ü…") {
		t.Errorf("excerpt: %d lines, %q, the first of %d bytes", len(got), got[min(len(got)-1, headLines)], len(got[0]))
	}
}
