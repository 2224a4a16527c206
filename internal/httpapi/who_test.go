package httpapi_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/httpapi"
)

// refusals are the words of the matrix with which those are refused whom the table of
// routes does not name, by what it says and by caller.
var refusals = map[string]map[string]string{
	"reader": {"nobody": "nokey", "dev": "nokey"},
	"self":   {"nobody": "nokey", "dev": "nokey", "admin": "denied"},
	"owner":  {"nobody": "noadmin", "dev": "noadmin"},
	"operators": {"nobody": "noadmin", "dev": "noadmin", "eve": "notadmin", "alice": "notadmin",
		"bob": "notadmin"},
}

// TestWhoIsAsTheMatrix: the column of the table of routes says what the matrix of
// TestMatrix shows.
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
				t.Errorf("%s is for everyone, and the matrix tells callers apart: %s", route, x.want)
			}
		}
	}
}
