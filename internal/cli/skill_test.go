package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSkillWithoutTheProgramOnPath: the command warns that an assistant would find the
// skill and not the program.
func TestSkillWithoutTheProgramOnPath(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	u := newUser(t)
	if got := u.run("skill", "install", "--claude"); got.exit != 0 ||
		!strings.HasPrefix(got.stderr, "An assistant looks for amtp on PATH, where it is not") {
		t.Errorf("without it: exit %d, %q", got.exit, got.stderr)
	}
	if err := os.WriteFile(filepath.Join(bin, "amtp"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := u.run("skill", "install", "--claude"); got.exit != 0 || got.stderr != "" {
		t.Errorf("with it: exit %d, %q", got.exit, got.stderr)
	}
}

func TestSkillWithoutAHome(t *testing.T) {
	u := newUser(t)
	u.env = nil
	for _, flag := range []string{"--claude", "--openclaw"} {
		if got := u.run("skill", "install", flag); got.exit != 2 ||
			!strings.HasPrefix(got.stderr, "Error: There is no home directory: set HOME, or give --dir DIR.\n") {
			t.Errorf("%s: %+v", flag, got)
		}
	}
	if got := u.run("skill", "install", "--dir", ""); got.exit != 2 {
		t.Errorf(`--dir "": %+v`, got)
	}
}
