package main

import "testing"

// TestBombsReachTheParser: a bomb above the gateway's limit would be refused only
// because of its length.
func TestBombsReachTheParser(t *testing.T) {
	for _, b := range bombs() {
		if len(b) > 10<<20 {
			t.Errorf("a bomb that begins %.20q has %d bytes, want at most %d", b, len(b), 10<<20)
		}
	}
}
