package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereAProjectFileIsLookedFor(t *testing.T) {
	home := t.TempDir()
	file := func(elements ...string) {
		t.Helper()
		dir := filepath.Join(append([]string{home}, elements...)...)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeProject(t, dir, `profile = "`+strings.Join(append([]string{"at"}, elements...), ".")+`"`)
	}
	file()
	file("repo")
	file("loose")
	for _, dir := range []string{"repo/.git", "repo/sub/sub", "bare/.git", "bare/sub", "loose/sub"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stranger := t.TempDir()
	if err := os.MkdirAll(filepath.Join(stranger, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeProject(t, stranger, `profile = "stranger"`)
	for _, tt := range []struct{ dir, want string }{
		{home, "at"},
		{filepath.Join(home, "loose", "sub"), "at.loose"},
		{filepath.Join(home, "repo", "sub", "sub"), "at.repo"},
		{filepath.Join(home, "bare", "sub"), ""}, // the repository ends it
		{stranger, "stranger"},                   // one's own choice of place
		{filepath.Join(stranger, "sub"), ""},     // above may be anybody's
		{filepath.Join(home, "repo", "sub"), "at.repo"},
	} {
		t.Chdir(tt.dir)
		g := Given{Getenv: func(string) string { return "" }, Home: home}
		if got, file, err := g.projectProfile(); err != nil || got != tt.want {
			t.Errorf("in %s: %q of %q, %v; want %q", tt.dir, got, file, err, tt.want)
		}
	}
}

func writeProject(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, ProjectFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
