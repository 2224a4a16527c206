package datadir

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Holder reports whether some process has the claim on dir, and where the
// gateway listens that wrote it down; a process that is no gateway did not.
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
