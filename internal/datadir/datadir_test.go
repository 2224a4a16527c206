package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/filelock"
)

func TestDefaultPrefersWhatWasNamed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the last case is the directory of Linux")
	}
	tests := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"AMTP_DATA_DIR": "/d", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/d"},
		{map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/amtp"},
		{map[string]string{"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/amtp"},
		{map[string]string{"HOME": "/h"}, "/h/.local/share/amtp"},
	}
	for _, tt := range tests {
		got, err := Default(func(name string) string { return tt.env[name] })
		if err != nil || got != tt.want {
			t.Errorf("Default(%v) = %q, %v; want %q", tt.env, got, err, tt.want)
		}
	}
	if got, err := Default(func(string) string { return "" }); err == nil {
		t.Errorf("Default without an environment = %q, want an error", got)
	}
}

func TestAdminKeyGoesToTheRecordedLoopbackAddressOnly(t *testing.T) {
	dir := t.TempDir()
	claim(t, dir)
	write(t, dir, AdminKeyFile, "secret\n")
	if _, ok := AdminKey(dir, "http://127.0.0.1:8080"); ok {
		t.Error("a key was given although no gateway is recorded")
	}
	tests := []struct {
		recorded, base string
		want           bool
	}{
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/", true},
		{"http://[::1]:8080", "http://[::1]:8080", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8081", false},
		{"http://127.0.0.1:8080", "http://localhost:8080", false},
		{"http://127.0.0.1:8080", "https://127.0.0.1:8080", false},
		{"https://mail.example", "https://mail.example", false},
		{"http://192.0.2.1:8080", "http://192.0.2.1:8080", false},
		{"http://127.0.0.1.example:80", "http://127.0.0.1.example:80", false},
	}
	for _, tt := range tests {
		if err := Record(dir, Running{URL: tt.recorded, PID: 1}); err != nil {
			t.Fatal(err)
		}
		key, ok := AdminKey(dir, tt.base)
		if ok != tt.want || ok && key != "secret" {
			t.Errorf("AdminKey for %s, recorded %s = %q, %v; want %v", tt.base, tt.recorded, key, ok, tt.want)
		}
	}
}

// TestCertificateIsThatOfTheRecordedAddress: while the gateway runs, a certificate that
// no authority signed is valid for the address recorded with it.
func TestCertificateIsThatOfTheRecordedAddress(t *testing.T) {
	dir := t.TempDir()
	release := claim(t, dir)
	for _, tt := range []struct {
		recorded, certificate, base string
		want                        bool
	}{
		{"https://127.0.0.1:8443", "PEM", "https://127.0.0.1:8443", true},
		{"https://127.0.0.1:8443", "PEM", "https://127.0.0.1:9443", false},
		{"https://127.0.0.1:8443", "PEM", "https://amtp.shop.example:8443", false},
		{"https://amtp.shop.example", "PEM", "https://amtp.shop.example", false},
		{"http://127.0.0.1:8080", "", "http://127.0.0.1:8080", false},
	} {
		if err := Record(dir, Running{URL: tt.recorded, Certificate: tt.certificate}); err != nil {
			t.Fatal(err)
		}
		if got, ok := Certificate(dir, tt.base); ok != tt.want || ok && got != tt.certificate {
			t.Errorf("Certificate for %s, recorded %s = %q, %v; want %v", tt.base, tt.recorded, got, ok, tt.want)
		}
	}
	if err := Record(dir, Running{URL: "https://127.0.0.1:8443", Certificate: "PEM"}); err != nil {
		t.Fatal(err)
	}
	release()
	if got, ok := Certificate(dir, "https://127.0.0.1:8443"); ok {
		t.Errorf("Certificate after the gateway ended = %q, want none", got)
	}
}

func TestAdminKeyNeedsAKey(t *testing.T) {
	dir := t.TempDir()
	claim(t, dir)
	if err := Record(dir, Running{URL: "http://127.0.0.1:8080"}); err != nil {
		t.Fatal(err)
	}
	if key, ok := AdminKey(dir, "http://127.0.0.1:8080"); ok {
		t.Errorf("AdminKey without a file = %q", key)
	}
	write(t, dir, AdminKeyFile, "\n")
	if key, ok := AdminKey(dir, "http://127.0.0.1:8080"); ok {
		t.Errorf("AdminKey with an empty file = %q", key)
	}
}

// TestAdminKeyNeedsARunningGateway: the record of a killed gateway is no reason to send
// its key to a program that has its port now.
func TestAdminKeyNeedsARunningGateway(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, AdminKeyFile, "secret\n")
	release := claim(t, dir)
	if err := Record(dir, Running{URL: "http://127.0.0.1:8080"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := AdminKey(dir, "http://127.0.0.1:8080"); !ok {
		t.Fatal("no key although the gateway runs")
	}
	release()
	if key, ok := AdminKey(dir, "http://127.0.0.1:8080"); ok {
		t.Errorf("AdminKey after the gateway ended = %q, want none", key)
	}
}

// TestARecordOfACrashEndsWithTheNextClaim: between its claim and its own record a
// gateway migrates and recovers. The record of the last gateway is not its address.
func TestARecordOfACrashEndsWithTheNextClaim(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, AdminKeyFile, "secret\n")
	if err := Record(dir, Running{URL: "http://127.0.0.1:8080", PID: 1}); err != nil {
		t.Fatal(err)
	}
	claim(t, dir)
	if key, ok := AdminKey(dir, "http://127.0.0.1:8080"); ok {
		t.Errorf("AdminKey for the address of a crashed gateway = %q, want none", key)
	}
	if running, claimed := Holder(dir); !claimed || running != (Running{}) {
		t.Errorf("Holder = %+v, %v; want a claim without an address", running, claimed)
	}
}

// TestAskingDoesNotLookLikeAClaim: two commands may ask at the same time.
func TestAskingDoesNotLookLikeAClaim(t *testing.T) {
	dir := t.TempDir()
	claim(t, dir)() // makes the file
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := filelock.Shared(f); err != nil {
		t.Fatal(err)
	}
	if held(dir) {
		t.Error("held = true while another command asks, want false")
	}
	if _, err := Acquire(dir); err == nil {
		t.Error("a claim succeeded while a command asks, want it to wait and to give up")
	}
}

func TestAcquireNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	claim(t, dir)
	if err := Record(dir, Running{URL: "http://127.0.0.1:7", PID: 42}); err != nil {
		t.Fatal(err)
	}
	_, err := Acquire(dir)
	if err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:7 (process 42)") {
		t.Errorf("a second claim: got %v, want an error that names the holder", err)
	}
}

