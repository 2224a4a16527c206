package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCheckVersion(t *testing.T) {
	for version, good := range map[string]bool{
		"v0.1.0": true, "v1.20.3": true, "v1.0.0-rc.1": true,
		"": false, "0.1.0": false, "v0.1": false, "v01.0.0": false, "v0.1.0-rc1": false, "dev": false,
		"v0.1.0-3-g48598a9": false, "v0.1.0-dirty": false, "v1.0.0; rm -r /": false, "v1.0.0\n": false,
	} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("checkVersion(%q) = %v, want good %v", version, err, good)
		}
	}
}

// TestArchivesAreReproducible: the same content gives the same archive, whatever the
// files' own times and modes are. Only the program is executable.
func TestArchivesAreReproducible(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC)
	for name, pack := range map[string]func(archive, below, dir string, files []string, at time.Time) error{
		"x.tar.gz": tarFiles, "x.zip": zipFiles,
	} {
		var archives [2][]byte
		for i := range archives {
			dir := t.TempDir()
			for file, content := range map[string]string{"amtp": "program", "README.md": "text"} {
				write(t, filepath.Join(dir, file), content, os.FileMode(0o600+i*0o155))
				changed := at.AddDate(i, 0, 0)
				if err := os.Chtimes(filepath.Join(dir, file), changed, changed); err != nil {
					t.Fatal(err)
				}
			}
			if err := pack(filepath.Join(dir, name), "amtp-v1", dir, []string{"amtp", "README.md"}, at); err != nil {
				t.Fatal(err)
			}
			archives[i] = read(t, filepath.Join(dir, name))
		}
		if !bytes.Equal(archives[0], archives[1]) {
			t.Errorf("%s differs between two runs", name)
		}
		want := []string{"amtp-v1/amtp -rwxr-xr-x program", "amtp-v1/README.md -rw-r--r-- text"}
		if got := unpack(t, name, archives[0]); !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
}

// unpack lists what an archive holds.
func unpack(t *testing.T, name string, archive []byte) (list []string) {
	t.Helper()
	if strings.HasSuffix(name, ".zip") {
		z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, f.Name+" "+f.Mode().String()+" "+all(t, r))
		}
		return list
	}
	packed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Name+" "+h.FileInfo().Mode().String()+" "+all(t, r))
	}
}

// TestStagedFilesAreReproducible: a package sets the modes and times of its files,
// because those of a clone depend on its owner's umask.
func TestStagedFilesAreReproducible(t *testing.T) {
	dir, at := t.TempDir(), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	want := map[string]os.FileMode{"amtp": 0o755, "amtp.service": 0o644, "LICENSE": 0o644}
	for name := range want {
		write(t, filepath.Join(dir, name), "x", 0o600)
	}
	if err := settle(dir, slices.Collect(maps.Keys(want)), at); err != nil {
		t.Fatal(err)
	}
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode || !info.ModTime().Equal(at) {
			t.Errorf("%s is %v of %v, want %v of %v", name, info.Mode(), info.ModTime(), mode, at)
		}
	}
}

func TestSums(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b"), "", 0o600)
	write(t, filepath.Join(dir, "a"), "abc", 0o600)
	if err := sums(dir); err != nil {
		t.Fatal(err)
	}
	want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n" +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
	if got := string(read(t, filepath.Join(dir, "SHA256SUMS"))); got != want {
		t.Errorf("SHA256SUMS is\n%swant\n%s", got, want)
	}
}

func TestManual(t *testing.T) {
	help := `{"command":"amtp","summary":"Messages","help":"First.\n.Second's \\n","examples":"  amtp send -",
		"commands":[{"command":"amtp agent","usage":"amtp agent","commands":[
			{"usage":"amtp agent list","help":"List.","examples":"  amtp agent list","flags":[{"name":"--json","meaning":"print JSON"}]}]}]}`
	page, err := manual([]byte(help), "v1.2.3", "2026-11-22")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".TH AMTP 1 2026-11-22 \"amtp v1.2.3\"", "amtp \\- Messages\n",
		"\nFirst.\n\\&.Second\\(aqs \\en\n", "\n  amtp send \\-\n",
		".SS amtp agent list\n", ".TP\n.B \\-\\-json\nprint JSON\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(string(page), ".SS amtp agent\n") {
		t.Errorf("a command that only holds others has a section:\n%s", page)
	}
}

func TestWithoutLicence(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "NOTICE"), "made by", 0o600)
	if err := addTexts(new(bytes.Buffer), "example.com/m v1.0.0", dir); err == nil {
		t.Error("a module without a licence may be released")
	}
	write(t, filepath.Join(dir, "LICENSE.txt"), "do as you like", 0o600)
	var b bytes.Buffer
	if err := addTexts(&b, "example.com/m v1.0.0", dir); err != nil {
		t.Fatal(err)
	}
	want := "==== example.com/m v1.0.0: LICENSE.txt ====\n\ndo as you like\n\n==== example.com/m v1.0.0: NOTICE ====\n\nmade by\n\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// TestPackageIsComplete compares the files that the Debian package lists with the
// staged files.
func TestPackageIsComplete(t *testing.T) {
	config := string(read(t, "../../packaging/nfpm.yaml"))
	for _, m := range regexp.MustCompile(`\$\{STAGE\}/([^"]+)"`).FindAllStringSubmatch(config, -1) {
		if !slices.Contains(staged, m[1]) {
			t.Errorf("the package lists %s, which is not staged", m[1])
		}
	}
	for _, name := range staged {
		if !strings.Contains(config, "${STAGE}/"+name+`"`) {
			t.Errorf("%s is staged, and not in the package", name)
		}
	}
	for _, name := range copied {
		read(t, filepath.Join("../..", name))
	}
	for _, m := range regexp.MustCompile(`: (packaging/\w+)`).FindAllStringSubmatch(config, -1) {
		read(t, filepath.Join("../..", m[1]))
	}
}

// TestActionsArePinned: workflows name the actions that they run by their commits,
// which cannot be moved.
func TestActionsArePinned(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	pinned := regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range files {
		for _, m := range regexp.MustCompile(`uses: (.*)`).FindAllStringSubmatch(string(read(t, file)), -1) {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s uses %s, which is not pinned to a commit with its version after it", file, m[1])
			}
		}
	}
}

func write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func all(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
