package datadir

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Holder reports whether a process holds the claim on dir. If that process is a gateway
// that recorded its address, Holder also returns the record.
func Holder(dir string) (running Running, claimed bool) {
	if !held(dir) {
		return running, false
	}
	b, err := os.ReadFile(filepath.Join(dir, GatewayFile))
	if err != nil || json.Unmarshal(b, &running) != nil {
		return Running{}, true
	}
	return running, true
}
