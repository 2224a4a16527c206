package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestMaterials: the list names every module that go.mod has and a program links, and
// is the same each time.
func TestMaterials(t *testing.T) {
	slow.Test(t, "it lists the modules of six programs")
	t.Chdir("../..")
	var made [2][]byte
	for i := range made {
		r := release{version: "v1.2.3", commit: "c0ffee", time: time.Unix(1795366800, 0).UTC(), out: t.TempDir()}
		if err := r.materials(); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], err = os.ReadFile(filepath.Join(r.out, "amtp-v1.2.3.spdx.json")); err != nil {
			t.Fatal(err)
		}
	}
	if string(made[0]) != string(made[1]) {
		t.Error("the list differs from one time to the next")
	}
	var doc spdx
	if err := json.Unmarshal(made[0], &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Creation.Created != "2026-11-22T17:00:00Z" || len(doc.Packages) != len(doc.Relationships) {
		t.Errorf("created %s, %d packages, %d relationships", doc.Creation.Created, len(doc.Packages),
			len(doc.Relationships))
	}
	ids := map[string]bool{}
	for _, p := range doc.Packages {
		if ids[p.ID] || p.Version == "" {
			t.Errorf("%+v is listed twice, or has no version", p)
		}
		ids[p.ID] = true
	}
	for _, path := range []string{"github.com/ncruces/go-sqlite3", "github.com/jackc/pgx/v5", "stdlib",
		"github.com/amtp-go/amtp"} {
		if !strings.Contains(string(made[0]), `"name": "`+path+`"`) {
			t.Errorf("%s is not in the list", path)
		}
	}
}
