package httpapi_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/httpapi"
)

// refusals are the words of the matrix for callers who are not in a route's group of
// callers, by group and by caller.
var refusals = map[string]map[string]string{
	"reader": {"nobody": "nokey", "dev": "nokey"},
	"self":   {"nobody": "nokey", "dev": "nokey", "admin": "denied"},
	"owner":  {"nobody": "noadmin", "dev": "noadmin"},
	"operators": {"nobody": "noadmin", "dev": "noadmin", "eve": "notadmin", "alice": "notadmin",
		"bob": "notadmin"},
}

// TestWhoIsAsTheMatrix: the callers in the table of routes agree with the matrix of
// TestMatrix.
func TestWhoIsAsTheMatrix(t *testing.T) {
	for route, who := range httpapi.Callers() {
		for _, x := range matrix[route] {
			want := strings.Fields(x.want)
			for i, caller := range callers {
				if word := refusals[who][caller]; word != "" && want[i] != word {
					t.Errorf("%s is for %s, and %s on %s is %q; want %q", route, who, caller, x.object, want[i], word)
				}
			}
			if who == "everyone" && strings.Count(x.want, want[0]) != len(callers) {
				t.Errorf("%s is for everyone, and the matrix has different outcomes: %s", route, x.want)
			}
		}
	}
}
