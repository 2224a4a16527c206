package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/datadir"
)

// on runs a command as on another operating system, where the program is at
// the given place.
func (u *user) on(goos, program string, args ...string) outcome {
	u.t.Helper()
	var stdout, stderr strings.Builder
	p := newProgram(strings.NewReader(""), &stdout, &stderr, u.env)
	p.goos, p.executable = goos, func() (string, error) { return program, nil }
	exit := p.run(u.t.Context(), args)
	return outcome{stdout.String(), stderr.String(), exit}
}

// mac is a Mac on which a script plays launchctl. It records its calls, and reports the
// process that runs the test.
func mac(t *testing.T) (u *user, program string, calls func() []string) {
	u = newUser(t)
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	script := `#!/bin/sh
echo "$@" >>"` + log + `"
case $1 in
bootstrap) : >"` + log + `.loaded" ;;
bootout) rm "` + log + `.loaded" 2>/dev/null || { echo "Boot-out failed: 3: No such process" >&2; exit 3; } ;;
print)
	case $2 in */amtp.gateway) [ -f "` + log + `.loaded" ] || { echo "Could not find service" >&2; exit 113; } ;; esac
	printf 'gui/501/amtp.gateway = {\n\tactive count = 1\n\tstate = running\n\n\tpid = ` + fmt.Sprint(os.Getpid()) + `\n\tsubsystem = {\n\t\tstate = other\n\t}\n}\n' ;;
esac
`
	for name, text := range map[string]string{"launchctl": script, "amtp": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	u.env = append(u.env, "PATH="+os.Getenv("PATH"))
	program, err := filepath.EvalSymlinks(filepath.Join(bin, "amtp"))
	if err != nil {
		t.Fatal(err)
	}
	return u, program, func() []string {
		content, err := os.ReadFile(log)
		if err != nil {
			return nil
		}
		os.Remove(log)
		return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(content), fmt.Sprintf("gui/%d", os.Getuid()),
			"gui/UID")), "\n")
	}
}

// listen makes the test's process the gateway of the user's data directory.
func (u *user) listen(url string) {
	u.t.Helper()
	dir := filepath.Join(u.home, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		u.t.Fatal(err)
	}
	claim, err := datadir.Acquire(dir)
	if err == nil {
		err = datadir.Record(dir, datadir.Running{URL: url, PID: os.Getpid()})
	}
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { claim.Release() })
}

