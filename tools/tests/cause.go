package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Lines that do not say why a test failed: the frame of go test, and the logs of the servers
// in the test.
var (
	frame = regexp.MustCompile(`^\s*(=== (RUN|PAUSE|CONT|NAME)\b|--- (PASS|FAIL|SKIP): )|^(PASS|FAIL)$|^(ok  |FAIL|\?   )\t`)
	aLog  = regexp.MustCompile(`^\s*(time=\S+ )?level=(DEBUG|INFO|WARN|ERROR)\b|^\s*\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARN|ERROR) |^\s*\{"time":"[^"]*","level":`)
)

// said returns the lines of a test's output that may say why it failed.
func said(output []string) []string {
	var list []string
	for _, text := range output {
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, " \r\n")
			if !frame.MatchString(line) && !aLog.MatchString(line) {
				list = append(list, line)
			}
		}
	}
	for len(list) > 0 && strings.TrimSpace(list[0]) == "" {
		list = list[1:]
	}
	for len(list) > 0 && strings.TrimSpace(list[len(list)-1]) == "" {
		list = list[:len(list)-1]
	}
	return list
}

// How much is shown of one failure, in lines, and of one line, in bytes.
const (
	headLines = 25
	tailLines = 15
	longLine  = 400
)

// excerpt returns the beginning and the end of a failure. For a panic it is the beginning;
// for a timeout also where the tests were.
func excerpt(lines []string) []string {
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "panic: ") }); i >= 0 {
		paragraphs := split(lines[i:])
		shown := slices.Concat(lines[max(0, i-5):i], paragraphs[0])
		late := strings.HasPrefix(lines[i], "panic: test timed out")
		for _, p := range paragraphs[1:] {
			ours := slices.ContainsFunc(p, func(l string) bool { return strings.Contains(l, "_test.go:") })
			if len(shown) < headLines+tailLines && (ours || !late && len(shown) < headLines) {
				shown = append(append(shown, ""), p...)
			}
		}
		lines = shown
	}
	if left := len(lines) - headLines - tailLines; left > 0 {
		lines = slices.Concat(lines[:headLines], []string{fmt.Sprintf("… %d lines …", left)},
			lines[len(lines)-tailLines:])
	}
	shown := make([]string, len(lines))
	for i, l := range lines {
		if len(l) > longLine {
			l = strings.ToValidUTF8(l[:longLine], "") + "…"
		}
		shown[i] = l
	}
	return shown
}

// split cuts lines into paragraphs.
func split(lines []string) (paragraphs [][]string) {
	paragraphs = [][]string{nil}
	for _, l := range lines {
		if last := len(paragraphs) - 1; l != "" {
			paragraphs[last] = append(paragraphs[last], l)
		} else if len(paragraphs[last]) > 0 {
			paragraphs = append(paragraphs, nil)
		}
	}
	return paragraphs
}

// where is the prefix that the testing package writes before a test's text.
var where = regexp.MustCompile(`^\s*(\w+\.go):(\d+): `)

// cause returns the line that best says why a test failed. For a panic, a data race or a
// story it is the line that names it, otherwise the test's first text that is not a log
// line. sources is the directory of its package.
func cause(lines []string, sources string) string {
	for _, begin := range []string{"panic: ", "WARNING: DATA RACE", "FAIL: ", "*** Test killed"} {
		for _, l := range lines {
			if strings.HasPrefix(strings.TrimSpace(l), begin) {
				return strings.TrimSpace(l)
			}
		}
	}
	for _, l := range lines {
		if found := where.FindStringSubmatch(l); found != nil && !isLogged(filepath.Join(sources, found[1]), found[2]) {
			return firstOf(excerpt([]string{l}))
		}
	}
	return firstOf(excerpt(slices.DeleteFunc(slices.Clone(lines),
		func(l string) bool { return strings.HasPrefix(l, "# ") })))
}

// isLogged reports whether a line of a source only logs.
func isLogged(file, number string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false // it is in a helper of another package
	}
	n, _ := strconv.Atoi(number) // the pattern has digits only
	lines := strings.Split(string(text), "\n")
	return n > 0 && n <= len(lines) && (strings.Contains(lines[n-1], ".Log(") || strings.Contains(lines[n-1], ".Logf("))
}
