package replay

// closed returns the document with every schema closed that stands by itself. An object
// may have only the members that are named, unless the schema permits others. The parts
// of an allOf stay open, because each part sees the members of the others too.
func closed(doc map[string]any) map[string]any {
	for _, item := range member(doc, "paths") {
		for _, operation := range item.(map[string]any) {
			if operation, ok := operation.(map[string]any); ok {
				closeContent(member(operation, "requestBody"))
				closeAnswers(member(operation, "responses"))
			}
		}
	}
	components := member(doc, "components")
	closeAnswers(member(components, "responses"))
	for _, schema := range member(components, "schemas") {
		closeInside(schema.(map[string]any))
	}
	return doc
}

func closeAnswers(answers map[string]any) {
	for _, answer := range answers {
		closeContent(answer.(map[string]any))
	}
}

func closeContent(holder map[string]any) {
	for _, media := range member(holder, "content") {
		media := media.(map[string]any)
		media["schema"] = closeSchema(media["schema"].(map[string]any))
	}
}

// closeSchema closes a schema and the schemas inside it.
func closeSchema(schema map[string]any) map[string]any {
	_, isRef := schema["$ref"]
	_, isAll := schema["allOf"]
	_, isObject := schema["properties"]
	_, isSaid := schema["additionalProperties"]
	closeInside(schema)
	switch {
	case isRef:
		return map[string]any{"allOf": []any{schema}, "unevaluatedProperties": false}
	case (isAll || isObject) && !isSaid:
		schema["unevaluatedProperties"] = false
	}
	return schema
}

// closeInside closes the schemas inside a schema, but not the schema itself.
func closeInside(schema map[string]any) {
	properties := member(schema, "properties")
	for name, property := range properties {
		properties[name] = closeSchema(property.(map[string]any))
	}
	for _, name := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[name].(map[string]any); ok {
			schema[name] = closeSchema(inner)
		}
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		list, _ := schema[name].([]any)
		for i := range list {
			list[i] = closeSchema(list[i].(map[string]any))
		}
	}
	// The parts of the allOf say more about members of the others. They stay open at
	// every depth, except for schemas inside their lists.
	parts, _ := schema["allOf"].([]any)
	for _, part := range parts {
		if part := part.(map[string]any); part["type"] == "object" {
			closeInside(part)
		}
	}
}

// member returns a member that is an object, an empty one when there is none.
func member(object map[string]any, name string) map[string]any {
	inner, _ := object[name].(map[string]any)
	return inner
}
