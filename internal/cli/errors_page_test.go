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
)

var update = flag.Bool("update", false, "write the generated pages anew")

const errorsPage = moduleRoot + "/docs/errors.md"

// meaning says of each code what happened, and whether the same request can
// succeed later.
var meaning = map[amtp.Code]struct{ what, again string }{
	amtp.CodeInvalidMessage:       {"The message is not one of the protocol: JSON that cannot be read, or a member that is missing, unknown here or wrong.", "no"},
	amtp.CodeUnsupportedVersion:   {"The message, or the request, is of a version of the protocol that the gateway does not speak.", "no"},
	amtp.CodeSchemaValidation:     {"The payload does not fit the schema that the message names.", "no"},
	amtp.CodeMessageTooLarge:      {"The request is larger than the gateway takes (`message.max_size`).", "no"},
	amtp.CodeInvalidRecipient:     {"A recipient is no address, or there are too many.", "no"},
	amtp.CodeRecipientUnavailable: {"The recipient was not reached in all the time there was.", "yes, as a new message"},
	amtp.CodeRecipientNotFound:    {"The recipient's domain is not served here and cannot be reached.", "no"},
	amtp.CodeAgentUnknown:         {"The domain is right, but no agent of that name is registered.", "once the agent exists"},
	amtp.CodeAuthenticationFailed: {"A key was shown and is not right: unknown, expired or revoked.", "with another key"},
	amtp.CodeRateLimitExceeded:    {"Too many requests, or too many wrong keys, from this address or by this caller.", "after `Retry-After`"},
	amtp.CodeTemporaryFailure:     {"The gateway cannot do it now: it is busy, stopping, paused after a restore, or its disk is full.", "after `Retry-After`; to send, with the same idempotency key"},
	amtp.CodeCoordinationFailed:   {"The workflow that the message asks for cannot be run.", "no"},
	amtp.CodeInvalidRequest:       {"The request is wrong in a way that has nothing to do with a message.", "no"},
	amtp.CodeInvalidLimit:         {"`limit` is out of its bounds.", "no"},
	amtp.CodeInvalidOffset:        {"`offset` is out of its bounds.", "no"},
	amtp.CodeInvalidSince:         {"`since` is no date and time.", "no"},
	amtp.CodeInvalidParameter:     {"Another parameter, or an address in the path, is wrong.", "no"},
	amtp.CodeUnsupportedMediaType: {"The body is declared to be something else than plain JSON.", "no"},
	amtp.CodeMethodNotAllowed:     {"The path exists, the method does not; `Allow` names those that do.", "no"},
	amtp.CodeNotFound:             {"The gateway has no such path.", "no"},
	amtp.CodeMessageNotFound:      {"There is no such message, or it is not one that the caller may see; the answer is the same.", "no"},
	amtp.CodeKeyNotFound:          {"The agent has no key of that id.", "no"},
	amtp.CodeDomainNotFound:       {"The gateway does not serve that domain and cannot ask about it.", "no"},
	amtp.CodeIdempotencyKeyReused: {"The idempotency key or message id stands for a message with other content already.", "with another key"},
	amtp.CodeConflict:             {"The name is taken, or what is asked for contradicts what is there.", "no"},
	amtp.CodeMissingAuthorization: {"The request needs an agent's key and shows none.", "with a key"},
	amtp.CodeAccessDenied:         {"The key is right and does not allow this.", "with another key"},
	amtp.CodeAdminAuthRequired:    {"The request needs the admin key and shows none.", "with the admin key"},
	amtp.CodeAdminAccessDenied:    {"The key that was shown is no admin key.", "with the admin key"},
	amtp.CodeRegistrationFailed:   {"The agent cannot be registered like that.", "no"},
	amtp.CodeCancelled:            {"The message was withdrawn before it was delivered.", "yes, as a new message"},
	amtp.CodeInternal:             {"The gateway failed, through no fault of the request.", "yes"},
	amtp.CodeUnknown:              {"An answer that is not the protocol's; only clients say it.", "no"},

	codeUsage:       {"The command line, or the configuration, is wrong.", "no"},
	codeNotSetUp:    {"It is not known who the caller is, or for which gateway.", "after `amtp setup`"},
	codeUnreachable: {"No gateway answers at the URL.", "yes"},
	codeTimeout:     {"The gateway did not answer in time; what was asked may have been done.", "yes; to send, with the same `--idempotency-key`"},
	codeInterrupted: {"The command was stopped by a signal; what was asked may have been done.", "yes; to send, with the same `--idempotency-key`"},
	codeNotStarted:  {"The gateway did not start, or ended because its disk failed.", "once the cause is gone"},
	codeCopyFailed:  {"A backup or a restore failed. Nothing that was there is lost.", "once the cause is gone"},
	codeExists:      {"A file or database is in the way.", "with `--force`"},
	codeNoDatabase:  {"The directory is none of a gateway.", "no"},
	codeUnsound:     {"The file is damaged, or no database of a gateway.", "no"},
	codeNoBackup:    {"The backup that was named does not exist.", "no"},
	codeDemoFailed:  {"A step of the demonstration failed.", "yes"},
}

