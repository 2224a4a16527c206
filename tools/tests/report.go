package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// event is one line of the output of go test -json, see go doc test2json.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of what is built, instead of Package
	Test        string
	Output      string
	Key, Value  string  // of an attribute of a test, Action "attr"
	Elapsed     float64 // seconds
	FailedBuild string  // the ImportPath that could not be built
}

// outcome is how a package, or one of its tests, ended.
type outcome struct {
	pkg    string
	test   string // "" for the package itself
	action string // pass, fail, skip, or "" if it did not end
	took   time.Duration
	why    string // why it takes long, as it says itself (internal/test/slow)
	lines  []string
	build  string // the package that could not be built
}

// report collects the results of go test.
type report struct {
	out    io.Writer
	whole  io.Writer
	tests  map[[2]string]*outcome // by package and test
	builds map[string][]string    // the compiler's output, by package
}

func newReport(out, whole io.Writer) *report {
	return &report{out: out, whole: whole, tests: map[[2]string]*outcome{}, builds: map[string][]string{}}
}

// read reads to the end and prints how each package ended.
func (r *report) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.take(e)
			} else {
				r.print("%s", line) // a message of the go command itself
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// print writes to the terminal and to the file.
func (r *report) print(format string, args ...any) {
	fmt.Fprintf(r.out, format, args...)
	fmt.Fprintf(r.whole, format, args...)
}

func (r *report) take(e event) {
	if e.Action == "build-output" {
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	}
	if e.Output != "" {
		fmt.Fprint(r.whole, e.Output)
	}
	if e.Package == "" {
		return
	}
	key := [2]string{e.Package, e.Test}
	o := r.tests[key]
	if o == nil {
		o = &outcome{pkg: e.Package, test: e.Test}
		r.tests[key] = o
	}
	switch e.Action {
	case "attr":
		if e.Key == slow.Attr {
			o.why = e.Value
			top, _, _ := strings.Cut(e.Test, "/")
			if o := r.tests[[2]string{e.Package, top}]; o != nil && o.why == "" {
				o.why = e.Value // what takes long in a part takes long in the whole
			}
		}
	case "output":
		o.lines = append(o.lines, e.Output)
	case "pass", "fail", "skip":
		o.action, o.took, o.build = e.Action, time.Duration(e.Elapsed*float64(time.Second)), e.FailedBuild
		if e.Test == "" {
			r.ended(o)
		} else if e.Action == "pass" {
			o.lines = nil
		}
	}
}

// ended prints the line with which go test ends a package.
func (r *report) ended(o *outcome) {
	word := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "?   "}[o.action] + "\t"
	line := fmt.Sprintf("%s%s\t%.3fs\n", word, o.pkg, o.took.Seconds())
	if last := len(o.lines) - 1; last >= 0 && strings.HasPrefix(o.lines[last], word+o.pkg) {
		line = o.lines[last]
	}
	fmt.Fprint(r.out, line)
}

// sorted lists the outcomes, packages and their tests by name.
func (r *report) sorted() []*outcome {
	return slices.SortedFunc(maps.Values(r.tests), func(a, b *outcome) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
}

func (r *report) failedPackages() []string {
	var list []string
	for _, o := range r.sorted() {
		if o.test == "" && o.action == "fail" {
			list = append(list, o.pkg)
		}
	}
	return list
}

// failures lists the outcomes that failed by themselves: not a test of which only a subtest
// failed, and not a package of which only tests failed.
func (r *report) failures() []*outcome {
	var list []*outcome
	all := r.sorted()
	for _, pkg := range r.failedPackages() {
		var tests []*outcome
		for _, o := range all {
			if o.pkg == pkg && o.test != "" && (o.action == "fail" || o.action == "") {
				tests = append(tests, o)
			}
		}
		if len(tests) == 0 {
			list = append(list, r.tests[[2]string{pkg, ""}])
		}
		for _, o := range tests {
			part := slices.ContainsFunc(tests, func(p *outcome) bool { return strings.HasPrefix(p.test, o.test+"/") })
			if !part || len(said(o.lines)) > 0 {
				list = append(list, o)
			}
		}
	}
	return list
}

// How many packages and tests are named as the slowest.
const (
	slowPackages = 10
	slowTests    = 25
)

// tell prints the slowest with their reasons, the skipped and the failed packages and tests.
func (r *report) tell(sources map[string]string, whole string) {
	r.slowest("packages", slowPackages, func(o *outcome) bool { return o.test == "" })
	r.slowest("tests", slowTests, func(o *outcome) bool { return o.test != "" && !strings.Contains(o.test, "/") })
	for _, o := range r.sorted() {
		if o.test != "" && o.action == "skip" {
			r.print("SKIP\t%s\t%s: %s\n", o.pkg, o.test, firstOf(said(o.lines)))
		}
	}
	failed := r.failures()
	for _, o := range failed {
		r.print("\n--- FAIL: %s %s (%.2fs)\n", o.pkg, cmp.Or(o.test, "(no test)"), o.took.Seconds())
		for _, line := range excerpt(r.words(o)) {
			r.print("    %s\n", line)
		}
	}
	fmt.Fprintf(r.out, "\nEverything that was printed: %s\n", whole)
	if len(failed) == 0 {
		return
	}
	r.print("\n%d failed:\n", len(failed))
	for _, o := range failed {
		r.print("FAIL\t%s\t%s: %s\n", o.pkg, cmp.Or(o.test, "(no test)"), cause(r.words(o), sources[o.pkg]))
	}
}

// words are the lines of the report about a failure.
func (r *report) words(o *outcome) []string {
	words := said(o.lines)
	if o.build != "" {
		words = append(said(r.builds[o.build]), words...)
	}
	if o.test != "" && o.action == "" && len(words) == 0 {
		words = []string{"it did not end"}
	}
	return words
}

func (r *report) slowest(what string, most int, is func(*outcome) bool) {
	list := slices.DeleteFunc(slices.Collect(maps.Values(r.tests)), func(o *outcome) bool {
		return !is(o) || o.took < time.Second
	})
	slices.SortFunc(list, func(a, b *outcome) int { return cmp.Compare(b.took, a.took) })
	if len(list) > 0 {
		r.print("\nThe slowest %s:\n", what)
	}
	for _, o := range list[:min(most, len(list))] {
		r.print("%8.1fs  %s\n", o.took.Seconds(), strings.TrimRight(o.pkg+" "+o.test+": "+o.why, ": "))
	}
}

func firstOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimSpace(lines[0])
}
