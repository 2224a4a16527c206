package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ConfigFile is the configuration of the gateway in a directory.
const ConfigFile = "amtp.yaml"

// own are the files that a gateway, and the commands about it, keep in a data directory.
// Files whose names begin like those of the database's other files count as well.
var own = []string{
	DatabaseFile, lockFile, AdminKeyFile, SealKeyFile, GatewayFile, MovedFile, ConfigFile,
	"amtp.reserve", "backup.json", "gateway.crt", "gateway.key",
}

// ErrOwn means that a command would overwrite a file of a data directory.
var ErrOwn = errors.New("a file of a gateway's data directory")

// Foreign refuses the name of a file that a gateway keeps in its data directory,
// whether the file exists or not, and through any links. Another program's output there
// would destroy the gateway's data, or would be read as such.
func Foreign(name string) error {
	for _, place := range places(name) {
		dir := filepath.Dir(place)
		if isDataDir(dir) && isOwn(place) {
			return fmt.Errorf("%s is %w, %s: name another file", name, ErrOwn, dir)
		}
	}
	return nil
}

// places returns the places of a name: its own, and the one to which a link of that
// name leads.
func places(name string) (list []string) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		list = append(list, filepath.Join(dir, filepath.Base(abs)))
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		list = append(list, target)
	} else if to, err := os.Readlink(abs); err == nil { // a link to a file that does not exist
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(abs), to)
		}
		list = append(list, to)
	}
	return list
}

// isDataDir reports whether a gateway keeps its data in the directory, or did.
func isDataDir(dir string) bool {
	return slices.ContainsFunc([]string{lockFile, DatabaseFile, MovedFile}, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	})
}

// isOwn reports whether a file in a data directory is one of the gateway's: by its name, in
// any case of letters, or because it is the same file.
func isOwn(name string) bool {
	base := strings.ToLower(filepath.Base(name))
	if slices.Contains(own, base) || strings.HasPrefix(base, DatabaseFile+"-") {
		return true
	}
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(of string) bool {
		its, err := os.Stat(filepath.Join(filepath.Dir(name), of))
		return err == nil && os.SameFile(info, its)
	})
}

// Holds reports whether the file is one that a gateway keeps in dir, under any name.
func Holds(dir string, file os.FileInfo) bool {
	if dir == "" || !isDataDir(dir) {
		return false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		name := filepath.Join(dir, e.Name())
		its, err := os.Stat(name)
		return err == nil && os.SameFile(its, file) && isOwn(name)
	})
}
