package cli

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/markdown"
)

var update = flag.Bool("update", false, "write the generated pages anew")

const errorsPage = moduleRoot + "/docs/errors.md"

// TestErrorsPage looks for every code and every text of an error in the source
// and wants to know what to do about it: the next step of a code stands in
// advice, its meaning in meaning; a text without a code belongs to one of parts.
func TestErrorsPage(t *testing.T) {
	s := readSources(t)
	want := []byte(markdown.Wrap(string(s.errorsPage(t))))
	if t.Failed() {
		return
	}
	if *update {
		if err := os.WriteFile(errorsPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	if got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
		t.Errorf("docs/errors.md does not show the errors of the source: run go test ./internal/cli -run TestErrorsPage -update\nfirst difference: %s",
			firstDifference(got, want))
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			return fmt.Sprintf("line %d should be %q", i+1, w[i])
		}
	}
	return "the page is longer than it should be"
}

const errorsHead = `# Errors

<!-- Generated from the source by "go test ./internal/cli -run TestErrorsPage -update". Do not edit. -->

Every error says what happened, why, and what to do next. This page lists all of them: each text in the source is here, and a
test fails when one is missing. ` + "`…`" + ` stands for what is filled in.

**From a gateway** comes the HTTP status and, always, all of this:

` + "```json" + `
{"error": {"code": "AGENT_UNKNOWN", "message": "The message was not accepted: there is no agent ghost@localhost at this gateway.",
  "details": {"recipient": "ghost@localhost"}, "timestamp": "2026-01-31T12:00:00.000Z", "request_id": "01a204f9-…"}}
` + "```" + `

Programs decide by ` + "`code`" + `; ` + "`message`" + ` is for people and may change. What a gateway keeps to itself is in its log under the ` + "`request_id`" + `. Errors
that Go's HTTP server finds before the gateway sees a request (a malformed request line, a header over 32 KiB) are plain text.

**A command** prints the text on stderr, with the code if it came from a gateway, and below it ` + "`Hint:`" + ` with the next step. With ` + "`--json`" + ` it also prints
` + "`{\"ok\":false,\"error\":{code, message, hint, retryable, details, recipients}}`" + ` on stdout. It ends with one of these exit codes:

| Exit code | |
|---|---|
`

func (s *sources) errorsPage(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString(errorsHead)
	for exit, what := range exitMeanings {
		fmt.Fprintf(&b, "| %d | %s |\n", exit, what)
	}
	texts, codes := s.texts(), s.codes()
	s.writeCodes(t, &b, codes)
	s.writeGateway(t, &b, texts, codes)
	s.writeCommands(t, &b, texts, codes)
	s.writeParts(t, &b, texts)
	return b.Bytes()
}

// codes returns the codes by the names of their constants.
func (s *sources) codes() map[string]amtp.Code {
	codes := make(map[string]amtp.Code)
	for name, text := range s.consts {
		if (name.pkg == "" || name.pkg == "internal/cli") && isCode.MatchString(name.name) {
			codes[name.name] = amtp.Code(text)
		}
	}
	for name := range s.exits() {
		if _, named := codes[name]; !named {
			codes[name] = amtp.Code(strings.TrimPrefix(name, "code"))
		}
	}
	return codes
}

// byCode returns the names of the constants in the order of their codes.
func byCode(codes map[string]amtp.Code) []string {
	return slices.SortedFunc(maps.Keys(codes), func(a, b string) int {
		return strings.Compare(string(codes[a]), string(codes[b]))
	})
}

// statuses returns the HTTP statuses by code, from the table in httpapi.
func (s *sources) statuses(codes map[string]amtp.Code) map[amtp.Code]int {
	named := map[string]int{}
	for status := 400; status < 600; status++ {
		name := regexp.MustCompile(`[^A-Za-z]`).ReplaceAllString(http.StatusText(status), "")
		named["Status"+name] = status
	}
	list := make(map[amtp.Code]int)
	s.each(func(pkg string, n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || pkg != "internal/httpapi" || spec.Names[0].Name != "statuses" {
			return
		}
		for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
			pair := e.(*ast.KeyValueExpr)
			list[codes[nameOf(pair.Key)]] = named[nameOf(pair.Value)]
		}
	})
	return list
}

// emitted returns the names of the constants with which the program itself makes
// an error: those that it gives to a function, returns, assigns or writes into a
// member. A code that is only compared, listed or looked up is not among them.
func (s *sources) emitted() map[string]bool {
	found := make(map[string]bool)
	note := func(list ...ast.Expr) {
		for _, e := range list {
			if name := nameOf(e); isCode.MatchString(name) {
				found[name] = true
			}
		}
	}
	s.each(func(pkg string, n ast.Node) {
		if saysCommand(pkg) {
			return
		}
		switch x := n.(type) {
		case *ast.CallExpr:
			note(x.Args...)
		case *ast.ReturnStmt:
			note(x.Results...)
		case *ast.AssignStmt:
			note(x.Rhs...)
		case *ast.KeyValueExpr:
			note(x.Value)
		}
	})
	return found
}

