// Package datadir says where a gateway keeps its data when no setting names a place, and
// lets a command on the same machine find the gateway that runs there.
//
// The promise: the administrator's key in the directory is handed out for one address only,
// the loopback address that the running gateway wrote next to it.
package datadir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// The names of the files in the directory that commands read.
const (
	AdminKeyFile = "admin.key"    // the key, one line; mode 0600
	SealKeyFile  = "seal.key"     // the key that seals the secrets in the store, 32 bytes; mode 0600
	GatewayFile  = "gateway.json" // where the gateway listens; [Record] writes it
)

// Running is the content of GatewayFile: a gateway that was started here.
type Running struct {
	URL    string `json:"url"` // http://127.0.0.1:8080
	PID    int    `json:"pid"`
	Domain string `json:"domain,omitempty"` // the domain that the gateway serves
	// Certificate is the certificate, in PEM form, by which a gateway with TLS proves
	// itself to callers of URL.
	Certificate string `json:"certificate,omitempty"`
}

// Default returns the data directory: AMTP_DATA_DIR, else the place that the
// operating system has for a user's data.
func Default(getenv func(string) string) (string, error) {
	if dir := getenv("AMTP_DATA_DIR"); dir != "" {
		return dir, nil
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "amtp"), nil
	}
	if runtime.GOOS == "windows" {
		if dir := getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, "amtp"), nil
		}
		return "", errors.New("there is no place for the data: set AMTP_DATA_DIR")
	}
	home := getenv("HOME")
	switch {
	case home == "":
		return "", errors.New("there is no place for the data: set AMTP_DATA_DIR or HOME")
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Application Support", "amtp"), nil
	}
	return filepath.Join(home, ".local", "share", "amtp"), nil
}

// Record notes in dir where the gateway listens. A command that reads the note meanwhile finds
// it whole, or none.
func Record(dir string, r Running) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return managedfile.Replace(filepath.Join(dir, GatewayFile), append(b, '\n'))
}

// Recorded reports whether the note in dir is of the process that r names. The URL in it
// may be another: that of a proxy in front of the gateway.
func Recorded(dir string, r Running) bool {
	var noted Running
	b, err := os.ReadFile(filepath.Join(dir, GatewayFile))
	return err == nil && json.Unmarshal(b, &noted) == nil && noted.PID == r.PID
}

// Forget removes the note with which a gateway recorded r. The note of another gateway
// stays.
func Forget(dir string, r Running) error {
	if !Recorded(dir, r) {
		return nil
	}
	err := os.Remove(filepath.Join(dir, GatewayFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// AdminKey returns the administrator's key of the gateway at base. It does so only if base
// is a loopback address and the one that is recorded in dir, and a gateway still has its
// claim on dir: after a crash the record stays, and any program may listen at the address.
// All files in dir must belong to one user, and no other user may be able to write them.
func AdminKey(dir, base string) (string, bool) {
	// The record is read only after a claim was seen. Acquire removes a record from
	// before it.
	here, claimed := Holder(dir)
	if _, one := Owner(dir); !one || !claimed || !loopback.IsURL(base) || !sameURL(here.URL, base) {
		return "", false
	}
	key := WrittenAdminKey(dir)
	return key, key != ""
}

// WrittenAdminKey returns the administrator's key that is in dir, without the conditions of
// [AdminKey]; "" for none.
func WrittenAdminKey(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, AdminKeyFile))
	if err != nil {
		return ""
	}
	return plaintext.Word(string(plaintext.Content(b)))
}

// Certificate returns the certificate by which the gateway at base proves itself
// on this machine, under the conditions of AdminKey.
func Certificate(dir, base string) (pem string, ok bool) {
	here, claimed := Holder(dir)
	if _, one := Owner(dir); !one || !claimed || !loopback.IsURL(base) || !sameURL(here.URL, base) {
		return "", false
	}
	return here.Certificate, here.Certificate != ""
}

// Runs returns the user who runs the gateway at base, if dir is its data directory, under
// the conditions of [AdminKey].
func Runs(dir, base string) (uid int, ok bool) {
	uid, one := Owner(dir)
	here, claimed := Holder(dir)
	return uid, one && claimed && loopback.IsURL(base) && sameURL(here.URL, base)
}

func sameURL(a, b string) bool {
	return strings.TrimRight(a, "/") == strings.TrimRight(b, "/")
}