// parts are the packages whose errors have no code, and what to do about them.
// Where the next step differs from text to text it stands in steps.
var parts = map[string]struct{ title, next string }{
	"":                      {"Addresses, ids and schemas", "Write it as the text says."},
	"internal/canonical":    {"Numbers", "Write the number with fewer digits, or as a string."},
	"internal/strictjson":   {"JSON", "Send one JSON document in UTF-8, every name once, within the bounds that the text names."},
	"internal/agent":        {"What an agent says about itself", "Correct it and repeat the request."},
	"internal/httpapi":      {"Requests", "Correct what the text names and repeat the request."},
	"internal/intake":       {"Recipients", "Correct the recipient that the text names, or send without it."},
	"internal/config":       {"Values of settings", "Correct the value at the place that stands before the text; `amtp config check` tries it without starting anything."},
	"internal/datadir":      {"The data directory", ""},
	"internal/app":          {"Starting and stopping", ""},
	"internal/discovery":    {"Finding another domain", "The gateway looks again by itself. If it stays: `dig +short TXT _amtp.DOMAIN`, and ask whoever runs that domain."},
	"internal/courier":      {"Delivering to another gateway", "The gateway tries again by itself, for up to a week; `amtp status ID` says when next."},
	"internal/outbound":     {"Connections to others", "The gateway tries again by itself. An address that is not public is refused, unless the configuration allows it."},
	"internal/store/sqlite": {"The database, backup and restore", ""},
}

// steps are what to do about a text of a part that has no single answer.
var steps = map[string]string{
	"claim the data directory: …": "Make the directory writable for the user who runs the gateway, or name another with `--data-dir`.",
	"the data directory … is in use by …. Stop that gateway first, or choose another directory with --data-dir": "Use the gateway that runs, or stop it: `kill PID`.",
	"there is no place for the data: set AMTP_DATA_DIR":                                                         "`AMTP_DATA_DIR=DIR amtp serve`",
	"there is no place for the data: set AMTP_DATA_DIR or HOME":                                                 "`AMTP_DATA_DIR=DIR amtp serve`",

	"listen on …: …; choose another with --address": "`amtp serve --address 127.0.0.1:9000`, or stop the program that has the port. Ports below 1024 need a right of their own.",
	"load the TLS certificate: …":                   "`amtp config check` says what is wrong with the certificate or its key.",
	"make the admin key: …":                         "Make the data directory writable for the user who runs the gateway.",
	"make the data directory: …":                    "Name a directory that can be made: `--data-dir DIR`.",
	"read the admin key: …":                         "Make `admin.key` in the data directory readable for the user who runs the gateway.",
	"the admin key file … does not hold one key; delete it and start again to make a new key": "Delete it and start again; the former admin key ends with that.",
	"the disk reported an error; nothing is written any more, so the gateway stops":           "Look at the disk and at the system's log, then `amtp check`, then start again. What was answered with 202 is there, or `amtp check` says that it is not.",
	"serve: …": "Start it again; if it stays, the text names the cause.",
	"the backup is made, but not noted for amtp check: …": "The backup is good. Make the data directory writable, so that `amtp check` knows of the next one.",

	"open the database in …: …": "`amtp check DIR`",
	"the database has schema … and this release knows …: it was written by a newer release; run that one, or restore a backup made before the upgrade": "Run the newer release again, or `amtp restore FILE --force` with a backup from before the upgrade.",
	"PRAGMA … is … and not …: a message could be lost in a power cut, so the database is not opened":                                                   "The file system refuses what the promise needs. Put the data directory on a local disk: `--data-dir DIR`.",
	"make the disk reserve: …":                    "Make room: 16 MiB at least.",
	"prepare …: …":                                "`amtp check DIR`; the database is not one of this release.",
	"move the former database aside: …":           "Make the data directory writable; nothing was moved.",
	"the copy has … and the database …":           "Run the backup again; if it stays, `amtp check DIR` and look at the disk.",
	"the journal of … could not be moved into it": "End every program that has the file open, then run it again.",
	"verify the backup: …":                        "Run the backup again; if it stays, `amtp check DIR` and look at the disk.",
	"verify the backup …: …":                      "Take another backup; nothing was changed.",
	"exists already":                              "`--force`, or another name.",
	"is not a sound database of a gateway":        "Take another backup. Of a data directory: `amtp check DIR`.",
	"there is no database":                        "`--data-dir DIR`",
	"… has schema … and this release knows …: use the release that wrote it, or a newer one": "Restore it with that release.",
	"… is not a file":                   "Name a file.",
	"… is the database itself":          "Name a file outside of the data directory.",
	"cannot connect to gateway at …: …": "As `GATEWAY_UNREACHABLE`.",
	"cannot use the gateway URL …: …":   "Write it as `https://host`, or `http://127.0.0.1:8080` for a gateway on this machine.",
	"the answer broke off: …":           "Send the request again, with the same idempotency key.",
}

