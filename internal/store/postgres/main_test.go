package postgres

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain leaves these tests to make check under -short: they need PostgreSQL.
func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		fmt.Println("left to make check: these tests need PostgreSQL")
		return
	}
	os.Exit(m.Run())
}
