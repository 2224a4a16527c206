package access

import (
	"net/http"
	"testing"
)

// TestOfClients: what is passed over says nothing of a browser or a proxy, and stands
// as http.Header has it.
func TestOfClients(t *testing.T) {
	for name := range ofClients {
		if ofBrowser[name] || ofProxy.MatchString(name) || http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is passed over, and is a browser's or a proxy's, or written otherwise", name)
		}
	}
}