func (s *sources) writeCodes(t *testing.T, b *bytes.Buffer, codes map[string]amtp.Code) {
	fmt.Fprintf(b,
		"\n## Codes of a gateway\n\n| Code | HTTP | Exit | What happened | Next | Again? |\n|---|---|---|---|---|---|\n")
	statuses, emitted := s.statuses(codes), s.emitted()
	for _, name := range byCode(codes) {
		code := codes[name]
		m, next := meaning[code], advice[code]
		if m.what == "" || m.again == "" {
			t.Errorf("%s has no meaning: say in internal/cli/errors_catalogue_test.go what happened and whether the same request can succeed later",
				code)
		}
		if next == "" {
			t.Errorf("%s has no next step: say in internal/cli/advice.go what to do about it", code)
		}
		if strings.HasPrefix(name, "code") {
			continue
		}
		switch by, foreign := fromElsewhere[code]; {
		case !emitted[name] && !foreign:
			t.Errorf("%s stands in errors.go, and no code of ours answers with it: remove it, or say in fromElsewhere of internal/cli/errors_catalogue_test.go whose it is",
				code)
		case emitted[name] && foreign:
			t.Errorf("%s is ours now: remove it from fromElsewhere in internal/cli/errors_catalogue_test.go", code)
		case emitted[name] && statuses[code] == 0 && !slices.Contains(withoutStatus, code):
			t.Errorf("%s has no HTTP status: add it to statuses in internal/httpapi/errors.go, or to withoutStatus in internal/cli/errors_catalogue_test.go",
				code)
		case foreign:
			m.what += " " + by
		}
		status, exit := "", ""
		if statuses[code] != 0 || code == amtp.CodeUnknown {
			exit = fmt.Sprint(exitFor(&amtp.Error{Code: code, Status: statuses[code]}))
		}
		if statuses[code] != 0 {
			status = fmt.Sprint(statuses[code])
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", code, status, exit, m.what, cell(next), m.again)
	}
	b.WriteString("\nA code without a status is in the status of one recipient, or is a client's. For a recipient that a message failed for, the code is its\n`error_code` and the text its `error_message`.\n")
}

// cell makes a hint fit for a table: the commands in it as code.
func cell(hint string) string {
	hint = regexp.MustCompile(`"(amtp [^"]*|1\.0)"`).ReplaceAllString(strings.ReplaceAll(hint, "|", `\|`), "`$1`")
	return strings.NewReplacer("<agent-name>", "NAME", "`` ", "` ").Replace(hint)
}

// writeGateway lists the texts of a gateway, and of the client, by code.
func (s *sources) writeGateway(t *testing.T, b *bytes.Buffer, texts []errorText, codes map[string]amtp.Code) {
	b.WriteString("\n## What a gateway says\n\nWhat to do is what the text says, and in the line of its code above.\n")
	for _, name := range byCode(codes) {
		var lines []string
		for _, e := range texts {
			if e.code == name && !saysCommand(e.pkg) && e.pkg != "internal/config" {
				lines = append(lines, e.text)
			}
		}
		writeList(b, fmt.Sprintf("### %s", codes[name]), lines)
	}
}

func writeList(b *bytes.Buffer, title string, lines []string) {
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", literal(line))
	}
}

// literal keeps Markdown from reading marks in a text.
func literal(s string) string {
	return strings.NewReplacer("<", `\<`, "*", `\*`, "_", `\_`, "|", `\|`, "[", `\[`).Replace(s)
}

// writeCommands lists what the commands say themselves.
func (s *sources) writeCommands(t *testing.T, b *bytes.Buffer, texts []errorText, codes map[string]amtp.Code) {
	b.WriteString("\n## What a command says\n\nThese codes are in JSON only.\n")
	exits := s.exits()
	for _, name := range byCode(codes) {
		if !strings.HasPrefix(name, "code") {
			continue
		}
		code := codes[name]
		if _, ok := exits[name]; !ok {
			t.Errorf("no failure in internal/cli has the code %s", code)
		}
		var lines []string
		for _, e := range texts {
			if saysCommand(e.pkg) && e.code == name {
				lines = append(lines, textAndHint(e))
			}
		}
		title := fmt.Sprintf("### %s\n\n%s Exit code %s. Next: %s. Again: %s.", code, meaning[code].what, exits[name],
			cell(advice[code]), meaning[code].again)
		if len(lines) == 0 {
			fmt.Fprintf(b, "\n%s The text is that of one of the parts below.\n", title)
		}
		writeList(b, title, lines)
	}
	b.WriteString("\nWhat is wrong with a flag is said in the words of the command line's parser, as `Unknown flag: --colour.` and the like, with the code `USAGE`.\n")
	var others []string
	for _, e := range texts {
		if saysCommand(e.pkg) && !strings.HasPrefix(e.code, "code") {
			if e.code == "" {
				t.Errorf("the text %q of %s has no code, and so no next step", e.text, e.pkg)
			}
			others = append(others, textAndHint(e)+" ("+string(codes[e.code])+")")
		}
	}
	writeList(b, "### With a gateway's code", others)
}

