package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/amtp-go/amtp"

// may lists, for each of our packages, which of our packages it may import. A package
// that is not in the table may not exist: it arrives here first. Services never import
// one another. Stores import only the gateway's types. Only app and cli import the
// configuration. Leaf packages import none of ours.
var may = map[string][]string{
	"":                    {"internal/strictjson", "internal/canonical", "internal/calls"},
	"admin":               {"", "internal/calls"},
	"internal/calls":      {},
	"internal/strictjson": {},
	"internal/canonical":  {"internal/strictjson"},
	"internal/defect":     {},
	"internal/filelock":   {},
	"internal/lease":      {"internal/gateway", "internal/defect"},
	"internal/plaintext":  {},
	"internal/loopback":   {},
	"internal/gateway":    {""},
	"internal/access":     {"", "admin", "internal/gateway", "internal/cache"},
	"internal/keyring":    {"", "admin", "internal/gateway"},
	"internal/intake":     {"", "internal/gateway"},
	"internal/limits":     {"", "admin", "internal/gateway"},
	"internal/agent":      {"", "admin", "internal/gateway", "internal/defect"},
	"internal/operator":   {"", "admin", "internal/gateway"},
	"internal/wallclock":  {},
	"internal/store":      {"", "internal/gateway", "internal/wallclock", "internal/defect"},
	"internal/store/sqlite": {"", "internal/gateway", "internal/store", "internal/wallclock",
		"internal/defect", "internal/filelock"},
	"internal/test/storetest": {"", "internal/gateway", "internal/wallclock"},
	"internal/test/faultfs":   {},
	"internal/httpapi": {"", "admin", "internal/gateway", "internal/access", "internal/keyring", "internal/intake",
		"internal/agent",
		"internal/remote", "internal/strictjson", "internal/openapi",
		"internal/peering", "internal/invite", "internal/limits", "internal/operator", "internal/held",
		"internal/defect"},
	"internal/openapi":         {},
	"internal/openapi/replay":  {"internal/openapi"},
	"internal/openapi/clients": {}, // tests only
	"internal/config":          {"", "internal/datadir", "internal/plaintext", "internal/gateway", "internal/outbound"},
	"internal/datadir":         {"internal/filelock", "internal/loopback", "internal/managedfile", "internal/plaintext"},
	"internal/certificate":     {"", "admin", "internal/gateway", "internal/lease", "internal/plaintext"},
	"internal/queue":           {"", "internal/gateway", "internal/defect"},
	"internal/courier": {"", "internal/gateway", "internal/discovery", "internal/outbound", "internal/remote",
		"internal/strictjson", "internal/defect"},
	"internal/remote": {"", "internal/gateway", "internal/discovery", "internal/outbound",
		"internal/strictjson", "internal/cache"},
	"internal/doctor": {"", "admin", "internal/discovery", "internal/remote", "internal/outbound",
		"internal/strictjson", "internal/datadir", "internal/loopback", "internal/profile", "internal/render",
		"internal/defect"},
	"internal/held":      {"internal/defect"},
	"internal/coalesce":  {},
	"internal/outbound":  {"internal/coalesce", "internal/plaintext"},
	"internal/discovery": {"", "internal/cache", "internal/defect"},
	"internal/test/testnet": {"", "admin", "internal/app", "internal/config", "internal/privateca",
		"internal/test/fakedns"},
	"internal/privateca":    {},
	"internal/test/fakedns": {},
	"internal/test/nowhere": {},
	"internal/test/hostile": {},
	"internal/test/pebble":  {"internal/privateca"},
	"internal/operate": {"", "admin", "internal/gateway", "internal/keyring", "internal/agent", "internal/config",
		"internal/datadir", "internal/discovery", "internal/doctor", "internal/managedfile", "internal/outbound",
		"internal/plaintext", "internal/store", "internal/store/sqlite", "internal/store/postgres", "internal/wallclock"},
	"internal/app": {"", "admin", "internal/gateway", "internal/access", "internal/keyring", "internal/intake",
		"internal/agent",
		"internal/queue", "internal/courier", "internal/remote", "internal/operate", "internal/operator",
		"internal/discovery", "internal/outbound", "internal/coalesce", "internal/httpapi", "internal/config",
		"internal/datadir", "internal/certificate", "internal/peering", "internal/invite", "internal/automail",
		"internal/receipt", "internal/wallclock", "internal/defect", "internal/lease", "internal/limits", "internal/held"},
	"internal/cache":       {},
	"internal/managedfile": {},
	"internal/service":     {"internal/managedfile", "internal/datadir"},
	"internal/render":      {""},
	"internal/profile": {"", "internal/render", "internal/datadir", "internal/filelock", "internal/managedfile",
		"internal/loopback", "internal/plaintext"},
	"skills": {},
	"internal/cli": {"", "admin", "internal/app", "internal/operate", "internal/doctor", "internal/config",
		"internal/datadir", "internal/strictjson", "internal/managedfile", "internal/service", "skills",
		"internal/privateca", "internal/defect", "internal/plaintext", "internal/loopback", "internal/profile",
		"internal/render"},
	"internal/test/crashtest": {"", "internal/datadir"},
	"internal/test/sim":       {}, // its tests import nearly every package
	"cmd/amtp":                {"internal/cli"},
	"bench": {"", "admin", "internal/datadir", "internal/privateca", "internal/gateway",
		"internal/store/postgres", "internal/test/pgtest"},
	"internal/markdown": {},
	"tools/sizes":       {"internal/markdown"},
	"tools/wrap":        {"internal/markdown"},
	"tools/release":     {},
	"tools/tests":       {"internal/test/slow"},
	"e2e":               {},
	"docs":              {},
	"examples/go":       {""},
	"examples/push/go":  {},
	"internal/store/postgres": {"", "internal/gateway", "internal/store", "internal/wallclock",
		"internal/defect"},
	"internal/test/pgtest": {"internal/test/slow"},
	"internal/test/slow":   {},
	"tools/postgres":       {"internal/test/pgtest"},
	"internal/automail":    {"", "internal/gateway", "internal/strictjson", "internal/defect"},
	"internal/receipt":     {"", "internal/gateway", "internal/strictjson", "internal/defect"},
	"internal/invite":      {"", "admin", "internal/gateway"},
	"internal/peering": {"", "admin", "internal/gateway", "internal/discovery", "internal/remote", "internal/outbound",
		"internal/strictjson"},
}

