package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/markdown"
	"github.com/amtp-go/amtp/internal/openapi/replay"
)

var update = flag.Bool("update", false, "write docs/api.md anew")

const pageFile = "../../docs/api.md"

const pageHead = `# The HTTP API

<!-- Generated from internal/openapi by "go test ./internal/openapi -update". Do not edit. -->

`

const pageExamples = `A gateway serves this as an OpenAPI document, without a key, at ` + "`/v1/openapi.json`" +
	`, from which
[typed clients](clients.md) are made. The examples are stories, which a test
plays at a real gateway. They need these:

` + "```sh" + `
URL=http://127.0.0.1:8080
KEY=amtp_…                                       # the key of the agent who asks (alice sends, bob reads his inbox): apiKey in its ~/.amtp-config.json
ADMIN_KEY=$(cat ~/.local/share/amtp/admin.key)   # made by the first start of the gateway
` + "```\n\n"

// page returns docs/api.md as it must be.
func page(t *testing.T) []byte {
	doc := read(t)
	examples, err := replay.Examples()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString(pageHead + doc.get("info", "description").text() + "\n\n" + pageExamples)
	for _, tag := range doc.get("tags").items() {
		fmt.Fprintf(&b, "| %s | |\n|---|---|\n", tag.get("name").text())
		for _, o := range doc.operations() {
			if slices.Contains(o.get("tags").texts(), tag.get("name").text()) {
				fmt.Fprintf(&b, "| `%s %s` | [%s](#%s) |\n", o.method, o.pattern, o.get("summary").text(),
					anchor(o.get("summary").text()))
			}
		}
		b.WriteString("\n")
	}
	for _, tag := range doc.get("tags").items() {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", tag.get("name").text(), tag.get("description").text())
		for _, o := range doc.operations() {
			if slices.Contains(o.get("tags").texts(), tag.get("name").text()) {
				o.write(t, &b, examples[o.get("operationId").text()])
			}
		}
	}
	writeObjects(&b, doc)
	return b.Bytes()
}

// noLabel matches the characters that GitHub leaves out of the anchor of a heading.
var noLabel = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchor returns the name by which a page refers to one of its headings.
func anchor(heading string) string {
	return strings.ReplaceAll(noLabel.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// write writes one operation.
func (o operation) write(t *testing.T, b *bytes.Buffer, e replay.Example) {
	fmt.Fprintf(b, "### %s\n\n`%s %s`\n\n%s\n\n%s\n\n", o.get("summary").text(), o.method, o.pattern,
		o.get("description").text(), o.keys())
	if list := o.parameters(); len(list) > 0 {
		b.WriteString("| Parameter | In | | |\n|---|---|---|---|\n")
		for _, p := range list {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.get("name").text(), p.get("in").text(),
				form(p.direct("schema")), p.get("description").text())
		}
		b.WriteString("\n")
	}
	if body := o.get("requestBody"); body.exists() {
		optional := ""
		if body.get("required").text() != "true" {
			optional = ", which may be left out"
		}
		fmt.Fprintf(b, "**Body:** %s%s.\n\n", form(body.get("content", "application/json").direct("schema")), optional)
	}
	fmt.Fprintf(b, "```sh\n%s\n```\n\n", curl(t, o, e))
	for status, answer := range o.get("responses").members() {
		answer = answer.resolved()
		content := answer.get("content", "application/json")
		switch {
		case status >= "400":
			continue
		case content.exists():
			fmt.Fprintf(b, "**%s** %s: %s\n\n", status, form(content.direct("schema")),
				answer.get("description").text())
		default:
			fmt.Fprintf(b, "**%s** %s\n\n", status, answer.get("description").text())
		}
		if shown := content.direct("example"); shown.exists() {
			fmt.Fprintf(b, "```json\n%s\n```\n\n", shown.json(t))
		}
		if stream := answer.get("content", "text/event-stream", "example"); stream.exists() {
			fmt.Fprintf(b, "```\n%s\n```\n\n", strings.TrimSpace(stream.text()))
		}
	}
	b.WriteString("| Refused | Code | |\n|---|---|---|\n")
	for status, answer := range o.get("responses").members() {
		if status >= "400" {
			answer = answer.resolved()
			fmt.Fprintf(b, "| %s | %s | %s |\n", status, codes(answer), answer.get("description").text())
		}
	}
	b.WriteString("\n")
}

// direct returns a member with its reference unresolved.
func (n tree) direct(name string) tree {
	for key, value := range n.members() {
		if key == name {
			return value
		}
	}
	return tree{n.root, nil}
}

// keys lists the keys that an operation accepts.
func (o operation) keys() string {
	alternatives := o.get("security").items()
	var names []string
	open := 0
	for i, alternative := range alternatives {
		for scheme := range alternative.members() {
			kind, _, _ := strings.Cut(strings.TrimSuffix(scheme, "Bearer"), "Header")
			name := map[string]string{"agentKey": "an agent's", "adminKey": "the admin key",
				"admin": "the admin key"}[kind]
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(alternative.at.Content) == 0 {
			open = i + 1
		}
	}
	text := "**Key:** " + strings.Join(names, ", or ")
	switch {
	case len(names) == 0:
		text += "none is needed"
	case open == 1:
		text = "**Key:** none is needed; with " + strings.Join(names, ", or ") + " the answer may have more"
	case open > 0:
		text += "; none in the development profile"
	}
	return text + "."
}

// codes lists the error codes that an answer may have.
func codes(answer tree) string {
	if list := answer.get("x-codes").texts(); len(list) > 0 {
		return "`" + strings.Join(list, "`, `") + "`"
	}
	return ""
}

// curl returns the request of the example as a curl command.
func curl(t *testing.T, o operation, e replay.Example) string {
	parts := []string{"curl"}
	if e.Method != "GET" && (e.Method != "POST" || e.Body == nil) {
		parts[0] += " -X " + e.Method
	}
	parts[0] += ` "$URL` + e.Path + `"`
	switch e.Key {
	case "agentKey":
		parts = append(parts, `-H "Authorization: Bearer $KEY"`)
	case "adminKey":
		parts = append(parts, `-H "X-Admin-Key: $ADMIN_KEY"`)
	}
	if e.Body != nil {
		var body bytes.Buffer
		if err := json.Compact(&body, []byte(o.get("requestBody", "content",
			"application/json").direct("example").json(t))); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(body.String(), "'") {
			t.Fatalf("%s: a quote in the example would end the shell's argument", e.Operation)
		}
		parts = append(parts, "-H 'Content-Type: application/json'", "-d '"+body.String()+"'")
	}
	return strings.Join(parts, " \\\n  ")
}

func TestPageIsFresh(t *testing.T) {
	want := []byte(markdown.Wrap(string(page(t))))
	if *update {
		if err := os.WriteFile(pageFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(pageFile); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is stale (%v): run go test ./internal/openapi -update", pageFile, err)
	}
}