func textAndHint(e errorText) string {
	if e.hint == "" || e.hint == "…" {
		return e.text
	}
	return e.text + " — " + e.hint
}

// exits returns the exit codes of the command line's own codes, by the names of
// their constants.
func (s *sources) exits() map[string]string {
	values := make(map[string]string)
	list := make(map[string]string)
	note := func(code, exit string) {
		if strings.HasPrefix(code, "code") && exit != "" {
			list[code] = exit
		}
	}
	s.each(func(pkg string, n ast.Node) {
		if pkg != "internal/cli" {
			return
		}
		switch x := n.(type) {
		case *ast.ValueSpec:
			if len(x.Values) == 1 && strings.HasPrefix(x.Names[0].Name, "exit") {
				if lit, ok := x.Values[0].(*ast.BasicLit); ok {
					values[x.Names[0].Name] = lit.Value
				}
			}
		case *ast.CompositeLit:
			var code, exit string
			for _, e := range x.Elts {
				pair, _ := e.(*ast.KeyValueExpr)
				if pair == nil {
					return
				}
				if strings.HasPrefix(nameOf(pair.Value), "exit") {
					note(nameOf(pair.Key), nameOf(pair.Value)) // of a table
				}
				switch nameOf(pair.Key) {
				case "code":
					code = codeName(pair.Value)
				case "exit":
					exit = nameOf(pair.Value)
				}
			}
			note(code, exit)
		case *ast.AssignStmt: // f.exit, f.code = …
			if len(x.Lhs) > 1 && len(x.Lhs) == len(x.Rhs) && nameOf(x.Lhs[0]) == "exit" && nameOf(x.Lhs[1]) == "code" {
				note(codeName(x.Rhs[1]), nameOf(x.Rhs[0]))
			}
		}
	})
	for code, exit := range list {
		list[code] = values[exit]
	}
	return list
}

// writeParts lists the texts without a code: reasons that stand inside another
// text, and what a command or the start of a gateway ends with.
func (s *sources) writeParts(t *testing.T, b *bytes.Buffer, texts []errorText) {
	b.WriteString("\n## Reasons\n\nThese follow the colon of another text, or are why a gateway does not start.\n")
	byPart := make(map[string][]string)
	for _, e := range texts {
		if e.code != "" && e.pkg != "internal/config" || saysCommand(e.pkg) || slices.Contains(inside, e.text) {
			continue
		}
		part, known := parts[e.pkg]
		if !known {
			t.Errorf("%s makes an error without a code, %q: add the package to parts in internal/cli/errors_catalogue_test.go, with what to do about its errors",
				e.pkg, e.text)
			continue
		}
		line := e.text
		if part.next == "" || steps[e.text] != "" {
			next := steps[e.text]
			if next == "" {
				t.Errorf("%q of %s has no next step: add it to steps in internal/cli/errors_catalogue_test.go, or to inside if only the log shows it",
					e.text, e.pkg)
			}
			line += "\x00" + next
		}
		byPart[e.pkg] = append(byPart[e.pkg], line)
	}
	for _, pkg := range slices.SortedFunc(maps.Keys(byPart), func(a, b string) int {
		return strings.Compare(parts[a].title, parts[b].title)
	}) {
		title := "### " + parts[pkg].title
		if parts[pkg].next != "" {
			title += "\n\n" + parts[pkg].next
		}
		writeSteps(b, title, byPart[pkg])
	}
}

// writeSteps lists texts with what to do about them behind a zero byte.
func writeSteps(b *bytes.Buffer, title string, lines []string) {
	slices.Sort(lines)
	fmt.Fprintf(b, "\n%s\n\n", title)
	for _, line := range slices.Compact(lines) {
		text, next, _ := strings.Cut(line, "\x00")
		fmt.Fprintf(b, "- %s\n", literal(text))
		if next != "" {
			fmt.Fprintf(b, "  → %s\n", next)
		}
	}
}

// TestCatalogueOfErrorsIsNotStale fails for an entry whose text or code is gone.
func TestCatalogueOfErrorsIsNotStale(t *testing.T) {
	s := readSources(t)
	there := make(map[string]bool)
	for _, e := range s.texts() {
		there[e.text] = true
	}
	for text := range steps {
		if !there[text] {
			t.Errorf("steps has %q, which no error says any more", text)
		}
	}
	for _, text := range inside {
		if !there[text] {
			t.Errorf("inside has %q, which no error says any more", text)
		}
	}
	codes := make(map[amtp.Code]bool)
	for _, code := range s.codes() {
		codes[code] = true
	}
	for code := range meaning {
		if !codes[code] {
			t.Errorf("meaning has %s, which is no code any more", code)
		}
	}
	for code := range advice {
		if !codes[code] {
			t.Errorf("advice has %s, which is no code any more", code)
		}
	}
}