// only lists modules that only some packages may use.
var only = map[string][]string{
	"github.com/ncruces/go-sqlite3":      {"internal/store/sqlite", "internal/test/faultfs"},
	"github.com/jackc/pgx/v5":            {"internal/store/postgres", "internal/test/pgtest", "bench"},
	"github.com/pressly/goose/v3":        {"internal/store/sqlite", "internal/store/postgres"},
	"github.com/go-json-experiment/json": {"internal/strictjson", "internal/canonical"},
	"github.com/gowebpki/jcs":            {"internal/canonical"},
	"go.yaml.in/yaml/v4":                 {"internal/config", "internal/openapi"},
	"github.com/pb33f":                   {"internal/openapi/replay"}, // only in tests
	"github.com/spf13/cobra":             {"internal/cli"},
	"github.com/caddyserver/certmagic":   {"internal/certificate"},
	"github.com/mholt/acmez/v3":          {"internal/certificate"},
	"go.uber.org/zap":                    {"internal/certificate"},
	"github.com/miekg/dns":               {"internal/certificate", "internal/discovery", "internal/test/fakedns"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func ours(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, module)
	return strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}

// TestImports keeps the direction in which packages may import one another.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name, _ := ours(p.ImportPath)
		allowed, known := may[name]
		if !known {
			t.Errorf("package %q is not in the table", name)
			continue
		}
		for _, imported := range p.Imports {
			if other, ok := ours(imported); ok && !slices.Contains(allowed, other) {
				t.Errorf("package %q imports %q, which the table does not allow", name, other)
			}
			for lib, users := range only {
				if (imported == lib || strings.HasPrefix(imported, lib+"/")) && !slices.Contains(users, name) {
					t.Errorf("package %q imports %s, which only %v may", name, imported, users)
				}
			}
		}
	}
}
