//go:build !unix

package pgtest

import "os/exec"

// On this system the tests need a named server.

func giveAway(string) error { return nil }

func asAnother(*exec.Cmd) {}

func hasEnded(*exec.Cmd) bool { return false }

func freeBytes(string) int64 { return 0 }
