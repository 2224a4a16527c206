package cli

import (
	"errors"
	"net"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
)

// gaveUp returns the error. It forgets the attempt when the gateway has refused it, or
// when the first attempt did not reach the gateway. Without an answer, or with an
// answer that says to come again, the attempt stays.
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
