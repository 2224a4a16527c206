package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlotsShowEveryLoad draws a report and reads the drawings back. They are XML,
// every server is named, and the label of each load is its median.
func TestPlotsShowEveryLoad(t *testing.T) {
	dir := t.TempDir()
	r := measured(100, 1000, 200)
	if err := writePlots(dir, r); err != nil {
		t.Fatal(err)
	}
	for file, labels := range map[string][]string{
		throughputFile: {"8 clients", "bare", "log", "gateway", "800", "400", "200"},
		latencyFile:    {"8 clients", "bare", "log", "gateway", "100 µs", "1 ms"},
	} {
		texts := textsOf(t, filepath.Join(dir, file))
		for _, want := range labels {
			if !strings.Contains(texts, "|"+want+"|") {
				t.Errorf("%s shows %s, want %q in it", file, texts, want)
			}
		}
	}
}

func TestNoPlotsWithoutAccepts(t *testing.T) {
	if err := writePlots(t.TempDir(), newReport(settings{})); err == nil {
		t.Error("writePlots of a report without accepts = nil, want an error")
	}
}

// textsOf returns the texts of an SVG file, separated by bars.
func textsOf(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	texts := "|"
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s is no XML: %v", file, err)
		}
		if chars, ok := token.(xml.CharData); ok {
			if s := strings.TrimSpace(string(chars)); s != "" {
				texts += s + "|"
			}
		}
	}
}
