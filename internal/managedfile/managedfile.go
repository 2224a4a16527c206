// Package managedfile puts files of ours into directories that belong to others: the skills
// of an assistant, the units of a service manager. [Replace] writes files in directories of
// our own.
//
// The promise: a file that we did not write is never lost. Each file that we put ends with
// a line that holds the hash of the text above it. Only a file with the right hash, which
// no one changed, is replaced or removed. Any other is kept under a name that ends in .bak.
// No symbolic link is followed, for the file or for its directory. A file appears whole,
// even across a crash: it is written to a temporary file, synced and renamed.
package managedfile

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// File is a file of ours.
type File struct {
	Path    string      // absolute
	Content []byte      // ends with a line break
	Mode    fs.FileMode // its permissions
	Open    string      // begins a comment in this kind of file: "# ", "<!-- "
	Close   string      // ends it: "", " -->"
}

// Step is one change, made or to be made.
type Step struct {
	Do   string `json:"do"` // see the constants
	Path string `json:"path"`
	To   string `json:"to,omitempty"` // of a move
}

// The values of Step.Do.
const (
	Write  = "write"
	Keep   = "keep" // it is as it should be already
	Move   = "move" // a file that is not ours gets another name
	Remove = "remove"
)

// maxSize is more than any file of ours has: a larger one is not ours and is
// not read.
const maxSize = 1 << 20

// ErrLink is wrapped by the error for a symbolic link, or for something else
// that is no plain file, where the file or its directory should be.
var ErrLink = errors.New("not a plain file in a plain directory")

// Put writes the file, and its directory if there is none. With dry it only returns the
// steps, and the error, that it would return.
func (f File) Put(dry bool) ([]Step, error) {
	found, err := f.look()
	if err != nil {
		return nil, err
	}
	if found.exists && bytes.Equal(found.content, f.sealed()) {
		return []Step{{Do: Keep, Path: f.Path}}, nil
	}
	steps := []Step{}
	if found.exists && !f.ours(found.content) {
		steps = append(steps, Step{Do: Move, Path: f.Path, To: f.free()})
	}
	steps = append(steps, Step{Do: Write, Path: f.Path})
	if dry {
		return steps, nil
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return nil, err
	}
	return steps, f.apply(steps)
}

// Take removes the file, and with withDir its directory if nothing else is in
// it. A file that is not there is no error. With dry as in [File.Put].
func (f File) Take(dry, withDir bool) ([]Step, error) {
	found, err := f.look()
	if err != nil || !found.exists {
		return []Step{}, err
	}
	steps := []Step{{Do: Move, Path: f.Path, To: f.free()}}
	if f.ours(found.content) {
		steps = []Step{{Do: Remove, Path: f.Path}}
		if withDir && found.alone {
			steps = append(steps, Step{Do: Remove, Path: filepath.Dir(f.Path)})
		}
	}
	if dry {
		return steps, nil
	}
	return steps, f.apply(steps)
}

// found is the file that is at the path already.
type found struct {
	exists  bool
	alone   bool // nothing else is in the directory
	content []byte
}

// look reads the existing file, and refuses links.
func (f File) look() (found, error) {
	dir := filepath.Dir(f.Path)
	if err := Plain(dir); err != nil {
		return found{}, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found{}, err
	}
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{}, nil
	case err != nil:
		return found{}, err
	case !info.Mode().IsRegular():
		return found{}, fmt.Errorf("%s is %s: %w", f.Path, kind(info), ErrLink)
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return found{}, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSize))
	return found{exists: true, alone: len(entries) == 1, content: content}, err
}

// Plain returns an error if dir is something other than a directory, such as a link to one.
func Plain(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is %s: %w", dir, kind(info), ErrLink)
	}
	return err
}

func kind(info fs.FileInfo) string {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.IsDir():
		return "a directory"
	}
	return "no plain file"
}

// apply makes the steps inside the directory that was checked. It opens that directory
// as a root, so that a link that appears meanwhile leads nowhere else.
func (f File) apply(steps []Step) error {
	dir := filepath.Dir(f.Path)
	seen, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if opened, err := root.Stat("."); err != nil || !os.SameFile(seen, opened) {
		return errors.Join(fmt.Errorf("%s changed meanwhile: %w", dir, ErrLink), err)
	}
	for _, s := range steps {
		name := filepath.Base(s.Path)
		switch {
		case s.Do == Move:
			err = root.Rename(name, filepath.Base(s.To))
		case s.Do == Write:
			err = f.write(root)
		case s.Path == dir:
			err = os.Remove(dir)
		default:
			err = root.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes the file appear whole.
func (f File) write(root *os.Root) error {
	name := filepath.Base(f.Path)
	temporary := "." + name + "." + rand.Text() + ".tmp"
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
	if err != nil {
		return err
	}
	_, err = file.Write(f.sealed())
	err = errors.Join(err, file.Chmod(f.Mode), file.Sync(), file.Close()) // whatever the umask says
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return nil
}

// free returns an unused name for a backup.
func (f File) free() string {
	name := f.Path + ".bak"
	for n := 1; ; n++ {
		if _, err := os.Lstat(name); err != nil {
			return name
		}
		name = f.Path + ".bak." + strconv.Itoa(n)
	}
}

const label = "written by amtp, sha256 "

// sealed returns the content with its hash below it.
func (f File) sealed() []byte {
	sum := sha256.Sum256(f.Content)
	return append(bytes.Clone(f.Content), f.Open+label+hex.EncodeToString(sum[:])+f.Close+"\n"...)
}

// ours reports whether the content is as we wrote it, now or in another release.
func (f File) ours(content []byte) bool {
	if bytes.Equal(content, f.Content) {
		return true // the same without a hash: a user copied it by hand
	}
	at := bytes.LastIndex(content, []byte("\n"+f.Open+label)) + 1
	if at == 0 {
		return false
	}
	written := File{Content: content[:at], Open: f.Open, Close: f.Close}
	return bytes.Equal(written.sealed(), content)
}
