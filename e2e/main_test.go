package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain leaves these tests to make check under -short, because they build the
// program and run it many times.
func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		fmt.Println("left to make check: these tests build the program and run it")
		return
	}
	os.Exit(m.Run())
}