// inside are texts that never leave the program but for the log.
var inside = []string{
	"too large", "locked", "busy", "exists", "not found", "key or id was reused", "the store is closed", "the store is paused",
	"a delivery that is … cannot …", "too many bytes of bodies are in work", "enough", "the row that was written is not there",
	"another message may have the same content", "cannot bind a …", "there is no VFS …", "…: another process holds the database", "…: the disk is full",
}

// TestErrorsPage looks for every code and every text of an error in the source
// and wants to know what to do about it: the next step of a code stands in
// advice, its meaning in meaning; a text without a code belongs to one of parts.
func TestErrorsPage(t *testing.T) {
	s := readSources(t)
	want := s.errorsPage(t)
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
		t.Errorf("docs/errors.md does not show the errors of the source: run go test ./internal/cli -run TestErrorsPage -update\nfirst difference: %s", firstDifference(got, want))
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

Every error says what happened, why, and what to do next. This page lists all of them: each text in the source stands here, and a
test fails when one is missing. ` + "`…`" + ` stands for what is filled in.

**From a gateway** comes the HTTP status and, always, all of this:

` + "```json" + `
{"error": {"code": "AGENT_UNKNOWN", "message": "The message was not accepted: there is no agent ghost@localhost at this gateway.",
  "details": {"recipient": "ghost@localhost"}, "timestamp": "2026-01-31T12:00:00.000Z", "request_id": "01a204f9-…"}}
` + "```" + `

Programs decide by ` + "`code`" + `; ` + "`message`" + ` is for people and may change. What a gateway keeps to itself stands in its log under the ` + "`request_id`" + `. Errors
that Go's HTTP server finds before the gateway sees a request (a malformed request line, a header over 32 KiB) are plain text.

**A command** prints the text on stderr, with the code if it came from a gateway, and below it ` + "`Hint:`" + ` with the next step. With ` + "`--json`" + ` it also prints
` + "`{\"ok\":false,\"error\":{code, message, hint, retryable, details, recipients}}`" + ` on stdout. It ends with one of these exit codes:

| Exit code | |
|---|---|
| 0 | done |
`

// exitMeanings says what each exit code but 0 stands for.
var exitMeanings = []string{
	exitInternal:     "a fault here or in the gateway",
	exitUsage:        "the command line, the configuration or the message is wrong",
	exitUnauthorised: "not set up, or the key does not allow it",
	exitNotFound:     "not found",
	exitConflict:     "conflict: the name is taken, the key or id stands for something else",
	exitUnreachable:  "no gateway answers, or it cannot take more now",
	exitNothing:      "waited, and nothing came",
	exitRefused:      "refused or held by policy",
	exitPartly:       "some recipients failed; the others have the message",
}

func (s *sources) errorsPage(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString(errorsHead)
	for exit, what := range exitMeanings {
		if what != "" {
			fmt.Fprintf(&b, "| %d | %s |\n", exit, what)
		}
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
	return codes
}

// byCode returns the names of the constants in the order of their codes.
func byCode(codes map[string]amtp.Code) []string {
	return slices.SortedFunc(maps.Keys(codes), func(a, b string) int { return strings.Compare(string(codes[a]), string(codes[b])) })
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

func (s *sources) writeCodes(t *testing.T, b *bytes.Buffer, codes map[string]amtp.Code) {
	fmt.Fprintf(b, "\n## Codes of a gateway\n\n| Code | HTTP | Exit | What happened | Next | Again? |\n|---|---|---|---|---|---|\n")
	statuses := s.statuses(codes)
	for _, name := range byCode(codes) {
		code := codes[name]
		m, next := meaning[code], advice[code]
		if m.what == "" || m.again == "" {
			t.Errorf("%s has no meaning: say in internal/cli/errors_page_test.go what happened and whether the same request can succeed later", code)
		}
		if next == "" {
			t.Errorf("%s has no next step: say in internal/cli/advice.go what to do about it", code)
		}
		if strings.HasPrefix(name, "code") {
			continue
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
	b.WriteString("\nA code without a status stands in the status of one recipient, or is a client's. For a recipient that a message failed for, the code is its\n`error_code` and the text its `error_message`.\n")
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
			if e.code == name && e.pkg != "internal/cli" && e.pkg != "internal/config" {
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
	b.WriteString("\n## What a command says\n\nThese codes stand in JSON only.\n")
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
			if e.pkg == "internal/cli" && e.code == name {
				lines = append(lines, textAndHint(e))
			}
		}
		title := fmt.Sprintf("### %s\n\n%s Exit code %s. Next: %s. Again: %s.", code, meaning[code].what, exits[name], cell(advice[code]), meaning[code].again)
		if len(lines) == 0 {
			fmt.Fprintf(b, "\n%s The text is that of one of the parts below.\n", title)
		}
		writeList(b, title, lines)
	}
	b.WriteString("\nWhat is wrong with a flag is said in the words of the command line's parser, as `Unknown flag: --colour.` and the like, with the code `USAGE`.\n")
	var others []string
	for _, e := range texts {
		if e.pkg == "internal/cli" && !strings.HasPrefix(e.code, "code") {
			if e.code == "" {
				t.Errorf("the text %q of internal/cli has no code, and so no next step", e.text)
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
				switch nameOf(pair.Key) {
				case "code":
					code = nameOf(pair.Value)
				case "exit":
					exit = nameOf(pair.Value)
				}
			}
			if code != "" && exit != "" {
				list[code] = exit
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
	b.WriteString("\n## Reasons\n\nThese stand behind the colon of another text, or are why a gateway does not start.\n")
	byPart := make(map[string][]string)
	for _, e := range texts {
		if e.code != "" && e.pkg != "internal/config" || e.pkg == "internal/cli" || slices.Contains(inside, e.text) {
			continue
		}
		part, known := parts[e.pkg]
		if !known {
			t.Fatalf("%s makes an error without a code, %q: add the package to parts in internal/cli/errors_page_test.go, with what to do about its errors", e.pkg, e.text)
		}
		line := e.text
		if part.next == "" || steps[e.text] != "" {
			next := steps[e.text]
			if next == "" {
				t.Errorf("%q of %s has no next step: add it to steps in internal/cli/errors_page_test.go, or to inside if only the log shows it", e.text, e.pkg)
			}
			line += "\x00" + next
		}
		byPart[e.pkg] = append(byPart[e.pkg], line)
	}
	for _, pkg := range slices.SortedFunc(maps.Keys(byPart), func(a, b string) int { return strings.Compare(parts[a].title, parts[b].title) }) {
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

// TestCataloguesAreNotStale fails for an entry whose text or code is gone.
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
