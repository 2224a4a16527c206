package httpapi_test

import (
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/httpapi"
)

// TestFaults: AtFault names exactly the codes with a status of the 500s.
func TestFaults(t *testing.T) {
	for code, status := range httpapi.Statuses {
		if gateway.AtFault(code) != (status >= 500) {
			t.Errorf("%s has the status %d, and AtFault says %v", code, status, gateway.AtFault(code))
		}
	}
}