// claim holds the directory until the test or release ends.
func claim(t *testing.T, dir string) (release func()) {
	t.Helper()
	c, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAClaimIsOnAFile: deleting or replacing the lock file ends the claim, and its
// holder is told. A second process can then claim the directory, unless the database is
// locked.
func TestAClaimIsOnAFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows lets nobody delete or replace a file that is open")
	}
	for what, take := range map[string]func(name string) error{
		"deleted":  os.Remove,
		"replaced": func(name string) error { return os.Rename(name+".new", name) },
	} {
		dir := t.TempDir()
		first, err := Acquire(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Lost(); err != nil {
			t.Errorf("Lost = %v, want nothing", err)
		}
		write(t, dir, lockFile+".new", "")
		if err := take(filepath.Join(dir, lockFile)); err != nil {
			t.Fatal(err)
		}
		if err := first.Lost(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("Lost = %v, want that it was %s", err, what)
		}
		write(t, dir, DatabaseFile, "")
		f, err := os.OpenFile(filepath.Join(dir, DatabaseFile), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := filelock.Database(f); err != nil {
			t.Logf("this system has no lock for a database: %v", err)
		} else {
			if err := Record(dir, Running{URL: "http://127.0.0.1:7", PID: 42}); err != nil {
				t.Fatal(err)
			}
			if _, err := Acquire(dir); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:7 (process 42)") {
				t.Errorf("a claim while another process has the database = %v, want its name", err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		second, err := Acquire(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Lost(); err != nil {
			t.Errorf("Lost of the second = %v, want nothing", err)
		}
		if err := errors.Join(first.Release(), second.Release()); err != nil {
			t.Error(err)
		}
	}
}

// TestForgetTakesItsOwn: the note of another gateway stays.
func TestForgetTakesItsOwn(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := Running{URL: "http://127.0.0.1:1", PID: 1}, Running{URL: "http://127.0.0.1:1", PID: 2}
	if err := Record(dir, theirs); err != nil {
		t.Fatal(err)
	}
	if err := Forget(dir, ours); err != nil || !Recorded(dir, theirs) {
		t.Errorf("Forget of another's note = %v; it is there: %t, want it to stay", err, Recorded(dir, theirs))
	}
	if err := Forget(dir, theirs); err != nil || Recorded(dir, theirs) {
		t.Errorf("Forget = %v; it is there: %t, want it gone", err, Recorded(dir, theirs))
	}
	if err := Forget(dir, theirs); err != nil {
		t.Errorf("Forget again = %v", err)
	}
}
