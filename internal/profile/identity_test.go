package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp"
)

// written returns the path of a config file with the content.
func written(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// environ is an environment of NAME=value words.
func environ(words ...string) func(string) string {
	return func(name string) string {
		for _, w := range words {
			if value, is := strings.CutPrefix(w, name+"="); is {
				return value
			}
		}
		return ""
	}
}

const twoProfiles = `{"gatewayUrl":"https://a.example","agentName":"a","apiKey":"key-of-a","adminKey":"admin-of-a",
"profiles":{"b":{"gatewayUrl":"https://b.example","agentName":"b","apiKey":"key-of-b"}}}`

// TestAKeyIsForOneGateway: a key goes to the gateway that it is saved for or given with, and
// to no other.
func TestAKeyIsForOneGateway(t *testing.T) {
	for _, tt := range []struct {
		what          string
		given         Given
		env           []string
		gateway       string
		key, adminKey string
	}{
		{"the file", Given{}, nil, "https://a.example", "key-of-a", "admin-of-a"},
		{"the file in another spelling", Given{Gateway: "HTTPS://A.example:443/"}, nil, "HTTPS://A.example:443/", "key-of-a",
			"admin-of-a"},
		{"another gateway", Given{Gateway: "https://c.example"}, nil, "https://c.example", "", ""},
		{"a profile", Given{Profile: "b"}, nil, "https://b.example", "key-of-b", ""},
		{"the environment", Given{}, []string{"AMTP_API_KEY=k"}, "https://a.example", "k", "admin-of-a"},
		{"the environment of another gateway", Given{},
			[]string{"AMTP_API_KEY=k", "AMTP_GATEWAY_URL=https://c.example"}, "https://c.example", "k", ""},
		{"a profile before the environment of another gateway", Given{Profile: "b"},
			[]string{"AMTP_API_KEY=k", "AMTP_ADMIN_KEY=x", "AMTP_GATEWAY_URL=https://c.example"}, "https://b.example",
			"key-of-b", ""},
	} {
		tt.given.File, tt.given.Getenv = written(t, twoProfiles), environ(tt.env...)
		id, err := tt.given.Identity()
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		if id.Gateway != tt.gateway || id.Key != tt.key || id.AdminKey != tt.adminKey {
			t.Errorf("%s: gateway %q, key %q, admin key %q; want %q, %q, %q", tt.what, id.Gateway, id.Key, id.AdminKey,
				tt.gateway, tt.key, tt.adminKey)
		}
	}
}

// TestAProfileStaysItsAgents: no other identity takes its place, also when another command
// saved that one meanwhile.
func TestAProfileStaysItsAgents(t *testing.T) {
	g := Given{File: written(t, `{"x":[1]}`), Getenv: environ(), Profile: "w"}
	first, err := g.Identity()
	if err != nil || !first.Absent {
		t.Fatalf("%+v, %v; want no such profile yet", first, err)
	}
	second, err := g.Identity()
	if err != nil {
		t.Fatal(err)
	}
	become := func(id *Identity, name string) error {
		return id.Become(name, "https://a.example", map[string]string{MemberName: name, MemberKey: "key-of-" + name,
			MemberGateway: "https://a.example"})
	}
	if err := become(first, "alice"); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if err := become(second, "bob"); !errors.As(err, &refused) || refused.Code != amtp.CodeConflict {
		t.Errorf("a second agent in one profile: %v, want %s", err, amtp.CodeConflict)
	}
	now, err := Read(g.File)
	if err != nil || now.Profiles["w"].Text(MemberKey) != "key-of-alice" || string(now.Members["x"]) != "[\n    1\n  ]" {
		t.Errorf("the file has %s, %v", now.Members, err)
	}
}

// TestChangesAtOnce: what commands change at the same time is all there afterwards, in a
// file that only its owner can read, behind the link that leads to it.
func TestChangesAtOnce(t *testing.T) {
	real := written(t, "{}")
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(real, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	const commands = 16
	var all sync.WaitGroup
	for n := range commands {
		all.Go(func() {
			f := &File{Path: link}
			if err := f.Change(func(now *File) error {
				now.Members[fmt.Sprintf("m%d", n)] = []byte("1")
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f, err := Read(link)
	if err != nil || len(f.Members) != commands {
		t.Fatalf("%d members, %v; want %d", len(f.Members), err, commands)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is one no more: %v, %v", info, err)
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(real)); err != nil || len(left) != 1 {
		t.Errorf("left beside the file: %v, %v", left, err)
	}
}
