package sqlite

// These are also used by tests outside of the package.
var (
	Fresh   = fresh
	Scratch = scratch
)
