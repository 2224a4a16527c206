package config

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestDeclarations(t *testing.T) {
	var (
		pathForm = regexp.MustCompile(`^([a-z]+\.)?[a-z]+(_[a-z]+)*$`)
		envForm  = regexp.MustCompile(`^AMTP_[A-Z]+(_[A-Z]+)*$`)
		flagForm = regexp.MustCompile(`^([a-z]+(-[a-z]+)*)?$`)
		sentence = regexp.MustCompile("^[A-Z][^|`\n]*\\.$")
	)
	seen := map[string]bool{}
	once := func(name string) bool {
		first := name == "--" || !seen[name]
		seen[name] = true
		return first
	}
	for _, s := range (&Config{}).settings() {
		if !pathForm.MatchString(s.path) || !envForm.MatchString(s.env) || !flagForm.MatchString(s.flag) {
			t.Errorf("%s has the names %q and %q, which have another form than their sisters", s.path, s.env, s.flag)
		}
		if !sentence.MatchString(s.meaning) {
			t.Errorf("the meaning of %s is not one plain sentence: %q", s.path, s.meaning)
		}
		if !once(s.path) || !once(s.env) || !once("--"+s.flag) ||
			s.alias != "" && (!once(s.alias) || !envForm.MatchString(s.alias)) {
			t.Errorf("%s shares a name with another setting", s.path)
		}
		if err := s.value.set(s.def); s.def != "" && (err != nil || s.value.text() != s.def) {
			t.Errorf("the default %q of %s is shown as %q, %v", s.def, s.path, s.value.text(), err)
		}
	}
	for _, v := range variables() {
		if !once(v.name) || !envForm.MatchString(v.name) || v.note == "" {
			t.Errorf("%s is declared twice, or without a note", v.name)
		}
	}
}

func TestEveryFieldIsDeclared(t *testing.T) {
	var count func(reflect.Type) int
	count = func(typ reflect.Type) int {
		n := 0
		for i := range typ.NumField() {
			switch f := typ.Field(i); {
			case !f.IsExported():
			case f.Type.Kind() == reflect.Struct:
				n += count(f.Type)
			default:
				n++
			}
		}
		return n
	}
	fields, settings := count(reflect.TypeFor[Config]()), len((&Config{}).settings())
	if fields != settings {
		t.Errorf("Config has %d fields and there are %d settings; each field needs one", fields, settings)
	}
}

func TestKnownKeysHaveASection(t *testing.T) {
	for _, s := range (&Config{}).settings() {
		if strings.Count(s.path, ".") > 1 {
			t.Errorf("%s lies deeper than a section, which config show cannot write", s.path)
		}
	}
}
