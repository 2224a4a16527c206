package access

import (
	"net/http"
	"testing"
)

// TestOfClients: the headers in ofClients do not indicate a browser or a proxy, and are
// written as http.Header writes them.
func TestOfClients(t *testing.T) {
	for name := range ofClients {
		if ofBrowser[name] || ofProxy.MatchString(name) || http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is in ofClients, but is a browser's or a proxy's, or not canonical", name)
		}
	}
}
