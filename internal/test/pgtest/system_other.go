//go:build !unix

package pgtest

import "os/exec"

// Here the tests want a server that is named.

func giveAway(string) error { return nil }

func asAnother(*exec.Cmd) {}

func hasEnded(*exec.Cmd) bool { return false }

func freeBytes(string) int64 { return 0 }
