// Package skills holds the instructions that teach an assistant to use amtp,
// one text for Claude Code, OpenClaw and others that read SKILL.md.
//
// The promise: every command in the text was run by a test. The SKILL.md in the
// root of the repository is a copy, so that a clone is a skill.
package skills

import _ "embed"

// AMTP is skills/amtp/SKILL.md.
//
//go:embed amtp/SKILL.md
var AMTP []byte