func TestServiceOnMacOS(t *testing.T) {
	u, program, calls := mac(t)
	u.listen("http://127.0.0.1:9")
	file := filepath.Join(u.home, "Library", "LaunchAgents", "amtp.gateway.plist")

	got := u.on("darwin", program, "service", "status")
	u.expect(nil, got, 4, "Not installed: launchd knows no amtp.gateway.\n", "Install it: amtp service install\n")
	got = u.on("darwin", program, "service", "install", "--dry-run")
	if got.exit != 0 || !strings.Contains(got.stdout, "<string>"+program+"</string>") ||
		exists(filepath.Join(u.home, "Library")) {
		t.Errorf("install --dry-run: %+v", got)
	}
	calls()
	got = u.on("darwin", program, "service", "install")
	u.expect(nil, got, 0, "Written: "+file+
		"\nThe gateway runs at http://127.0.0.1:9 and starts by itself from now on.\n",
		"It runs while you are logged in. The log is $HOME/Library/Logs/amtp/amtp.log.\n")
	want := []string{"print gui/UID", "bootout gui/UID/amtp.gateway", "print gui/UID/amtp.gateway",
		"enable gui/UID/amtp.gateway", "bootstrap gui/UID " + file, "print gui/UID/amtp.gateway"}
	if c := calls(); !reflect.DeepEqual(c, want) {
		t.Errorf("launchctl was called\n%s\nwant\n%s", strings.Join(c, "\n"), strings.Join(want, "\n"))
	}
	got = u.on("darwin", program, "service", "status")
	u.expect(nil, got, 0, "amtp.gateway: running\n  Process: "+fmt.Sprint(os.Getpid())+
		"\n  Starts:  by itself\n  File:    "+file+"\n  Log:     amtp service logs\n", "")

	if err := os.WriteFile(filepath.Join(u.home, "Library", "Logs", "amtp", "amtp.log"),
		[]byte("one\ntwo\x1b[2J\nthree"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.expect(nil, u.on("darwin", program, "service", "logs", "--lines", "2"), 0, "two\\u001b[2J\nthree\n", "")
	u.expect(nil, u.on("darwin", program, "service", "logs", "--lines", "1", "--json"), 0, "{\"line\":\"three\"}\n", "")
	if err := os.Truncate(filepath.Join(u.home, "Library", "Logs", "amtp", "amtp.log"), 0); err != nil {
		t.Fatal(err)
	}
	u.expect(nil, u.on("darwin", program, "service", "logs"), 0, "",
		"There is no line of the service in the log. \"amtp service status\" says whether it is installed.\n")
	u.expect(nil, u.on("darwin", program, "service", "logs", "--lines", "0"), 0, "", "")

	calls()
	got = u.on("darwin", program, "service", "remove")
	u.expect(nil, got, 0, "Removed: "+file+
		"\nThe service is stopped. Messages, keys and settings are where they were.\n", "")
	if c := calls(); !reflect.DeepEqual(c, []string{"print gui/UID", "bootout gui/UID/amtp.gateway"}) {
		t.Errorf("launchctl was called %q", c)
	}
	if got := u.on("darwin", program, "service", "install", "--system"); got.exit != 2 ||
		!strings.Contains(got.stderr, "--system is for Linux") {
		t.Errorf("install --system: %+v", got)
	}
}

func TestServiceElsewhere(t *testing.T) {
	u := newUser(t)
	for _, args := range []string{"install", "status", "logs", "remove", "install --dry-run"} {
		got := u.on("windows", "/usr/bin/true", append([]string{"service"}, strings.Fields(args)...)...)
		u.expect(nil, got, 2, "",
			"Error: amtp knows the service managers of Linux and macOS, not that of windows.\n  Hint: let the system run \"amtp serve\"\n")
	}
}

func TestServiceForTheMachine(t *testing.T) {
	u := newUser(t)
	program, err := filepath.EvalSymlinks("/bin/sh") // a program outside of any home
	if err != nil {
		t.Fatal(err)
	}
	got := u.on("linux", program, "service", "install", "--system", "--dry-run", "--domain", "shop.example",
		"--tls-enabled", "false", "--config", "x.yaml")
	if got.exit != 2 || !strings.Contains(got.stderr, "x.yaml") {
		t.Errorf("with a file that is not there: %+v", got)
	}
	got = u.on("linux", program, "service", "install", "--system", "--dry-run", "--domain", "shop.example",
		"--tls-enabled", "false")
	for _, want := range []string{
		"Would write: /etc/systemd/system/amtp.service\n",
		"\nExecStart=" + program + " serve --domain=shop.example --tls-enabled=false\n",
		"\nEnvironment=AMTP_DATA_DIR=/var/lib/amtp\n", "\nDynamicUser=yes\n", "\nProtectSystem=strict\n",
		"\n  systemctl restart amtp.service\n",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("exit %d, no %q in\n%s%s", got.exit, want, got.stdout, got.stderr)
		}
	}
	if got := u.on("linux", program, "service", "install", "--system", "--data-dir", "/srv/amtp"); got.exit != 2 ||
		!strings.Contains(got.stderr, "With --system the data is in /var/lib/amtp") {
		t.Errorf("--data-dir: %+v", got)
	}
	if err := os.Mkdir(u.home+"/go-build1", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{u.home + "/amtp", u.home + "/go-build1/amtp"} {
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := u.on("linux", path, "service", "install", "--system", "--dry-run"); got.exit != 2 ||
			!strings.Contains(got.stderr, "put the program where it stays") {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := u.on("linux", u.home+"/go-build1/amtp", "service", "install", "--dry-run"); got.exit != 2 ||
		!strings.Contains(got.stderr, "is a temporary program") {
		t.Errorf("go run: %+v", got)
	}
}

// TestServiceArgsFindFiles: a relative path means another file to the service.
func TestServiceArgsFindFiles(t *testing.T) {
	u := newUser(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.WriteFile("amtp.yaml", []byte("logging:\n  level: debug\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := u.on("linux", "/bin/sh", "service", "install", "--dry-run", "--config", "amtp.yaml", "--data-dir", "data",
		"--auth-required")
	for _, want := range []string{" serve --auth-required=true --config=" + dir + "/amtp.yaml\n",
		"AMTP_DATA_DIR=" + dir + "/data\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %+v", want, got)
		}
	}
	if exists(filepath.Join(u.home, ".config")) {
		t.Error("--dry-run wrote something")
	}
}
