// Command wrap wraps the prose of the given Markdown pages at the width of our pages.
package main

import (
	"fmt"
	"os"

	"github.com/amtp-go/amtp/internal/markdown"
)

func main() {
	for _, path := range os.Args[1:] {
		if err := wrap(path); err != nil {
			fmt.Fprintln(os.Stderr, "wrap:", err)
			os.Exit(1)
		}
	}
}

func wrap(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	wrapped := markdown.Wrap(string(page))
	if wrapped == string(page) {
		return nil
	}
	return os.WriteFile(path, []byte(wrapped), 0o644)
}
