package sqlite

// What the tests from outside use, too.
var (
	Fresh   = fresh
	Scratch = scratch
)
