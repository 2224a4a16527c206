package e2e

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver"
)

var (
	release = flag.String("release", "", "write the database of this release into the testdata of the store")
	program = flag.String("program", "", "with -release: the program that writes it, instead of this one")
)

const releases = "../internal/store/sqlite/testdata/releases"

// souvenir describes a database that a release wrote.
type souvenir struct {
	Program string            `json:"program"` // the output of amtp version
	Keys    map[string]string `json:"keys"`    // name → key
	Acked   string            `json:"acked"`   // the id of a message that bob acknowledged
	Read    string            `json:"read"`    // the id of one that bob read
	Unread  string            `json:"unread"`  // the id of one that bob did not read; sent under the key "once"
	Group   string            `json:"group"`   // the id of one to bob and carol
}

const numbers = `{"big":12345678901234567890,"n":1.50}`

// TestWriteRelease makes the database of a release, if the flag is given:
//
//	go test ./e2e -run TestWriteRelease -release v0.1.0
func TestWriteRelease(t *testing.T) {
	if *release == "" {
		t.Skip("nothing to write: -release was not given")
	}
	path := *program
	if path == "" {
		path = filepath.Join(build(t), "amtp")
	}
	writeRelease(t, path, filepath.Join(releases, *release))
}

// writeRelease makes a program write a database. It keeps the database and its
// description in files whose names begin with that name.
func writeRelease(t *testing.T, path, name string) {
	t.Helper()
	data := t.TempDir()
	s := server{mirror: mirror{t: t}}
	url, err := s.start(path, nil, data, "HOME="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(os.Kill) })
	bin := t.TempDir()
	if err := os.Symlink(path, filepath.Join(bin, "amtp")); err != nil {
		t.Fatal(err)
	}
	of := souvenir{Keys: map[string]string{}}
	people := map[string]*assistant{}
	for _, name := range []string{"alice", "bob", "carol"} {
		a := newAssistant(t, bin, url)
		a.mustType("amtp setup --name " + name + " --description 'I am " + name + "'")
		text := a.mustType(`cat "$HOME/.amtp-config.json"`)
		var saved struct{ APIKey string }
		if err := json.Unmarshal([]byte(text), &saved); err != nil {
			t.Fatal(err)
		}
		people[name], of.Keys[name] = a, saved.APIKey
	}
	alice, bob := people["alice"], people["bob"]
	send := func(args string) string { return sentID.FindStringSubmatch(alice.mustType("amtp send " + args))[1] }
	of.Program = strings.TrimSpace(alice.mustType("amtp version"))
	of.Acked = send("--to bob@localhost --subject First --text 'acknowledged'")
	of.Read = send("--to bob@localhost --subject Second --text 'read'")
	of.Unread = send("--to bob@localhost --subject Third --text 'unread, ü' --idempotency-key once")
	of.Group = send("--to bob@localhost --to carol@localhost --subject Fourth --payload '" + numbers + "'")
	bob.mustType("amtp ack " + of.Acked + " && amtp read " + of.Read)
	if err := s.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	keepRelease(t, name, filepath.Join(data, "amtp.db"), of)
}

