package defect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/defect"
)

// TestAside: the work is done when Aside returns, and its panic is the caller's, with the
// place where it happened.
func TestAside(t *testing.T) {
	done := false
	defect.Aside(func() { done = true })
	if !done {
		t.Error("Aside returned before the work was done")
	}
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "no such row\n") || !strings.Contains(got, "aside_test.go") {
			t.Errorf("got the panic %.200q, want its cause and its place", got)
		}
	}()
	defect.Aside(func() { panic("no such row") })
}
