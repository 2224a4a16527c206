package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/amtp-go/amtp"
)

// Forms that need more than a word in a help text.
const (
	secretForm  = "key"
	booleanForm = "true|false"
	pathForm    = "path"
)

// value is one field of a Config as the sources and the output see it.
type value struct {
	form   string             // how it is written, for the help and the documentation
	bounds string             // further requirements; "" for none
	set    func(string) error // on error the field is unchanged
	text   func() string      // the text that set would read; redacted for a secret
	plain  func() any         // for JSON: a bool, a number or the text
	// compose turns a list, or keys and values, of a file into the text that set takes;
	// nil if there can only be one value.
	compose func(*yaml.Node) (string, error)
}

// bind makes a value of the field at p. parse reads it and format writes it.
func bind[T any](p *T, form string, parse func(string) (T, error), format func(T) string) value {
	return value{
		form: form,
		set: func(s string) error {
			v, err := parse(s)
			if err == nil {
				*p = v
			}
			return err
		},
		text: func() string { return format(*p) },
		plain: func() any {
			switch v := any(*p).(type) {
			case bool, int, int64:
				return v
			}
			return format(*p)
		},
	}
}

// same formats a value that is text.
func same[T ~string](s T) string { return string(s) }

func hostPort(p *string) value { return bind(p, "host:port", parseHostPort, same) }

func domain(p *amtp.Domain) value { return bind(p, "domain", parseDomain, same) }

func path(p *string) value { return bind(p, pathForm, parsePath, same) }

func secret(p *Secret) value { return bind(p, secretForm, parseSecret, Secret.String) }

func toggle(p *Switch) value { return bind(p, "auto|true|false", parseSwitch, same) }

func boolean(p *bool) value { return bind(p, booleanForm, parseBool, strconv.FormatBool) }

func duration(p *time.Duration) value {
	v := bind(p, "duration", parseDuration, formatDuration)
	v.bounds = "longer than 0s"
	return v
}

func size(p *int64, lowest, highest int64) value { return sizeBecause(p, lowest, highest, "") }

// sizeBecause binds a size with an upper bound whose reason is not obvious.
func sizeBecause(p *int64, lowest, highest int64, reason string) value {
	parse := func(s string) (int64, error) {
		n, err := parseSize(s)
		if err == nil && (n < lowest || n > highest) {
			err = fmt.Errorf("%s is not between %s and %s", brief(s), formatSize(lowest), formatSize(highest))
			if n > highest && reason != "" {
				err = fmt.Errorf("%w: %s", err, reason)
			}
		}
		return n, err
	}
	v := bind(p, "size", parse, formatSize)
	v.bounds = formatSize(lowest) + " to " + formatSize(highest)
	return v
}

func count(p *int) value {
	v := bind(p, "number", parseCount, strconv.Itoa)
	v.bounds = fmt.Sprintf("1 to %d", maxCount)
	return v
}

// option is one word of a choice and its meaning.
type option[T comparable] struct {
	word string
	is   T
}

// choice binds a field that takes one of a few words, in any case.
func choice[T comparable](p *T, options ...option[T]) value {
	words := make([]string, len(options))
	for i, o := range options {
		words[i] = o.word
	}
	parse := func(s string) (T, error) {
		for _, o := range options {
			if strings.EqualFold(o.word, s) {
				return o.is, nil
			}
		}
		return *new(T), fmt.Errorf("%s is not one of: %s", brief(s), strings.Join(words, ", "))
	}
	format := func(v T) string {
		for _, o := range options {
			if o.is == v {
				return o.word
			}
		}
		return ""
	}
	return bind(p, strings.Join(words, "|"), parse, format)
}
