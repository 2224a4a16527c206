//go:build !unix

package cli

import "os/exec"

func ownGroup(*exec.Cmd) {}

// askGroup does nothing: a command cannot be asked to end here.
func askGroup(*exec.Cmd) {}

// killGroup ends the command. It may have ended already.
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
