package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/openapi"
)

// TestJSONIsTheSource: the served JSON has the content of the source, in its order.
func TestJSONIsTheSource(t *testing.T) {
	served, etag := openapi.JSON()
	var doc any
	decoder := json.NewDecoder(bytes.NewReader(served))
	decoder.UseNumber()
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	same(t, "$", read(t), doc)
	if !strings.HasPrefix(string(served), `{"openapi":"3.1.1","info":{"title":`) ||
		!regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(etag) {
		t.Errorf("the document begins %.60s and has the ETag %s; want the order of the source and a hash", served, etag)
	}
}

func same(t *testing.T, at string, n tree, v any) {
	t.Helper()
	want, tag := n.at.Value, n.at.ShortTag()
	switch v := v.(type) {
	case map[string]any:
		if 2*len(v) != len(n.at.Content) {
			t.Errorf("%s has %d members, want %d", at, len(v), len(n.at.Content)/2)
		}
		for name, inner := range n.members() {
			same(t, at+"."+name, inner, v[name])
		}
	case []any:
		for i, item := range n.items() {
			same(t, fmt.Sprintf("%s[%d]", at, i), item, v[i])
		}
	case json.Number:
		if v.String() != want || tag != "!!int" {
			t.Errorf("%s is the number %s, want %s %s", at, v, tag, want)
		}
	case bool:
		if fmt.Sprint(v) != want || tag != "!!bool" {
			t.Errorf("%s is %v, want %s %s", at, v, tag, want)
		}
	case string:
		if v != want || tag != "!!str" && tag != "!!timestamp" {
			t.Errorf("%s is the text %q, want %s %q", at, v, tag, want)
		}
	case nil:
		if tag != "!!null" {
			t.Errorf("%s is null, want %s %s", at, tag, want)
		}
	}
}

// TestOperationsAreWhole: every operation has everything that readers and tools need.
func TestOperationsAreWhole(t *testing.T) {
	doc := read(t)
	var tags, seen []string
	for _, tag := range doc.get("tags").items() {
		tags = append(tags, tag.get("name").text())
	}
	for _, o := range doc.operations() {
		id := o.get("operationId").text()
		if !regexp.MustCompile(`^[a-z][A-Za-z]+$`).MatchString(id) || slices.Contains(seen, id) {
			t.Errorf("%s %s: the operationId %q is no name of its own", o.method, o.pattern, id)
		}
		seen = append(seen, id)
		if own := o.get("tags").texts(); len(own) != 1 || !slices.Contains(tags, own[0]) {
			t.Errorf("%s: tags are %q, want one of %q", id, own, tags)
		}
		for _, name := range []string{"summary", "description"} {
			if o.get(name).text() == "" {
				t.Errorf("%s has no %s", id, name)
			}
		}
		if len(o.get("security").items()) == 0 {
			t.Errorf("%s does not say which keys it takes", id)
		}
		if body := o.get("requestBody"); body.exists() && !body.get("content", "application/json", "example").exists() {
			t.Errorf("%s shows no request body", id)
		}
		checkParameters(t, id, o)
		checkAnswers(t, id, o)
	}
}

func checkParameters(t *testing.T, id string, o operation) {
	t.Helper()
	inPath := regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(o.pattern, -1)
	described := 0
	for _, p := range o.parameters() {
		if p.get("in").text() == "path" {
			described++
			if !strings.Contains(o.pattern, "{"+p.get("name").text()+"}") || p.get("example").text() == "" {
				t.Errorf("%s: the parameter %s is not in %s, or has no example", id, p.get("name").text(), o.pattern)
			}
		}
		if p.get("description").text() == "" || !p.get("schema").exists() {
			t.Errorf("%s: the parameter %s has no description or no schema", id, p.get("name").text())
		}
	}
	if described != len(inPath) {
		t.Errorf("%s: %d of the %d parameters in %s are described", id, described, len(inPath), o.pattern)
	}
}

func checkAnswers(t *testing.T, id string, o operation) {
	t.Helper()
	shown := false
	for status, answer := range o.get("responses").members() {
		answer = answer.resolved()
		content := answer.get("content", "application/json")
		if answer.get("description").text() == "" || !answer.get("headers", "X-Request-Id").exists() {
			t.Errorf("%s: the answer %s has no description or no X-Request-Id", id, status)
		}
		stream := answer.get("content", "text/event-stream")
		shown = shown || status[0] == '2' && (content.get("example").exists() || stream.get("example").exists())
		if status >= "400" && !content.get("example").exists() {
			t.Errorf("%s: the answer %s shows no example", id, status)
		}
	}
	if !shown {
		t.Errorf("%s shows no answer", id)
	}
	for _, status := range []string{"400", "401", "403", "429", "500", "503"} {
		ofKeys := status == "401" || status == "403" || status == "429"
		if !o.get("responses", status).exists() && !(ofKeys && slices.Contains(lookAtNoKey, id)) {
			t.Errorf("%s: every operation may answer %s", id, status)
		}
	}
}

// lookAtNoKey are the operations that every caller may use; they ignore keys.
var lookAtNoKey = []string{"health", "ready", "getOpenAPI"}

// TestReferences: each reference leads somewhere, and each component is referred to.
func TestReferences(t *testing.T) {
	doc := read(t)
	used := make(map[string]bool)
	var walk func(n tree)
	walk = func(n tree) {
		if ref := n.ref(); ref != "" {
			used[ref] = true
			if !n.resolved().exists() {
				t.Errorf("line %d: there is no %s", n.at.Line, ref)
			}
		}
		for _, inner := range n.members() {
			walk(inner)
		}
		for _, item := range n.items() {
			walk(item)
		}
	}
	walk(doc)
	for _, o := range doc.operations() {
		for _, alternative := range o.get("security").items() {
			for scheme := range alternative.members() {
				used["securitySchemes/"+scheme] = true
			}
		}
	}
	for kind, list := range doc.get("components").members() {
		for name := range list.members() {
			if ref := kind + "/" + name; !used[ref] {
				t.Errorf("nothing uses %s", ref)
			}
			delete(used, kind+"/"+name)
		}
	}
	for ref := range used {
		t.Errorf("%s is used but does not exist", ref)
	}
}
