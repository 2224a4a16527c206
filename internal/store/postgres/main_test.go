package postgres

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain skips these tests under -short and leaves them to make check: they need
// PostgreSQL.
func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		fmt.Println("left to make check: these tests need PostgreSQL")
		return
	}
	os.Exit(m.Run())
}
