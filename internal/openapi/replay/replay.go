// Package replay checks the requests and answers of real connections against the
// document of the API. Only tests import it.
//
// A request that the gateway accepted must be one that the document describes; a
// refused request may be anything. Every answer must be described: its status, the
// codes that the operation has for that status, its headers, and each of its members. A
// member that the document does not name is an error here, though a client must ignore
// it.
// client must ignore it.
package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"

	"github.com/amtp-go/amtp/internal/openapi"
)

// Document is the document of the API, ready to check exchanges.
type Document struct {
	judge  validator.Validator
	routes *http.ServeMux
	flags  map[string]bool // query parameters that are true or false
}

// elsewhere is the path for checks of answers that came from no operation.
const elsewhere = "/elsewhere"

// Load reads the document that the gateway serves.
func Load() (*Document, error) {
	served, _ := openapi.JSON()
	return load(served)
}

func load(served []byte) (*Document, error) {
	var doc map[string]any
	if err := json.Unmarshal(served, &doc); err != nil {
		return nil, err
	}
	d := &Document{routes: http.NewServeMux()}
	paths := member(doc, "paths")
	for pattern, item := range paths {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				d.routes.Handle(strings.ToUpper(method)+" "+pattern, http.NotFoundHandler())
			}
		}
	}
	d.flags = flags(doc)
	paths[elsewhere] = map[string]any{"get": map[string]any{"responses": noOperation}}
	narrow(doc)
	strict, err := json.Marshal(closed(doc))
	if err != nil {
		return nil, err
	}
	parsed, err := libopenapi.NewDocument(strict)
	if err != nil {
		return nil, err
	}
	var faults []error
	if d.judge, faults = validator.NewValidator(parsed, config.WithFormatAssertions()); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return d, nil
}

// flags returns the names of the parameters of type Flag.
func flags(doc map[string]any) map[string]bool {
	found := make(map[string]bool)
	note := func(parameter any) {
		p := resolve(doc, parameter)
		if member(p, "schema")["$ref"] == "#/components/schemas/Flag" {
			found[p["name"].(string)] = true
		}
	}
	for _, item := range member(doc, "paths") {
		for _, operation := range item.(map[string]any) {
			if operation, ok := operation.(map[string]any); ok {
				list, _ := operation["parameters"].([]any)
				for _, parameter := range list {
					note(parameter)
				}
			}
		}
	}
	return found
}

// noOperation are the answers to requests that reach no operation.
var noOperation = map[string]any{
	"400": ref("responses/BadRequest"),
	"401": ref("responses/WrongKey"),
	"403": ref("responses/WrongAdminKey"),
	"404": refusal("NOT_FOUND", "NOT_IMPLEMENTED"),
	"405": refusal("METHOD_NOT_ALLOWED"),
	"421": refusal("MISDIRECTED_REQUEST"),
	"429": ref("responses/TooMany"),
}

func ref(name string) map[string]any { return map[string]any{"$ref": "#/components/" + name} }

func refusal(codes ...string) map[string]any {
	content := map[string]any{"application/json": map[string]any{"schema": ref("schemas/Refusal")}}
	return map[string]any{"description": strings.Join(codes, " or "), "x-codes": codes, "content": content}
}

// narrow limits every answer to its codes. The document gives all errors one schema,
// from which generators make one type, and names the codes beside it: x-codes.
func narrow(doc map[string]any) {
	for _, item := range member(doc, "paths") {
		for _, operation := range item.(map[string]any) {
			if operation, ok := operation.(map[string]any); ok {
				narrowAnswers(member(operation, "responses"))
			}
		}
	}
	narrowAnswers(member(member(doc, "components"), "responses"))
}

func narrowAnswers(answers map[string]any) {
	for _, answer := range answers {
		answer := answer.(map[string]any)
		codes, ok := answer["x-codes"]
		if !ok {
			continue
		}
		code := map[string]any{"properties": map[string]any{"code": map[string]any{"enum": codes}}}
		only := map[string]any{"properties": map[string]any{"error": code}}
		media := member(member(answer, "content"), "application/json")
		media["schema"] = map[string]any{"allOf": []any{media["schema"], only}}
	}
}

