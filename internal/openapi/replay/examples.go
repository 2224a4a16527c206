package replay

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/amtp-go/amtp/internal/openapi"
)

// An Example is an operation as the document shows it to readers.
type Example struct {
	Operation string // its operationId
	Method    string
	Path      string // with the examples of its parameters, also those of the query
	Key       string // the first security scheme that it accepts, "" for none
	Body      []byte // nil when the operation takes none
	Status    string // of the answer that the document shows, such as 200
	Answer    []byte
	// Refusals are the error answers that the document shows, by status.
	Refusals map[string][]byte
	Stream   bool // the answer is a stream of events, which has no end
}

// Examples returns the example of every operation by its operationId.
func Examples() (map[string]Example, error) {
	served, _ := openapi.JSON()
	var doc map[string]any
	if err := json.Unmarshal(served, &doc); err != nil {
		return nil, err
	}
	all := make(map[string]Example)
	for pattern, item := range member(doc, "paths") {
		item := item.(map[string]any)
		for method, operation := range item {
			if method == "parameters" {
				continue
			}
			e, err := example(doc, pattern, item, operation.(map[string]any))
			if err != nil {
				return nil, err
			}
			e.Method = strings.ToUpper(method)
			all[e.Operation] = e
		}
	}
	return all, nil
}

func example(doc map[string]any, pattern string, item, operation map[string]any) (Example, error) {
	e := Example{Path: pattern, Refusals: make(map[string][]byte)}
	e.Operation, _ = operation["operationId"].(string)
	e.fill(doc, item["parameters"])
	e.fill(doc, operation["parameters"])
	if alternatives, _ := operation["security"].([]any); len(alternatives) > 0 {
		for scheme := range alternatives[0].(map[string]any) {
			e.Key = scheme
		}
	}
	var err error
	if e.Body, err = shown(member(operation, "requestBody")); err != nil {
		return e, err
	}
	for status, answer := range member(operation, "responses") {
		e.Stream = e.Stream || member(resolve(doc, answer), "content")["text/event-stream"] != nil
		text, err := shown(resolve(doc, answer))
		if err != nil {
			return e, err
		}
		if status[0] != '2' {
			e.Refusals[status] = text
		} else if text != nil {
			e.Status, e.Answer = status, text
		}
	}
	return e, nil
}

// fill puts the examples of parameters into the path. It leaves out a query parameter
// without an example.
func (e *Example) fill(doc map[string]any, parameters any) {
	list, _ := parameters.([]any)
	for _, p := range list {
		p := resolve(doc, p)
		shown, ok := p["example"]
		value := fmt.Sprint(shown)
		name, _ := p["name"].(string)
		switch {
		case p["in"] == "path":
			e.Path = strings.ReplaceAll(e.Path, "{"+name+"}", value)
		case p["in"] == "query" && ok:
			separator := "?"
			if strings.Contains(e.Path, "?") {
				separator = "&"
			}
			e.Path += separator + name + "=" + url.QueryEscape(value)
		}
	}
}

// shown returns the JSON example of a request body or an answer, nil for none.
func shown(holder map[string]any) ([]byte, error) {
	example, ok := member(member(holder, "content"), "application/json")["example"]
	if !ok {
		return nil, nil
	}
	return json.Marshal(example)
}

// resolve follows a reference to a component.
func resolve(doc map[string]any, v any) map[string]any {
	object := v.(map[string]any)
	if target, ok := object["$ref"].(string); ok {
		kind, name, _ := strings.Cut(strings.TrimPrefix(target, "#/components/"), "/")
		return member(member(member(doc, "components"), kind), name)
	}
	return object
}
