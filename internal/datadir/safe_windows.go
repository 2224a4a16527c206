package datadir

// unsafe finds nothing here: files below the user's directory inherit its rights.
func unsafe(string) ([]OpenError, error) { return nil, nil }

// Owner cannot tell who owns a directory here.
func Owner(string) (uid int, one bool) { return 0, true }