// An Exchange is one request and its answer.
type Exchange struct {
	Request *http.Request // with the URL and the headers; its body is not read
	Sent    []byte        // the body of the request
	Status  int
	Header  http.Header
	Body    []byte // of the answer
}

// Check returns an error that lists where the exchange differs from the document.
func (d *Document) Check(x Exchange) error {
	route := d.route(x.Request)
	where := elsewhere
	if _, pattern, ok := strings.Cut(route, " "); ok && !x.strayed() {
		where = pattern
	}
	var faults []error
	if where != elsewhere && x.Status/100 == 2 {
		faults = append(faults, d.checkRequest(x))
	}
	if x.Request.Method != http.MethodHead {
		faults = append(faults, d.checkAnswer(x, where))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%s %.100s differs from %s: %w", x.Request.Method, x.Request.URL, orNone(route), err)
	}
	return nil
}

func orNone(route string) string {
	if route == "" {
		return "no route"
	}
	return route
}

// route returns the operation that a request reaches, "" for none.
func (d *Document) route(r *http.Request) string {
	at := undoubled(r.URL)
	if path.Clean(at.Path) != at.Path {
		return ""
	}
	_, route := d.routes.Handler(&http.Request{Method: r.Method, URL: at})
	return route
}

// undoubled returns the path of a URL without a doubled slash. A client doubles it if
// its base URL ends in a slash.
func undoubled(u *url.URL) *url.URL {
	at := &url.URL{Path: u.Path, RawPath: u.RawPath}
	for strings.HasPrefix(at.Path, "//") {
		at.Path, at.RawPath = at.Path[1:], strings.TrimPrefix(at.RawPath, "/")
	}
	return at
}

// strayed reports whether the answer shows that the request reached no operation.
func (x Exchange) strayed() bool {
	var refused struct {
		Error struct{ Code string }
	}
	err := json.Unmarshal(x.Body, &refused)
	return err == nil && slices.Contains([]string{"NOT_FOUND", "NOT_IMPLEMENTED", "METHOD_NOT_ALLOWED",
		"MISDIRECTED_REQUEST"}, refused.Error.Code)
}

func (d *Document) checkRequest(x Exchange) error {
	r := &http.Request{Method: x.Request.Method, Header: x.Request.Header.Clone(), URL: undoubled(x.Request.URL)}
	r.URL.RawQuery = d.described(x.Request.URL.Query())
	if len(x.Sent) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.Sent)), int64(len(x.Sent))
	}
	_, faults := d.judge.ValidateHttpRequestSync(r)
	return joined("the request", faults)
}

// described returns a query in the form of the document. Parameters without a value are
// left out, because they count as absent. A flag is true or false, where the gateway
// also accepts 1 and 0.
func (d *Document) described(query url.Values) string {
	for name, values := range query {
		if len(values) == 1 && values[0] == "" {
			query.Del(name)
		}
		for i, value := range values {
			if word := map[string]string{"1": "true", "0": "false"}[value]; word != "" && d.flags[name] {
				values[i] = word
			}
		}
	}
	return query.Encode()
}

func (d *Document) checkAnswer(x Exchange, pattern string) error {
	method := x.Request.Method
	if pattern == elsewhere {
		method = http.MethodGet
	}
	// The values in the path do not matter to the form of the answer.
	plain := strings.NewReplacer("{", "", "}", "").Replace(pattern)
	_, faults := d.judge.ValidateHttpResponse(&http.Request{Method: method, URL: &url.URL{Path: plain}}, &http.Response{
		StatusCode: x.Status, Header: x.Header, Body: io.NopCloser(bytes.NewReader(x.Body)),
		ContentLength: int64(len(x.Body)),
	})
	return joined(fmt.Sprintf("the answer %d %.400s", x.Status, x.Body), faults)
}

func joined(what string, faults []*validation.ValidationError) error {
	var all []error
	for _, fault := range faults {
		all = append(all, fmt.Errorf("%s: %s: %s", what, fault.Message, fault.Reason))
		for _, why := range fault.SchemaValidationErrors {
			all = append(all, fmt.Errorf("  at %s: %s", why.FieldPath, why.Reason))
		}
	}
	return errors.Join(all...)
}
