// The command amtp is a gateway of the Agent Message Transfer Protocol and
// everything that is needed to use one. See amtp help.
package main

import (
	"context"
	"os"

	"github.com/amtp-go/amtp/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ))
}
