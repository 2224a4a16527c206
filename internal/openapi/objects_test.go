package openapi_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// writeObjects writes the named schemas.
func writeObjects(b *bytes.Buffer, doc tree) {
	b.WriteString("## Objects\n\nA member marked with \\* is always there, or required.\n\n")
	for name, schema := range doc.get("components", "schemas").members() {
		fmt.Fprintf(b, "### %s\n\n", name)
		if text := schema.get("description").text(); text != "" {
			b.WriteString(text + "\n\n")
		}
		parts, links := []tree{schema}, []string(nil)
		for _, part := range schema.get("allOf").items() {
			if ref := part.ref(); ref != "" {
				links = append(links, link(ref))
			} else {
				parts = append(parts, part)
			}
		}
		switch {
		case len(parts) > 1:
			fmt.Fprintf(b, "All of %s, and besides:\n\n", strings.Join(links, " and "))
		case len(links) > 0:
			fmt.Fprintf(b, "All of %s.\n\n", strings.Join(links, " and "))
		}
		wrote := len(links) > 0
		for _, part := range parts {
			wrote = writeMembers(b, part) || wrote
		}
		if !wrote {
			fmt.Fprintf(b, "%s\n\n", form(schema))
		}
	}
	b.Truncate(b.Len() - 1)
}

// writeMembers writes the members of an object, and reports whether it has any.
func writeMembers(b *bytes.Buffer, schema tree) bool {
	if !schema.get("properties").exists() {
		return false
	}
	required := schema.get("required").texts()
	b.WriteString("| | | |\n|---|---|---|\n")
	for name, property := range schema.get("properties").members() {
		mark := ""
		if slices.Contains(required, name) {
			mark = "\\*"
		}
		fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", name, mark, form(property), property.own("description"))
	}
	b.WriteString("\n")
	return true
}

func link(ref string) string {
	name := ref[strings.LastIndexByte(ref, '/')+1:]
	return "[" + name + "](#" + strings.ToLower(name) + ")"
}

// form describes the form of a value in a few words.
func form(schema tree) string {
	if ref := schema.ref(); ref != "" {
		return link(ref)
	}
	if word := schema.get("const"); word.exists() {
		return "`" + word.text() + "`"
	}
	if words := schema.get("enum").texts(); len(words) > 0 {
		return strings.ReplaceAll("`"+strings.Join(words, "`, `")+"`", "``", "`\"\"`")
	}
	if branches := schema.get("oneOf").items(); len(branches) > 0 {
		return forms(branches)
	}
	types := schema.get("type").texts()
	if len(types) == 0 && schema.get("type").exists() {
		types = []string{schema.get("type").text()}
	}
	for i, name := range types {
		switch name {
		case "array":
			types[i] = "list of " + form(schema.direct("items"))
		case "object":
			types[i] = "object"
			if of := schema.direct("additionalProperties"); of.ref() != "" || of.get("type").exists() {
				types[i] += " of " + form(of)
			} else if schema.get("properties").exists() && schema.direct("description").at == nil &&
				len(inline(schema)) > 0 {
				types[i] += " with " + strings.Join(inline(schema), ", ")
			}
		}
	}
	return strings.Join(types, " or ") + bounds(schema)
}

func forms(branches []tree) string {
	var list []string
	for _, branch := range branches {
		list = append(list, form(branch))
	}
	return strings.Join(list, " or ")
}

// inline lists the members of an object without a name.
func inline(schema tree) (list []string) {
	for name, property := range schema.get("properties").members() {
		text := "`" + name + "` (" + form(property)
		if why := property.own("description"); why != "" {
			text += ": " + why
		}
		list = append(list, text+")")
	}
	return list
}

// bounds lists the other bounds of a value.
func bounds(schema tree) string {
	var list []string
	low, high := schema.get("minimum").text(), schema.get("maximum").text()
	switch {
	case low != "" && high != "":
		list = append(list, low+" to "+high)
	case low != "":
		list = append(list, "at least "+low)
	}
	if most := schema.get("maxItems").text(); most != "" {
		list = append(list, "at most "+most)
	}
	if def := schema.get("default").text(); def != "" {
		list = append(list, def+" if not said")
	}
	if pattern := schema.get("pattern").text(); pattern != "" {
		list = append(list, "`"+strings.ReplaceAll(pattern, "|", "\\|")+"`")
	}
	if format := schema.get("format").text(); format != "" {
		list = append(list, format)
	}
	if len(list) == 0 {
		return ""
	}
	return ", " + strings.Join(list, ", ")
}
