package httpapi_test

import (
	"strings"
	"testing"
)

// TestResumeWithoutAPause: ending a pause is no error if there is none.
func TestResumeWithoutAPause(t *testing.T) {
	w := start(t)
	a := w.do("POST", "/v1/admin/resume", "", "X-Admin-Key: "+w.admin)
	w.wants("resume", a, 200, "")
	if a.body["was_paused"] != false {
		t.Errorf("resume: got %s, want was_paused false", a.raw)
	}
	if a := w.do("GET", "/health", ""); strings.Contains(a.raw, "paused") {
		t.Errorf("health of a gateway that is not paused: got %s", a.raw)
	}
}
