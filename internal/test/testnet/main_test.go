package testnet_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain leaves these tests to make check under -short: each runs several gateways.
func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		fmt.Println("left to make check: these tests run several gateways each")
		return
	}
	os.Exit(m.Run())
}
