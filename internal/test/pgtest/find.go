package pgtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// find returns the directory with initdb and postgres. It installs them where that is
// possible.
var find = sync.OnceValues(look)

func look() (string, error) {
	if bin := os.Getenv(Programs); bin != "" {
		if !has(bin) {
			return "", fmt.Errorf("%s: there are no initdb and postgres in %s", Programs, bin)
		}
		return bin, nil
	}
	if bin, ok := installed(); ok {
		return bin, nil
	}
	err := install()
	if bin, ok := installed(); ok {
		return bin, nil
	}
	return "", errors.Join(errors.New(`the tests need PostgreSQL 14 or newer and found none; install it and try again:
  Debian, Ubuntu:  sudo apt-get install postgresql
  macOS:           brew install postgresql
or name a server on which they may make databases:
  export `+Variable+`=postgres://user:password@host/postgres
or the directory of the programs of one:
  export `+Programs+`=/usr/lib/postgresql/18/bin`), err)
}

// installed looks in the directory that pg_config names, then in Debian's directories
// of major versions, of which it takes the highest, and on the path.
func installed() (string, bool) {
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		if bin := strings.TrimSpace(string(out)); has(bin) {
			return bin, true
		}
	}
	majors, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
	slices.SortFunc(majors, func(a, b string) int { return cmp.Compare(major(b), major(a)) })
	for _, bin := range majors {
		if has(bin) {
			return bin, true
		}
	}
	if name, err := exec.LookPath("initdb"); err == nil && has(filepath.Dir(name)) {
		return filepath.Dir(name), true
	}
	return "", false
}

func major(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // 0 for a name that is no number
	return n
}

// has reports whether a directory holds the server, and not only the client.
func has(bin string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(bin, program)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// install installs the server from Debian's packages. It prevents the cluster on the
// usual port that the package would make.
func install() error {
	apt, err := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || err != nil {
		return nil // the error of find is sufficient
	}
	const dir = "/etc/postgresql-common/createcluster.d"
	fmt.Fprintln(os.Stderr,
		"The tests need PostgreSQL. You are root, so it is installed now: apt-get install postgresql; and so that none starts by itself, written is "+
			dir+"/amtp-tests.conf")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "amtp-tests.conf"), []byte("create_main_cluster = false\n"),
		0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends",
		"postgresql"}} {
		cmd := exec.Command(apt, append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