// keepRelease writes the database and its description.
func keepRelease(t *testing.T, name, database string, of souvenir) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(database)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(name + ".db.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, from); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	doc, err := json.MarshalIndent(of, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".json", append(doc, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack makes a data directory from the database of a release. None of its data is
// ever old enough to be purged.
func unpack(t *testing.T, name string) (dir string) {
	t.Helper()
	from, err := os.Open(name + ".db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	z, err := gzip.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "amtp.db"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := "retention:\n"
	for _, kept := range []string{"acknowledged", "unacknowledged", "sent", "failed", "idempotency", "status"} {
		settings += "  " + kept + ": 36500d\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "amtp.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eachRelease lists the kept databases, by the beginning of their files' names, and one
// that this program writes.
func eachRelease(t *testing.T, bin string) map[string]souvenir {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(releases, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	this := filepath.Join(t.TempDir(), "this")
	writeRelease(t, filepath.Join(bin, "amtp"), this)
	all := map[string]souvenir{}
	for _, file := range append(files, this+".json") {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var of souvenir
		if err := json.Unmarshal(doc, &of); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(file, ".json")] = of
	}
	return all
}

// TestReleases starts this program on the database of each release, and on one of its
// own. With the keys of that time, every agent finds its messages, and can go on.
func TestReleases(t *testing.T) {
	bin := build(t)
	for name, of := range eachRelease(t, bin) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			dir := unpack(t, name)
			s := server{mirror: mirror{t: t}}
			url, err := s.start(filepath.Join(bin, "amtp"), nil, dir, "HOME="+t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.end(os.Kill) })
			as := func(name string) *assistant {
				a := newAssistant(t, bin, url)
				a.environ = append(a.environ, "AMTP_API_KEY="+of.Keys[name], "AMTP_AGENT_NAME="+name,
					"AMTP_DATA_DIR="+dir)
				return a
			}
			alice, bob, carol := as("alice"), as("bob"), as("carol")
			shows := func(a *assistant, command, pattern string) {
				t.Helper()
				if out := a.mustType(command); !regexp.MustCompile(pattern).MatchString(out) {
					t.Errorf("%s shows\n%s\nwant %s", command, out, pattern)
				}
			}
			shows(bob, "amtp inbox", `(?s)\(3 messages, \d unread\).*`+of.Read+`.*`+of.Unread+`.*unread, ü.*`+of.Group)
			shows(bob, "amtp inbox --unread", `(?s)\(2 messages, 2 unread\).*`+of.Unread+`.*`+of.Group)
			shows(carol, "amtp inbox", regexp.QuoteMeta(numbers))
			shows(alice, "amtp status "+of.Acked, `bob@localhost: delivered \(pull\) \[ACK\]`)
			shows(alice, "amtp sent", `\(4 messages\)`)
			shows(alice, "amtp discover", `Discovered 3 agents`)
			shows(alice, "amtp send --to bob@localhost --subject Third --text 'unread, ü' --idempotency-key once",
				`ID: +`+of.Unread)
			shows(bob, "amtp ack "+of.Unread, "acknowledged")
			shows(alice, "amtp send --to bob@localhost --subject Fifth --text new", "delivered")
			shows(bob, "amtp inbox", `(?s)\(3 messages, \d unread\).*Second.*Fourth.*Fifth`)
			shows(alice, "amtp check", "All in order")
			if err := s.end(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestANewerSchemaIsRefused is a downgrade. The program says that it does not open a
// database that a newer one wrote, and how to go on. It changes nothing.
func TestANewerSchemaIsRefused(t *testing.T) {
	bin := build(t)
	for name := range eachRelease(t, bin) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			dir := unpack(t, name)
			database := filepath.Join(dir, "amtp.db")
			db, err := sql.Open("sqlite3", "file:"+database)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(context.Background(),
				`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(database)
			if err != nil {
				t.Fatal(err)
			}
			a := newAssistant(t, bin, "")
			a.environ = append(a.environ, "AMTP_DATA_DIR="+dir)
			out, exit := a.types("amtp serve --address 127.0.0.1:0 2>&1")
			if want := "schema 9999 and this release knows "; exit != 1 || !strings.Contains(out, want) ||
				!strings.Contains(out, "run that one, or restore a backup made before the upgrade") {
				t.Errorf("exit %d\n%s\nwant %q, and what to do", exit, out, want)
			}
			if out, exit := a.types("amtp check"); exit != 1 ||
				!strings.Contains(out, "use the release that wrote it, or a newer one") {
				t.Errorf("amtp check: exit %d\n%s", exit, out)
			}
			after, err := os.ReadFile(database)
			if err != nil || string(after) != string(before) {
				t.Errorf("the database was changed (%v)", err)
			}
		})
	}
}
