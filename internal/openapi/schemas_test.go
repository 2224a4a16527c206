package openapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// words are the members that a schema may have here, with the meaning of JSON Schema
// 2020-12. Another member is a slip, such as the rest of a text with a comma and
// without quotes, or is not read by every generator. anyOf is not among them: ogen
// refuses it.
var words = []string{
	"$ref", "type", "enum", "const", "format", "pattern", "description", "default",
	"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
	"properties", "required", "additionalProperties", "items", "allOf", "oneOf",
}

// types are the YAML tags that values of each type have. A time is a text.
var types = map[string][]string{
	"string": {"!!str", "!!timestamp"}, "integer": {"!!int"}, "number": {"!!int", "!!float"}, "boolean": {"!!bool"},
	"null": {"!!null"}, "object": {"!!map"}, "array": {"!!seq"},
}

// TestSchemas: generators make the intended type from every schema.
func TestSchemas(t *testing.T) {
	seen := 0
	for at, schema := range read(t).schemas() {
		seen++
		for _, fault := range faults(schema) {
			t.Errorf("%s (line %d): %s", at, schema.at.Line, fault)
		}
	}
	if seen < 500 {
		t.Errorf("%d schemas were checked, want those of the whole document", seen)
	}
}

// TestSchemaFaults: the slips for which TestSchemas exists are found.
func TestSchemaFaults(t *testing.T) {
	for source, want := range map[string]string{
		`{type: string, description: of the agent, without the domain}`: "unknown",
		`{enum: [a, b]}`:                                      "no type",
		`{const: true}`:                                       "no type",
		`{type: string, enum: [a, 1]}`:                        "no value of",
		`{type: string, enum: [a, null]}`:                     "no value of",
		`{type: [string, "null"], enum: [a, null]}`:           "",
		`{type: [string, integer]}`:                           "one type",
		`{type: text}`:                                        "one type",
		`{anyOf: [{type: string}, {type: integer}]}`:          "unknown",
		`{allOf: [{type: object}, {properties: {a: {}}}]}`:    "part",
		`{allOf: [{$ref: "#/components/schemas/Error"}]}`:     "",
		`{type: object, properties: {a: {default: 1}}}`:       "default",
		`{type: object, required: [b], properties: {a: {}}}`:  "required",
		`{type: array}`:                                       "items",
		`{type: array, items: {type: string}}`:                "",
		`{type: string, pattern: "^a$", description: a word}`: "",
	} {
		got := strings.Join(faults(parse(t, source)), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

// faults lists the faults of a schema, except those of schemas inside it.
func faults(schema tree) (list []string) {
	fault := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for name := range schema.members() {
		if !slices.Contains(words, name) {
			fault("the member %q is unknown", name)
		}
	}
	is := schema.direct("type").texts()
	if kind := schema.direct("type").text(); kind != "" {
		is = []string{kind}
	}
	kinds := slices.DeleteFunc(slices.Clone(is), func(kind string) bool { return kind == "null" })
	if len(is) > 0 && (len(kinds) != 1 || types[kinds[0]] == nil) {
		fault("its type is %q, want one type, or it and null", is)
	}
	values := schema.direct("enum").items()
	if only := schema.direct("const"); only.exists() {
		values = append(values, only)
	}
	if len(values) > 0 && len(is) == 0 {
		fault("values and no type")
	}
	for _, value := range values {
		if !slices.ContainsFunc(is, func(kind string) bool {
			return slices.Contains(types[kind], value.at.ShortTag())
		}) {
			fault("%q is no value of %q", value.at.Value, is)
		}
	}
	if slices.Contains(is, "array") && !schema.direct("items").exists() {
		fault("a list without items")
	}
	for _, part := range schema.direct("allOf").items() {
		if part.ref() == "" && part.direct("type").text() != "object" {
			fault("a part of its allOf is neither a reference nor an object: generators lose what it narrows")
		}
	}
	// openapi-typescript requires a member that has a default.
	for name, property := range schema.direct("properties").members() {
		if property.direct("default").exists() {
			fault("the member %q has a default; say it in its description", name)
		}
	}
	for _, name := range schema.direct("required").texts() {
		if schema.direct("properties").exists() && !schema.direct("properties").direct(name).exists() {
			fault("%q is required and not there", name)
		}
	}
	return list
}

// TestRefusals: every error has the one type with all its members, and names its
// possible codes. A path with a value in it lists a 404, because it may not exist.
func TestRefusals(t *testing.T) {
	for _, o := range read(t).operations() {
		id := o.get("operationId").text()
		for status, answer := range o.get("responses").members() {
			if status < "400" {
				continue
			}
			answer = answer.resolved()
			schema := answer.get("content", "application/json").direct("schema")
			alternatives := append(schema.direct("oneOf").items(), schema)
			if !slices.ContainsFunc(alternatives, func(s tree) bool { return s.ref() == "schemas/Refusal" }) {
				t.Errorf("%s: the answer %s is no Refusal", id, status)
			}
			codes := answer.get("x-codes").texts()
			if len(codes) == 0 && schema.ref() != "" {
				t.Errorf("%s: the answer %s lists no codes", id, status)
			}
			if status == "404" && slices.Contains(codes, "NOT_FOUND") != strings.Contains(o.pattern, "{") {
				t.Errorf("%s: %s lists %q for 404; NOT_FOUND is for paths with values", id, o.pattern, codes)
			}
		}
		if strings.Contains(o.pattern, "{") && !o.get("responses", "404").exists() {
			t.Errorf("%s: a value in %s may make a path that does not exist, and no 404 is listed", id, o.pattern)
		}
	}
}

// TestNames: no two components have the same name, in any case of letters and whatever
// their kinds. Generators make types of all of them.
func TestNames(t *testing.T) {
	seen := make(map[string]string)
	for kind, list := range read(t).get("components").members() {
		for name := range list.members() {
			at := kind + "/" + name
			if other, ok := seen[strings.ToLower(name)]; ok && kind != "headers" {
				t.Errorf("%s has the name of %s", at, other)
			}
			seen[strings.ToLower(name)] = at
		}
	}
}
