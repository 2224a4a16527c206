package datadir

// unsafe knows of no rights here: what is below the user's directory inherits its.
func unsafe(string) ([]OpenError, error) { return nil, nil }

// Owner cannot tell whose a directory is.
func Owner(string) (uid int, one bool) { return 0, true }
