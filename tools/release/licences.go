package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// licences returns the licence texts that must be shipped with the program: Go's own and
// those of every module that is linked into it on any of the targets.
func licences() ([]byte, error) {
	root, err := output("go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	linked := map[string]string{"Go": root} // name and directory
	for _, t := range targets {
		if err := addModules(linked, t); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	for _, what := range slices.Sorted(maps.Keys(linked)) {
		if err := addTexts(&b, what, linked[what]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func addModules(linked map[string]string, t target) error {
	cmd := exec.Command("go", "list", "-deps",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/amtp")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+t.os, "GOARCH="+t.arch)
	list, err := outputOf(cmd)
	if err != nil {
		return err
	}
	for _, line := range strings.Split(list, "\n") {
		if what, where, ok := strings.Cut(line, "\t"); ok {
			linked[what] = where
		}
	}
	return nil
}

// addTexts appends the licence and the notices in dir. A module without a licence must not
// be released.
func addTexts(b *bytes.Buffer, what, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	licensed := false
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		isLicence := strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING")
		if e.IsDir() || !isLicence && !strings.HasPrefix(name, "NOTICE") && !strings.HasPrefix(name, "PATENTS") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		licensed = licensed || isLicence
		fmt.Fprintf(b, "==== %s: %s ====\n\n%s\n\n", what, e.Name(), bytes.TrimSpace(text))
	}
	if !licensed {
		return fmt.Errorf("%s has no licence in %s", what, dir)
	}
	return nil
}
