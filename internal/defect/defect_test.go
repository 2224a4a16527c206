package defect_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/amtp-go/amtp/internal/defect"
)

func TestContain(t *testing.T) {
	mine := errors.New("mine")
	for name, tt := range map[string]struct {
		work func() error
		want string
	}{
		"no error":  {func() error { return nil }, ""},
		"its error": {func() error { return mine }, "mine"},
		"a panic":   {func() error { panic("no such row") }, "a defect: no such row"},
		"an index": {func() error {
			var none []int
			_ = none[len(none)]
			return nil
		}, "a defect: runtime error: index out of range [0] with length 0"},
	} {
		err := defect.Contain(tt.work)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		var d *defect.Error
		if errors.As(err, &d) && !strings.Contains(string(d.Stack), "TestContain") {
			t.Errorf("%s: the stack does not say where:\n%s", name, d.Stack)
		}
	}
	if err := defect.Contain(func() error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v, want the error of the work itself", err)
	}
}

// TestKeep: work that goes on is begun again after a defect, and ends when it
// returns.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, heard, last := 0, 0, errors.New("the last")
		err := defect.Keep(func() error {
			if begun++; begun < 3 {
				panic("again")
			}
			return last
		}, func(*defect.Error) { heard++ })
		if !errors.Is(err, last) || begun != 3 || heard != 2 {
			t.Errorf("Keep = %v after %d beginnings and %d defects; want its last error after 3 and 2", err,
				begun, heard)
		}
	})
}
