package cli

import (
	"errors"
	"net"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
)

// gaveUp forgets the attempt when the gateway has refused it, or was not reached by the
// first one, and returns the error. When no answer came, or an answer that says to come
// again, the attempt stays.
func gaveUp(id *profile.Identity, attempt profile.Registering, err error) error {
	var refused *amtp.Error
	var told *failure
	var other *profile.Error
	var line *net.OpError
	var foreign *loopback.ForeignError
	unsent := !attempt.Again && (errors.As(err, &line) && line.Op == "dial" || errors.As(err, &foreign))
	final := unsent || errors.As(err, &refused) && refused.Status >= 400 && refused.Status < 500 ||
		errors.As(err, &told) && told.code == amtp.CodeConflict ||
		errors.As(err, &other) && other.Code == amtp.CodeConflict
	if attempt.Key != "" && final {
		id.GiveUp(attempt)
	}
	return err
}
