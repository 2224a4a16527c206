package access_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// TestBelowOurOwnDomain: a message from a domain below ours is proven, or refused under
// every policy.
func TestBelowOurOwnDomain(t *testing.T) {
	for sender, refused := range map[string]bool{
		"x@sub.ours.example": true, "x@a.b.ours.example": true, "x@SUB.Ours.Example": true,
		"x@ours.example.org": false, "x@notours.example": false, "x@example": false,
	} {
		for _, policy := range []gateway.Policy{gateway.PolicyAccept, gateway.PolicyFlag} {
			peers := access.NewDomainVerifier(&known{}, nobody{}, policy, slog.New(slog.DiscardHandler))
			peers.Own = "ours.example"
			m, failure := amtp.ParseMessage([]byte(`{"sender":"` + sender +
				`","recipients":["bob@ours.example"],"payload":1}`))
			if failure != nil {
				t.Fatal(failure)
			}
			_, err := peers.Caller(t.Context(), m, "192.0.2.1", time.Now())
			if (err != nil) != refused || err != nil && gateway.CodeOf(err) != amtp.CodeSignatureRequired {
				t.Errorf("an unsigned message from %s under %s: %v, want refused: %v", sender, policy, err, refused)
			}
		}
	}
}
