package config

import (
	"fmt"
	"strings"

	"github.com/amtp-go/amtp/internal/datadir"
)

// Places that are neither a variable, a flag nor a line of a file.
const (
	fromDefault = "default"
	environment = "environment"
)

// loader builds one Config, from the source of the lowest precedence to that of the highest,
// and collects problems and warnings.
type loader struct {
	cfg      *Config
	settings []setting
	flags    *FlagValues
	env      map[string]string // the variables that are not empty
	content  []byte            // replaces the content of the file, or is nil
	warnings []Warning
	problems []Problem
}

func newLoader(src Sources) *loader {
	cfg := &Config{origins: map[string]string{}}
	l := &loader{cfg: cfg, settings: cfg.settings(), flags: src.Flags, env: map[string]string{}, content: src.Content}
	for _, pair := range src.Environ {
		if name, text, _ := strings.Cut(pair, "="); text != "" {
			l.env[name] = text
		}
	}
	return l
}

func (l *loader) problem(place, text string) {
	l.problems = append(l.problems, Problem{Place: place, Text: text})
}

func (l *loader) warn(place, text string) {
	l.warnings = append(l.warnings, Warning{Place: place, Text: text})
}

// set gives a setting the text found at a place.
func (l *loader) set(s setting, place, text string) {
	if err := s.value.set(text); err != nil {
		l.problem(place, s.path+": "+err.Error())
		return
	}
	l.cfg.origins[s.path] = place
}

func (l *loader) fromDefaults() {
	for _, s := range l.settings {
		if s.def != "" {
			l.set(s, fromDefault, s.def)
		}
	}
	if dir, err := l.userDataDir(); err == nil {
		l.cfg.DataDir = dir
	}
}

func (l *loader) fromEnviron() {
	l.fromStorage()
	for _, s := range l.settings {
		text, ok := l.env[s.env]
		same, twice := l.env[s.alias]
		switch {
		case ok && twice && !strings.EqualFold(text, same):
			l.problem(environment, fmt.Sprintf("%s is %s and %s is %s, and both mean %s: give one of them", s.env,
				brief(text), s.alias, brief(same), s.path))
		case ok:
			l.set(s, s.env, text)
		case twice:
			l.set(s, s.alias, same)
		}
	}
}

func (l *loader) fromFlags() {
	for _, s := range l.settings {
		if text, ok := l.flags.given(s.flag); ok {
			l.set(s, "--"+s.flag, text)
		}
	}
}

// userDataDir returns the data directory of a user who names none.
func (l *loader) userDataDir() (string, error) {
	return datadir.Default(func(name string) string {
		if name == dataDirVariable {
			return ""
		}
		return l.env[name]
	})
}

// namedDataDir returns the data directory in which the file is looked for, so it does
// not read the file. If no other source names a directory, it is the default or "".
func (l *loader) namedDataDir() string {
	if dir, ok := l.flags.given(dataDirFlag); ok {
		return dir
	}
	if dir, ok := l.env[dataDirVariable]; ok {
		return dir
	}
	return l.cfg.DataDir
}
