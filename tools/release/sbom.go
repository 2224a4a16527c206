package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// spdx is a list of the modules in the programs, in the form of SPDX 2.3.
type spdx struct {
	Version       string             `json:"spdxVersion"`
	License       string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID       string          `json:"SPDXID"`
	Name     string          `json:"name"`
	Version  string          `json:"versionInfo"`
	Location string          `json:"downloadLocation"`
	Analyzed bool            `json:"filesAnalyzed"`
	Refs     []spdxReference `json:"externalRefs"`
}

type spdxReference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const program = "SPDXRef-amtp"

// materials writes the list of the modules that are linked into a program of any
// target, with the release of Go that compiled them.
func (r *release) materials() error {
	linked := map[string]string{"stdlib " + strings.TrimPrefix(runtime.Version(), "go"): ""}
	for _, t := range targets {
		if err := addModules(linked, t); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r.bill(slices.Sorted(maps.Keys(linked)))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "amtp-"+r.version+".spdx.json"), b.Bytes(), 0o644)
}

// bill returns the list for modules, each as PATH VERSION.
func (r *release) bill(modules []string) spdx {
	doc := spdx{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "amtp-" + r.version,
		Namespace: "https://spdx.org/spdxdocs/amtp-" + r.version + "-" + r.commit,
		Creation:  spdxCreation{r.time.Format(time.RFC3339), []string{"Tool: amtp-tools-release"}},
		Packages:  []spdxPackage{module(program, "github.com/amtp-go/amtp", r.version)},
		Relationships: []spdxRelationship{
			{"SPDXRef-DOCUMENT", "DESCRIBES", program},
		},
	}
	for _, m := range modules {
		path, version, _ := strings.Cut(m, " ")
		id := "SPDXRef-" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
				return r
			}
			return '-'
		}, path)
		doc.Packages = append(doc.Packages, module(id, path, version))
		doc.Relationships = append(doc.Relationships, spdxRelationship{program, "DEPENDS_ON", id})
	}
	return doc
}

func module(id, path, version string) spdxPackage {
	return spdxPackage{ID: id, Name: path, Version: version, Location: "NOASSERTION",
		Refs: []spdxReference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + version}}}
}
