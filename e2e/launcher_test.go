package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// launcherTools are the programs that the launcher uses.
var launcherTools = []string{"sh", "dirname", "readlink", "head", "grep", "find", "mkdir", "rm", "mv", "echo"}

// path makes a directory for PATH with only these programs.
func path(t *testing.T, tools ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range tools {
		found, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(found, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// write makes a file and the directories above it.
func write(t *testing.T, mode fs.FileMode, text string, elements ...string) string {
	t.Helper()
	name := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// clone makes a repository with the launcher and a program of a few lines.
func clone(t *testing.T, program string) string {
	t.Helper()
	launcher, err := os.ReadFile("../scripts/amtp")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	write(t, 0o755, string(launcher), root, "scripts", "amtp")
	write(t, 0o644, "module example\n\ngo 1.26\n", root, "go.mod")
	write(t, 0o644, program, root, "cmd", "amtp", "main.go")
	return root
}

const saysBuilt = `package main

import (
	"fmt"
	"os"
)

func main() { fmt.Printf("built %q\n", os.Args[1:]) }
`

// launch runs a launcher with the given PATH.
func launch(t *testing.T, launcher, path string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	cmd := exec.Command(launcher, args...)
	cache, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs := strings.Fields(string(cache))
	cmd.Env = []string{"PATH=" + path, "HOME=" + t.TempDir(), "GOCACHE=" + dirs[0], "GOMODCACHE=" + dirs[1],
		"GOFLAGS=-mod=mod -buildvcs=false"}
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestLauncherRunsTheInstalledProgram, also when launchers come before it on PATH. It
// never runs a program in the current directory.
func TestLauncherRunsTheInstalledProgram(t *testing.T) {
	one, other, installed := clone(t, saysBuilt), clone(t, saysBuilt), t.TempDir()
	write(t, 0o755, "#!/bin/sh\necho installed \"$@\"\nexit 7\n", installed, "amtp")
	tools := path(t, launcherTools...)
	onPath := strings.Join([]string{".", "", filepath.Join(one, "scripts"), filepath.Join(other, "scripts"), tools,
		installed}, ":")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(one, "scripts", "amtp"), link); err != nil {
		t.Fatal(err)
	}
	for _, launcher := range []string{filepath.Join(one, "scripts", "amtp"), link} {
		stdout, stderr, exit := launch(t, launcher, onPath, "send", "--text", "two  words * $HOME")
		if stdout != "installed send --text two  words * $HOME\n" || stderr != "" || exit != 7 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", launcher, exit, stdout, stderr)
		}
	}
}

// TestLauncherBuildsOnce, and again after the clone was updated. It uses the old
// program when Go is no longer there.
func TestLauncherBuildsOnce(t *testing.T) {
	root := clone(t, saysBuilt)
	launcher := filepath.Join(root, "scripts", "amtp")
	withGo, without := path(t, append(launcherTools, "go")...), path(t, launcherTools...)

	stdout, stderr, exit := launch(t, launcher, withGo, "a b", "c")
	if stdout != "built [\"a b\" \"c\"]\n" || !strings.HasPrefix(stderr, "Building amtp from "+root) || exit != 0 {
		t.Fatalf("first: exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	for _, path := range []string{withGo, without} {
		if stdout, stderr, exit := launch(t, launcher, path, "x"); stdout != "built [\"x\"]\n" ||
			stderr != "" || exit != 0 {
			t.Fatalf("built already: exit %d, stdout %q, stderr %q", exit, stdout, stderr)
		}
	}
	write(t, 0o644, strings.Replace(saysBuilt, "built", "built again", 1), root, "cmd", "amtp", "main.go")
	later(t, filepath.Join(root, "cmd", "amtp", "main.go"), filepath.Join(root, "bin", "amtp"))
	if stdout, stderr, exit := launch(t, launcher, without); stdout != "built []\n" ||
		!strings.Contains(stderr, "is older than its sources") || exit != 0 {
		t.Errorf("updated, without Go: exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	if stdout, _, exit := launch(t, launcher, withGo); stdout != "built again []\n" || exit != 0 {
		t.Errorf("updated: exit %d, stdout %q", exit, stdout)
	}
}

// later sets a file's modification time to after that of another file.
func later(t *testing.T, file, than string) {
	t.Helper()
	info, err := os.Stat(than)
	if err != nil {
		t.Fatal(err)
	}
	old := info.ModTime().Add(-10e9)
	if err := os.Chtimes(than, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// TestLauncherSaysHowToGetTheProgram where it can neither find nor build it.
func TestLauncherSaysHowToGetTheProgram(t *testing.T) {
	root, broken, alone := clone(t, saysBuilt), clone(t, "package main\n"), clone(t, saysBuilt)
	if err := os.Remove(filepath.Join(alone, "go.mod")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, root, path, reason string
	}{
		{"no Go", root, path(t, launcherTools...), "there is no Go on PATH to build it from " + root + "."},
		{"no sources", alone, path(t, append(launcherTools, "go")...), "its sources are not in " + alone + "."},
		{"broken sources", broken, path(t, append(launcherTools, "go")...), "building it from " + broken + " failed."},
	}
	for _, tt := range tests {
		stdout, stderr, exit := launch(t, filepath.Join(tt.root, "scripts", "amtp"), tt.path, "inbox")
		if stdout != "" || exit != 3 || !strings.Contains(stderr,
			"Error: amtp is not installed, and "+tt.reason+"\n  Hint: install Go 1.26 or newer") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", tt.name, exit, stdout, stderr)
		}
		if left, err := filepath.Glob(filepath.Join(tt.root, "bin", "*")); len(left) > 0 || err != nil {
			t.Errorf("%s: left %q, %v", tt.name, left, err)
		}
	}
}

// TestACloneIsASkill copies the repository into a directory of skills, as git would,
// and runs its launcher without an installed amtp.
func TestACloneIsASkill(t *testing.T) {
	root := filepath.Join(t.TempDir(), ".claude", "skills", "amtp")
	copyTree(t, "..", root)
	stdout, stderr, exit := launch(t, filepath.Join(root, "scripts", "amtp"), path(t, append(launcherTools, "go")...),
		"version", "--json")
	if exit != 0 || !strings.Contains(stdout, `"protocol":"1.0"`) {
		t.Fatalf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	if info, err := os.Stat(filepath.Join(root, "SKILL.md")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("SKILL.md: %v, %v; want a file", info, err)
	}
}

// copyTree copies the sources of the program.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || name != from && strings.HasPrefix(d.Name(), ".") ||
			name == filepath.Join(from, "bin")) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		write(t, info.Mode().Perm(), string(content), to, relative)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
