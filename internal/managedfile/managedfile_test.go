package managedfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/managedfile"
)

// place is a directory of somebody else with room for our file in sub.
type place struct {
	t   *testing.T
	dir string
}

func (p place) file(text string) managedfile.File {
	return managedfile.File{Path: filepath.Join(p.dir, "sub", "our.txt"), Content: []byte(text), Mode: 0o640, Open: "# "}
}

func (p place) put(text string) []managedfile.Step {
	p.t.Helper()
	steps, err := p.file(text).Put(false)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.short(steps)
}

func (p place) take(text string) []managedfile.Step {
	p.t.Helper()
	steps, err := p.file(text).Take(false, true)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.short(steps)
}

// short makes paths relative to the place.
func (p place) short(steps []managedfile.Step) []managedfile.Step {
	short := []managedfile.Step{}
	for _, s := range steps {
		s.Path, s.To = strings.TrimPrefix(s.Path, p.dir+"/"), strings.TrimPrefix(s.To, p.dir+"/")
		short = append(short, s)
	}
	return short
}

func (p place) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// has compares everything in the place: names to the beginning of contents,
// "/" for a directory.
func (p place) has(want map[string]string) {
	p.t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(p.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == p.dir {
			return err
		}
		short := strings.TrimPrefix(name, p.dir+"/")
		if got[short] = "/"; d.IsDir() {
			return nil
		}
		content, err := os.ReadFile(name)
		got[short], _, _ = strings.Cut(string(content), "\n")
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		p.t.Errorf("the place has %v\nwant %v", got, want)
	}
}

func (p place) did(got []managedfile.Step, want ...managedfile.Step) {
	p.t.Helper()
	if !reflect.DeepEqual(got, append([]managedfile.Step{}, want...)) {
		p.t.Errorf("did %+v\nwant %+v", got, want)
	}
}

const our, bak = "sub/our.txt", "sub/our.txt.bak"

func TestOursIsReplacedAndRemoved(t *testing.T) {
	p := place{t, t.TempDir()}
	p.did(p.put("one\n"), managedfile.Step{Do: managedfile.Write, Path: our})
	p.did(p.put("one\n"), managedfile.Step{Do: managedfile.Keep, Path: our})
	p.did(p.put("two\n"), managedfile.Step{Do: managedfile.Write, Path: our})
	p.has(map[string]string{"sub": "/", our: "two"})
	if info, err := os.Stat(filepath.Join(p.dir, our)); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", info.Mode(), err)
	}
	p.did(p.take("three\n"), managedfile.Step{Do: managedfile.Remove, Path: our}, managedfile.Step{Do: managedfile.Remove, Path: "sub"})
	p.has(map[string]string{})
	p.did(p.take("three\n"))
}

func TestACopyByHandIsOurs(t *testing.T) {
	p := place{t, t.TempDir()}
	p.put("one\n")
	p.write(our, "one\n")
	p.did(p.put("one\n"), managedfile.Step{Do: managedfile.Write, Path: our})
}

func TestWhatOthersWroteIsKept(t *testing.T) {
	for name, text := range map[string]string{
		"another file":         "theirs\n",
		"a forged hash":        "theirs\n# written by amtp, sha256 0000000000000000000000000000000000000000000000000000000000000000\n",
		"an empty file":        "",
		"a line behind it":     "", // see below
		"a change in the text": "",
	} {
		t.Run(name, func(t *testing.T) {
			p := place{t, t.TempDir()}
			p.put("one\n")
			sealed, err := os.ReadFile(filepath.Join(p.dir, our))
			if err != nil {
				t.Fatal(err)
			}
			switch name {
			case "a line behind it":
				text = string(sealed) + "theirs\n"
			case "a change in the text":
				text = "theirs\n" + string(sealed)
			}
			p.write(our, text)
			p.did(p.put("one\n"), managedfile.Step{Do: managedfile.Move, Path: our, To: bak},
				managedfile.Step{Do: managedfile.Write, Path: our})
			first, _, _ := strings.Cut(text, "\n")
			p.has(map[string]string{"sub": "/", our: "one", bak: first})

			p.write(our, "theirs again\n")
			p.did(p.take("one\n"), managedfile.Step{Do: managedfile.Move, Path: our, To: bak + ".1"})
			p.has(map[string]string{"sub": "/", bak: first, bak + ".1": "theirs again"})
		})
	}
}

func TestADirectoryWithOtherFilesStays(t *testing.T) {
	p := place{t, t.TempDir()}
	p.put("one\n")
	p.write("sub/theirs", "theirs")
	p.did(p.take("one\n"), managedfile.Step{Do: managedfile.Remove, Path: our})
	p.has(map[string]string{"sub": "/", "sub/theirs": "theirs"})
}

func TestDryChangesNothing(t *testing.T) {
	p := place{t, t.TempDir()}
	steps, err := p.file("one\n").Put(true)
	p.did(p.short(steps), managedfile.Step{Do: managedfile.Write, Path: our})
	if err != nil {
		t.Error(err)
	}
	p.has(map[string]string{})
	p.put("one\n")
	p.write(our, "theirs")
	steps, err = p.file("one\n").Put(true)
	p.did(p.short(steps), managedfile.Step{Do: managedfile.Move, Path: our, To: bak},
		managedfile.Step{Do: managedfile.Write, Path: our})
	if err != nil {
		t.Error(err)
	}
	steps, err = p.file("one\n").Take(true, true)
	p.did(p.short(steps), managedfile.Step{Do: managedfile.Move, Path: our, To: bak})
	if err != nil {
		t.Error(err)
	}
	p.has(map[string]string{"sub": "/", our: "theirs"})
}

func TestLinksAreRefused(t *testing.T) {
	for name, set := range map[string]func(p place, elsewhere string) error{
		"the file": func(p place, elsewhere string) error {
			return errors.Join(os.Mkdir(filepath.Join(p.dir, "sub"), 0o700),
				os.Symlink(filepath.Join(elsewhere, "theirs"), filepath.Join(p.dir, our)))
		},
		"a file that is not there": func(p place, elsewhere string) error {
			return errors.Join(os.Mkdir(filepath.Join(p.dir, "sub"), 0o700),
				os.Symlink(filepath.Join(elsewhere, "nothing"), filepath.Join(p.dir, our)))
		},
		"the directory": func(p place, elsewhere string) error {
			return os.Symlink(elsewhere, filepath.Join(p.dir, "sub"))
		},
		"a directory in place of the file": func(p place, _ string) error {
			return os.MkdirAll(filepath.Join(p.dir, our), 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, elsewhere := place{t, t.TempDir()}, place{t, t.TempDir()}
			elsewhere.write("theirs", "theirs")
			if err := set(p, elsewhere.dir); err != nil {
				t.Fatal(err)
			}
			for _, dry := range []bool{true, false} {
				if _, err := p.file("one\n").Put(dry); !errors.Is(err, managedfile.ErrLink) {
					t.Errorf("put: %v, want ErrLink", err)
				}
				if _, err := p.file("one\n").Take(dry, true); !errors.Is(err, managedfile.ErrLink) {
					t.Errorf("take: %v, want ErrLink", err)
				}
			}
			elsewhere.has(map[string]string{"theirs": "theirs"})
		})
	}
}
